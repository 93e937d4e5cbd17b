"""What people and machines break in an installation is found, shown, and healed without a reinstall."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

import pytest

from e2e.lab import ClusterInstallation, ask, engine

Break = Callable[[ClusterInstallation], object]


def delete_workload(installation: ClusterInstallation) -> None:
    installation.kubectl("delete", "statefulset", "loki")


def scale_to_nothing(installation: ClusterInstallation) -> None:
    installation.kubectl("scale", "statefulset", "loki", "--replicas=0")


def delete_service(installation: ClusterInstallation) -> None:
    installation.kubectl("delete", "service", "loki")


def delete_configuration(installation: ClusterInstallation) -> None:
    names = [name for name in installation.uids("configmaps") if name.startswith("ConfigMap/loki-")]
    installation.kubectl("delete", *names)


def spoil_arguments(installation: ClusterInstallation) -> None:
    path = "/spec/template/spec/containers/0/args"
    change = [{"op": "replace", "path": path, "value": ["-config.file=/nowhere/loki.yaml"]}]
    installation.kubectl("patch", "statefulset", "loki", "--type=json", "-p", json.dumps(change))
    installation.kubectl("delete", "pod", "loki-0", "--wait=true")
    installation.kubectl(
        "wait", "pod/loki-0", "--for=jsonpath={.status.containerStatuses[0].restartCount}=2", "--timeout=90s"
    )


def stop_node(installation: ClusterInstallation) -> None:
    ask(engine(), "stop", "--time", "5", f"{installation.cluster}-control-plane")


def lose_context(installation: ClusterInstallation) -> None:
    installation.kubeconfig.unlink()


def spoil_context(installation: ClusterInstallation) -> None:
    command = ["kubectl", "config", "set", f"clusters.{installation.context}.server", "https://127.0.0.1:9"]
    ask(*command, environ=installation.environ())


@pytest.mark.parametrize(
    ("break_it", "shown"),
    [
        (delete_workload, "StatefulSet/loki"),
        (scale_to_nothing, "loki"),
        (delete_service, "Service/loki"),
        (delete_configuration, "ConfigMap/loki-"),
        (spoil_arguments, "StatefulSet/loki"),
        (stop_node, "control-plane"),
        (lose_context, "context"),
        (spoil_context, "kubectl"),
    ],
)
def test_what_is_broken_is_found_shown_and_healed(
    installed: ClusterInstallation, break_it: Break, shown: str
) -> None:
    before = what_stays(installed)
    break_it(installed)
    found = installed.run("verify")
    assert found.returncode == 1, found.stdout
    repaired = installed.must("--repair", "--yes")
    assert shown in found.stdout + repaired
    assert what_stays(installed) == before
    installed.must("verify")


@pytest.mark.parametrize("break_it", [stop_node, lose_context])
def test_carrying_on_heals_the_cluster_as_well(installed: ClusterInstallation, break_it: Break) -> None:
    before = what_stays(installed)
    break_it(installed)
    installed.must("--resume")
    assert what_stays(installed) == before
    installed.must("verify")


def what_stays(installation: ClusterInstallation) -> Mapping[str, object]:
    """Return what no repair of Loki or of a node may touch."""
    pods = installation.uids("pods")
    others = installation.uids("statefulsets,services,configmaps,secrets")
    return {
        "cluster": installation.identity(),
        "volumes": installation.volumes(),
        "data": installation.written(),
        "pods": {name: uid for name, uid in pods.items() if "loki" not in name},
        "others": {name: uid for name, uid in others.items() if "loki" not in name},
    }
