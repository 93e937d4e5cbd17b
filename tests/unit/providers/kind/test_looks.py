"""How often a cluster is looked at: each kubectl process takes a quarter of a second, and more of a busy machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from contextcore_install.core.errors import InstallError
from contextcore_install.core.provider import ClusterState
from contextcore_install.engine.replica import CONFLICT
from contextcore_install.providers.kind.provider import KindProvider
from contextcore_install.providers.kubernetes.remote import LEASE, RECORDS
from kit.fakes import Told
from kit.kube_world import Cluster, in_kind

#: Tries: what was read counts for a few seconds, which a busy machine may take for what a run does in half a second.
TRIES = 5


def in_namespace(kind: str, name: str, **content: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "observability", "resourceVersion": "7"}
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata, **content}


RELEASE = [in_namespace("ConfigMap", "loki", data={})]
LEASED = in_namespace("Lease", LEASE, spec={"leaseTransitions": 3})
KEPT = in_namespace("ConfigMap", RECORDS, data={"about.json": "{}"})


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path / "cluster")


def looks(cluster: Cluster) -> list[str]:
    return [call for call in cluster.calls if call.startswith("get")]


def all_checks(provider: KindProvider) -> None:
    """Ask what a run asks that finds nothing to do, in its order."""
    remote = provider.remote()
    assert remote.is_read_with_checks
    lease, records = remote.lease.read(), remote.records.read()
    assert lease is not None
    assert (lease.content, lease.version) == ({"leaseTransitions": 3}, "7")
    assert records is not None
    assert records.content == {"about.json": "{}"}
    assert provider.cluster().state is ClusterState.HEALTHY
    provider.drift()
    provider.workloads()
    provider.storage()
    provider.endpoints()


def test_a_run_with_nothing_to_do_looks_once(tmp_path: Path, cluster: Cluster) -> None:
    cluster.put([LEASED, KEPT])
    provider = in_kind(tmp_path, cluster, RELEASE)
    counts = []
    for _ in range(TRIES):
        cluster.forget_calls()
        all_checks(provider)
        counts.append(len(looks(cluster)))
        if counts[-1] == 1:
            break
        provider = in_kind(tmp_path, cluster, RELEASE)
    assert min(counts) == 1, looks(cluster)
    (look,) = looks(cluster)
    assert look.index("lease") < look.index("configmap"), "records that are older than a lease that is free"


def test_what_others_did_meanwhile_is_seen(tmp_path: Path, cluster: Cluster) -> None:
    cluster.put([LEASED, KEPT])
    remote = in_kind(tmp_path, cluster, RELEASE).remote()
    remote.lease.read()
    others = {**KEPT, "metadata": {**KEPT["metadata"], "resourceVersion": "8"}}
    cluster.put([*(item for item in cluster.objects if item != KEPT), others])
    cluster.fails(("replace", 'Error from server (Conflict): error when replacing "STDIN"'))
    with pytest.raises(InstallError) as refused:
        remote.lease.write({}, "7")
    assert refused.value.code == CONFLICT
    records = remote.records.read()
    assert records is not None
    assert records.version == "8"


def test_what_was_ready_before_is_looked_at_again_once_something_is_applied(tmp_path: Path, cluster: Cluster) -> None:
    provider = in_kind(tmp_path, cluster, RELEASE)
    provider.workloads()
    provider.apply_release(Told().ctx)
    cluster.forget_calls()
    provider.workloads()
    assert looks(cluster)
