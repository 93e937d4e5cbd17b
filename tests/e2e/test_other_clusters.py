"""Clusters that others made: refused where ours would be, used where that is asked for."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from contextcore_install.engine.names import STEP_IDS
from dev.rights_reference import PAGE as RIGHTS
from e2e.lab import (
    EVERYTHING,
    NAMESPACE,
    ON_DISK_S,
    ClusterInstallation,
    ask,
    cluster_name,
    create_by_hand,
    delete_cluster,
    load_images,
    node_states,
    state_of,
)
from kit.installation import kill, read_until
from kit.stores import wait_until


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Return a cluster that somebody made, by its name and kubectl's file for it."""
    name = cluster_name("foreign")
    kubeconfig = tmp_path_factory.mktemp("foreign") / "kubeconfig"
    try:
        create_by_hand(name, kubeconfig)
        load_images(name)
        yield name, kubeconfig
    finally:
        delete_cluster(name)


def guest(foreign: tuple[str, Path], folder: Path, context: str = "") -> ClusterInstallation:
    """Return an installation that is to go into the cluster that exists."""
    name, kubeconfig = foreign
    place = ClusterInstallation(
        folder, "e2e-guest", context=context or f"kind-{name}", provider="kube-context", ports={}
    )
    place.kubeconfig.write_bytes(kubeconfig.read_bytes())
    return place


def test_a_cluster_of_that_name_that_others_made_is_left_alone(foreign: tuple[str, Path], tmp_path: Path) -> None:
    name, kubeconfig = foreign
    place = ClusterInstallation(tmp_path, name)
    place.kubeconfig.write_bytes(kubeconfig.read_bytes())
    before = place.identity(), node_states(name)
    for arguments in (place.flags(), ["--resume"], ["--repair", "--yes"], ["delete", "--yes", "--cluster", name]):
        refused = place.run(*arguments)
        assert refused.returncode != 0, refused.stdout
        assert "did not make" in refused.stdout + refused.stderr or "was not made" in refused.stderr
        assert (place.identity(), node_states(name)) == before
    assert "--cluster NAME" in place.said[0]


@pytest.mark.parametrize(
    "user",
    [
        pytest.param("installer", id="with the documented rights"),
        pytest.param("", id="with all rights", marks=pytest.mark.thorough),
    ],
)
def test_the_stack_is_installed_into_a_cluster_that_exists_and_taken_out_of_it(
    foreign: tuple[str, Path], tmp_path: Path, user: str
) -> None:
    """By an administrator; and by one who has a Role in a namespace made beforehand, and nothing else."""
    admin, place = guest(foreign, tmp_path), guest(foreign, tmp_path, context=user)
    if user:
        become_installer(admin)
    identity = admin.identity()
    running = place.start(*place.flags(), "--context", place.context)
    read_until(running, "step_started", "pods_ready")
    kill(running)
    place.must("--resume")
    assert state_of(place) == dict.fromkeys(STEP_IDS, "completed")
    volumes = admin.volumes()
    assert "nothing had to be done" in place.must()
    admin.kubectl("delete", "service,statefulset", "loki")
    place.must("--repair", "--yes")
    place.must("verify")
    assert (admin.identity(), admin.volumes()) == (identity, volumes)
    if EVERYTHING:  # it takes a minute, as each pod is ended for its copy
        backup = tmp_path / "kept.tar.gz"
        place.must("backup", "-o", str(backup))
        assert backup.stat().st_size
    other = guest(foreign, tmp_path / "other", context=user)
    other.kubeconfig.write_bytes(place.kubeconfig.read_bytes())
    said = other.must(*other.flags(), "--context", other.context, "--resume")
    assert "the records in the cluster count" in " ".join(said.split())
    assert other.status()["installation_id"] == place.status()["installation_id"]
    # It may wait for what the backup has started anew, and measure once more how complete the installation is.
    assert not re.search(r"(cluster_create|manifests_apply) +▸", said), said
    other.must("delete", "--yes", "--cluster", place.cluster)
    kept = admin.objects("pods,services,statefulsets,pvc,configmaps,leases")
    assert kept.keys() <= {"ConfigMap/kube-root-ca.crt"}
    assert admin.identity() == identity


@pytest.mark.thorough
def test_what_was_taken_out_of_a_cluster_that_exists_comes_back_from_a_backup(
    foreign: tuple[str, Path], tmp_path: Path
) -> None:
    place = guest(foreign, tmp_path)
    place.must(*place.flags(), "--context", place.context)
    with place.store_forwarded() as store:
        store.write(42.5)
        time.sleep(ON_DISK_S)
    backup = tmp_path / "kept.tar.gz"
    place.must("backup", "-o", str(backup))
    place.must("delete", "--yes", "--cluster", place.cluster)
    assert not place.objects("pvc")
    place.must("restore", str(backup), "--yes", "--cluster", place.cluster)
    with place.store_forwarded() as store:
        assert store.written() == [42.5]
    place.must("verify")
    assert state_of(place) == dict.fromkeys(STEP_IDS, "completed")
    place.must("delete", "--yes", "--cluster", place.cluster)


def test_a_context_that_is_not_there_is_named(foreign: tuple[str, Path], tmp_path: Path) -> None:
    place = guest(foreign, tmp_path, context="e2e-nobody")
    refused = place.run(*place.flags(), "--context", "e2e-nobody")
    assert refused.returncode == 3, refused.stdout
    assert "e2e-nobody" in refused.stdout
    assert "kubectl config get-contexts" in refused.stdout


def test_without_the_rights_nothing_is_begun(foreign: tuple[str, Path], tmp_path: Path) -> None:
    place = guest(foreign, tmp_path)
    become_nobody(place)
    refused = place.run(*place.flags(), "--context", "nobody")
    assert refused.returncode == 3, refused.stdout
    assert "create" in refused.stdout


def become_installer(place: ClusterInstallation) -> None:
    """Make a context of a ServiceAccount that has the documented Role, and no right in the cluster as a whole."""
    account = {"kind": "ServiceAccount", "apiVersion": "v1", "metadata": {"name": "installer"}}
    token = {
        "kind": "Secret",
        "apiVersion": "v1",
        "type": "kubernetes.io/service-account-token",
        "metadata": {"name": "installer", "annotations": {"kubernetes.io/service-account.name": "installer"}},
    }
    namespace = {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": NAMESPACE}}
    objects = place.folder / "installer.json"
    objects.write_text(json.dumps({"kind": "List", "apiVersion": "v1", "items": [namespace, account, token]}))
    kubectl = ("kubectl", "--context", place.context)
    ask(*kubectl, "apply", "-n", "default", "-f", str(objects), environ=place.environ())
    ask(*kubectl, "apply", "-f", str(RIGHTS), environ=place.environ())
    place.kubectl(
        "create", "rolebinding", "installer", "--role=contextcore-install", "--serviceaccount=default:installer"
    )
    shown = ("-n", "default", "get", "secret", "installer", "-o", "jsonpath={.data.token}")

    def secret() -> str:
        return base64.b64decode(ask(*kubectl, *shown, environ=place.environ())).decode()

    wait_until(lambda: bool(secret()), "the account never gets a token")
    config = json.loads(ask("kubectl", "config", "view", "--raw", "-o", "json", environ=place.environ()))
    config["users"].append({"name": "installer", "user": {"token": secret()}})
    context = {**config["contexts"][0]["context"], "user": "installer"}
    config["contexts"].append({"name": "installer", "context": context})
    place.kubeconfig.write_text(json.dumps(config))


def become_nobody(place: ClusterInstallation) -> None:
    """Make a context of a user who may read nothing: the same one, who says to be somebody else."""
    config = json.loads(ask("kubectl", "config", "view", "--raw", "-o", "json", environ=place.environ()))
    user = {**config["users"][0]["user"], "as": "e2e-nobody"}
    config["users"].append({"name": "nobody", "user": user})
    context = {**config["contexts"][0]["context"], "user": "nobody"}
    config["contexts"].append({"name": "nobody", "context": context})
    place.kubeconfig.write_text(json.dumps(config))
