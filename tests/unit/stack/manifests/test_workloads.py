from __future__ import annotations

from typing import Any

import pytest

from contextcore_install.stack import catalogue
from unit.stack.manifests.manifests import (
    BASE,
    COMPONENTS,
    config_maps,
    container,
    kustomization,
    of_kind,
    pod,
    resources,
)

UIDS = {"grafana": 472, "alloy": 473, "mimir": 10001, "loki": 10001, "tempo": 10001}
LABELS = {"app.kubernetes.io/part-of": "contextcore", "app.kubernetes.io/managed-by": "contextcore-install"}


def mebibytes(text: str) -> int:
    number, unit = int(text.rstrip("GMiB")), text.lstrip("0123456789")
    return number * {"Mi": 1, "MiB": 1, "Gi": 1024}[unit]


def templates() -> list[dict[str, Any]]:
    sets = of_kind("StatefulSet").values()
    return [s["spec"]["template"] for s in sets] + [c for s in sets for c in s["spec"]["volumeClaimTemplates"]]


def test_every_file_of_the_base_is_part_of_it() -> None:
    listed = set(kustomization()["resources"])
    listed |= {file for made in kustomization()["configMapGenerator"] for file in made["files"]}
    found = {str(p.relative_to(BASE)) for p in BASE.rglob("*") if p.is_file()} - {"kustomization.yaml"}
    assert found == listed


def test_there_is_one_workload_a_component() -> None:
    assert sorted(of_kind("StatefulSet")) == sorted(COMPONENTS)
    assert {r["kind"] for r in resources()} == {"Namespace", "Service", "StatefulSet"}


def test_every_object_carries_the_labels_by_which_it_is_found_and_pruned() -> None:
    generated = kustomization()["generatorOptions"]["labels"]
    for labels in [generated] + [o["metadata"]["labels"] for o in resources() + templates()]:
        assert labels.items() >= LABELS.items()
        assert {"app.kubernetes.io/name", "app.kubernetes.io/component"} <= set(labels)


def test_a_change_of_configuration_changes_the_name_that_the_pod_refers_to() -> None:
    assert "disableNameSuffixHash" not in kustomization()["generatorOptions"]
    generated = {made["name"] for made in kustomization()["configMapGenerator"]}
    used = {name for c in COMPONENTS for name in config_maps(pod(c))}
    assert used == generated


@pytest.mark.parametrize("component", COMPONENTS)
def test_images_and_ports_are_those_of_the_catalogue(component: str) -> None:
    known = catalogue.component(component)
    assert container(component)["image"] == known.image
    services = [s for s in of_kind("Service").values() if s["spec"]["selector"]["app.kubernetes.io/name"] == component]
    exposed = {p["port"]: p.get("nodePort", 0) for s in services for p in s["spec"]["ports"]}
    public = {port.container: port.node_port for port in known.ports if not port.internal}
    assert exposed.items() >= public.items()
    assert set(exposed) <= {port.container for port in known.ports}
    ready = next(port for port in known.ports if port.key == known.ready_port)
    probe = container(component)["readinessProbe"]["httpGet"]
    assert probe["path"] == known.ready_path
    numbers = {p["name"]: p["containerPort"] for p in container(component)["ports"]}
    assert numbers[probe["port"]] == ready.container


@pytest.mark.parametrize("component", COMPONENTS)
def test_services_select_the_pods_and_name_their_ports(component: str) -> None:
    labels = of_kind("StatefulSet")[component]["spec"]["template"]["metadata"]["labels"]
    names = {p["name"] for p in container(component)["ports"]}
    services = [s for s in of_kind("Service").values() if s["spec"]["selector"]["app.kubernetes.io/name"] == component]
    assert services
    for service in services:
        assert labels.items() >= service["spec"]["selector"].items()
        for port in service["spec"]["ports"]:
            assert port["protocol"] == "TCP"
            assert port["targetPort"] in names
            # A port without a number of its own would be given a random one, perhaps another Service's.
            assert ("nodePort" in port) == (service["spec"]["type"] == "NodePort")


@pytest.mark.parametrize("component", COMPONENTS)
def test_data_is_on_a_claim_and_nothing_but_scratch_is_not(component: str) -> None:
    spec = of_kind("StatefulSet")[component]["spec"]
    (claim,) = spec["volumeClaimTemplates"]
    mounts = {m["name"]: m for m in container(component)["volumeMounts"]}
    assert not mounts[claim["metadata"]["name"]].get("readOnly", False)
    assert claim["spec"]["accessModes"] == ["ReadWriteOnce"]
    scratch = {v["name"] for v in pod(component)["volumes"] if "emptyDir" in v}
    assert {mounts[name]["mountPath"] for name in scratch} == {"/tmp"}
    assert set(mounts) == {v["name"] for v in pod(component)["volumes"]} | {claim["metadata"]["name"]}


@pytest.mark.parametrize("component", COMPONENTS)
def test_one_replica_that_a_mended_configuration_replaces_even_when_it_never_got_ready(component: str) -> None:
    spec = of_kind("StatefulSet")[component]["spec"]
    assert spec["replicas"] == 1
    assert spec["podManagementPolicy"] == "Parallel"
    assert spec["serviceName"] in of_kind("Service")
    assert "initContainers" not in pod(component)


@pytest.mark.parametrize("component", COMPONENTS)
def test_pods_run_with_what_they_need_and_no_more(component: str) -> None:
    whole, one = pod(component)["securityContext"], container(component)["securityContext"]
    assert whole["runAsNonRoot"] is True
    assert {whole["runAsUser"], whole["runAsGroup"], whole["fsGroup"]} == {UIDS[component]}
    assert whole["seccompProfile"] == {"type": "RuntimeDefault"}
    assert one["allowPrivilegeEscalation"] is False
    assert one["readOnlyRootFilesystem"] is True
    assert one["capabilities"] == {"drop": ["ALL"]}
    assert pod(component)["automountServiceAccountToken"] is False


@pytest.mark.parametrize("component", COMPONENTS)
def test_probes_tell_starting_alive_and_ready_apart(component: str) -> None:
    one = container(component)
    assert one["startupProbe"]["periodSeconds"] == 1
    patience = one["livenessProbe"]["periodSeconds"] * one["livenessProbe"]["failureThreshold"]
    assert patience >= 60, "a busy laptop is not a dead process"
    assert one["readinessProbe"]["periodSeconds"] == 1, "older kubelets ask again only then after a start"
    assert one["readinessProbe"]["failureThreshold"] >= 5, "a pause is no outage"
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert one[probe]["httpGet"]["path"] != "/-/healthy"


@pytest.mark.parametrize("component", COMPONENTS)
def test_the_garbage_collector_knows_the_memory_limit(component: str) -> None:
    limit = mebibytes(container(component)["resources"]["limits"]["memory"])
    soft = next(e["value"] for e in container(component)["env"] if e["name"] == "GOMEMLIMIT")
    assert 0.8 * limit <= mebibytes(soft) <= 0.95 * limit


def test_the_stack_fits_half_of_an_8_gib_machine_beside_kubernetes() -> None:
    limits = [mebibytes(container(c)["resources"]["limits"]["memory"]) for c in COMPONENTS]
    requests = [container(c)["resources"]["requests"] for c in COMPONENTS]
    assert sum(limits) <= 3 * 1024
    assert sum(mebibytes(r["memory"]) for r in requests) <= 1024
    assert sum(int(r["cpu"].removesuffix("m")) for r in requests) <= 500


def test_no_password_is_part_of_the_manifests() -> None:
    assert not of_kind("Secret")
    by_name = {e["name"]: e for e in container("grafana")["env"]}
    for variable, key in (("GF_SECURITY_ADMIN_USER", "admin-user"), ("GF_SECURITY_ADMIN_PASSWORD", "admin-password")):
        assert by_name[variable]["valueFrom"] == {"secretKeyRef": {"name": "grafana-admin", "key": key}}
