"""A place in a cluster that is another installation's: no way is opened to its services."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from contextcore_install.core.provider import ProviderConfig
from contextcore_install.providers._kubectl.objects import RELEASE_LABEL
from contextcore_install.providers._kubectl.render import NAMESPACE
from contextcore_install.providers.kube_context.provider import KubeContextProvider
from kube_world import Cluster

KUBECTL = """\
#!/bin/sh
case " $* " in
*" label "*) echo '{release}';;
*) exec '{program}' "$@";;
esac
"""


def provider(folder: Path, cluster: Cluster) -> KubeContextProvider:
    """Return a provider whose release is one Service."""
    path = folder / "path"
    path.mkdir()
    release = json.dumps({"kind": "List", "items": [service("dev")]})
    (path / "kubectl").write_text(KUBECTL.format(release=release, program=cluster.program))
    (path / "kubectl").chmod(0o755)
    environ = {**os.environ, "PATH": os.pathsep.join([str(path), "/usr/bin", "/bin"])}
    return KubeContextProvider(
        ProviderConfig("dev", folder / "dev", folder / "bin", environ, options={"context": "lab"})
    )


def service(release: str) -> dict[str, Any]:
    labels = {RELEASE_LABEL: release}
    meta = {"name": "mimir", "namespace": NAMESPACE, "labels": labels}
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"ports": [{"port": 9009}]}}


def test_the_services_of_another_installation_are_not_reached(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / "lab")
    cluster.put([service("theirs")])
    found = provider(tmp_path, cluster).endpoints()
    assert [item.component for item in found] == ["mimir"]
    assert not found[0].has_way
    assert "the installation theirs" in found[0].stranger
    assert not any(call.startswith("port-forward") for call in cluster.calls)


def test_the_services_of_ours_are_asked_for_a_way(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / "lab")
    cluster.put([service("dev")])
    found = provider(tmp_path, cluster).endpoints()
    assert [item.stranger for item in found] == [""]
    assert any(call.startswith("port-forward") for call in cluster.calls)
