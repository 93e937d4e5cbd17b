"""What is broken is found, shown with the right remedy, and healed: with its data, and with nothing else touched."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from e2e.breakages import QUICK, TABLE, Row, cluster_wide, node_of, spoil_credentials
from e2e.figures import ANEW, CHECKED, note
from e2e.lab import (
    EVERYTHING,
    MANIFESTS,
    ON_DISK_S,
    ClusterInstallation,
    ask,
    cluster_name,
    engine,
    node_starts,
    node_states,
)
from kit.installation import kill, read_until
from kit.stores import wait_until

WORKERS = 2
CHECKS = 200
EARLY_S = 150.0
"""Seconds within which a repair ends that cannot go on; its steps' time limit is 600 s."""
RISKS = ("harmless", "restarts", "loses-data")
ROWS = [row for row in TABLE if EVERYTHING or row.name in QUICK]


@pytest.fixture(scope="session")
def three_nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterInstallation]:
    place = ClusterInstallation(tmp_path_factory.mktemp("repair"), cluster_name("repair"))
    yield place
    place.remove()


@pytest.fixture
def ward(request: pytest.FixtureRequest) -> ClusterInstallation:
    """Return an installation that is whole, with one sample in it: of three nodes where everything is tried."""
    if not EVERYTHING:
        return request.getfixturevalue("installed")  # type: ignore[no-any-return]
    place: ClusterInstallation = request.getfixturevalue("three_nodes")
    place.said.clear()
    if not place.home.exists():
        began = time.monotonic()
        place.must(*place.flags(), "--workers", str(WORKERS))
        note(ANEW, time.monotonic() - began)
    elif not diagnosis(place)["ok"]:
        place.must("--repair", "--yes")
    if not place.written():
        place.write(1.0)
    return place


@pytest.mark.thorough
@pytest.mark.timeout(1800)
def test_a_healthy_cluster_is_found_healthy_every_time(ward: ClusterInstallation) -> None:
    for number in range(CHECKS):
        began = time.monotonic()
        found = diagnosis(ward)
        note(CHECKED, time.monotonic() - began)
        problems = [item for item in findings_of(found) if not item.get("warning")]
        assert (found["ok"], problems) == (True, []), f"check {number + 1}"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_what_is_broken_is_found_and_healed(ward: ClusterInstallation, row: Row) -> None:
    before = what_stays(ward, row)
    row.break_it(ward)
    found = diagnosis(ward)
    if not row.heals_itself:
        findings = [f"{item['code']} {item['message']}" for item in findings_of(found)]
        assert not found["ok"]
        assert any(re.search(row.finds, text) for text in findings), findings
    if not row.heals_itself and row.by_hand is None:
        risks = [item["risk"] for item in found["remedies"] if item["automatic"]]
        assert risks, found["remedies"]
        assert max(map(RISKS.index, risks)) <= RISKS.index(row.risk) or row.risk == "restarts", risks
        assert "loses-data" not in risks
    if row.by_hand is not None:
        began = time.monotonic()
        refused = ward.run("--repair", "--yes")
        assert refused.returncode == 1, refused.stdout
        assert time.monotonic() - began < EARLY_S, "what is known at once was waited for"
        row.by_hand(ward)
    began = time.monotonic()
    ward.must("--repair", "--yes")
    note(row.name, time.monotonic() - began)
    assert diagnosis(ward)["ok"]
    assert what_stays(ward, row) == before
    if not row.keeps_data:
        assert any("data" in text for text in ward.said[-2:])


def test_a_new_context_leaves_the_nodes_and_the_other_contexts_alone(ward: ClusterInstallation) -> None:
    spoil_credentials(ward)
    before = node_starts(ward.cluster)
    ward.must("--repair", "--yes")
    assert node_starts(ward.cluster) == before
    contexts = ask("kubectl", "config", "get-contexts", "-o", "name", environ=ward.environ()).split()
    assert {"mine", ward.context} <= set(contexts)


def test_a_file_that_kubectl_cannot_read_is_named_and_left_as_it_is(ward: ClusterInstallation) -> None:
    whole = ward.kubeconfig.read_text()
    before = node_starts(ward.cluster)
    broken = whole.replace("clusters:", "clusters: [\n  {")
    ward.kubeconfig.write_text(broken)
    try:
        refused = ward.run("--repair", "--yes")
        assert refused.returncode == 1, refused.stdout
        said = " ".join(refused.stdout.split())
        assert f"kubectl cannot read its configuration, {ward.kubeconfig}" in said
        assert f"mv {ward.kubeconfig} {ward.kubeconfig}.aside && kind export kubeconfig" in said
        assert ward.kubeconfig.read_text() == broken
        assert node_starts(ward.cluster) == before
    finally:
        ward.kubeconfig.write_text(whole)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("requirement", "broken"),
    [
        ("kube_proxy", ("delete", "daemonset", "kube-proxy")),
        ("cluster_dns", ("scale", "deployment", "coredns", "--replicas=0")),
        ("cluster_dns", ("delete", "deployment", "coredns")),
    ],
)
def test_what_the_cluster_itself_lacks_is_seen_and_its_hint_brings_it_back(
    ward: ClusterInstallation, requirement: str, broken: tuple[str, ...]
) -> None:
    def lacks() -> list[dict[str, Any]]:
        document = json.loads(ward.run("verify", "--output", "json").stdout)
        (found,) = (item for item in document["requirements"] if item["id"] == requirement)
        return list(found.get("findings", []))

    assert lacks() == []
    cluster_wide("-n", "kube-system", *broken)(ward)
    wait_until(lambda: lacks() != [], f"{requirement} is never missed", limit_s=60)
    ask("sh", "-c", lacks()[0]["remedy"]["command"], environ=ward.environ())
    wait_until(lambda: lacks() == [], f"{requirement} never came back", limit_s=120)


@pytest.mark.parametrize(
    "name", [pytest.param("the control plane stopped", marks=pytest.mark.thorough), "the context lost"]
)
def test_carrying_on_heals_the_cluster_as_well(ward: ClusterInstallation, name: str) -> None:
    row = next(row for row in TABLE if row.name == name)
    before = what_stays(ward, row)
    row.break_it(ward)
    ward.must("--resume")
    assert what_stays(ward, row) == before
    ward.must("verify")


@pytest.mark.thorough
def test_a_breakage_during_a_repair_is_healed_by_the_next_one(ward: ClusterInstallation) -> None:
    volumes, written = ward.volumes(), ward.written()
    ward.kubectl("delete", "statefulset", "loki")
    running = ward.start("--repair", "--yes")
    read_until(running, "step_started", "manifests_apply")
    ward.kubectl("delete", "statefulset", "tempo")
    running.communicate(timeout=400)
    ward.must("--repair", "--yes")
    assert diagnosis(ward)["ok"]
    assert (ward.volumes(), ward.written()) == (volumes, written)


@pytest.mark.thorough
@pytest.mark.parametrize("step", ["manifests_apply", "pods_ready"])
def test_a_repair_that_is_killed_is_carried_on_by_the_next_one(ward: ClusterInstallation, step: str) -> None:
    volumes, written = ward.volumes(), ward.written()
    ward.kubectl("delete", "statefulset,service", "loki")
    running = ward.start("--repair", "--yes")
    read_until(running, "step_started", step)
    kill(running)
    ward.must("--repair", "--yes")
    assert diagnosis(ward)["ok"]
    assert (ward.volumes(), ward.written()) == (volumes, written)


@pytest.mark.thorough
def test_without_consent_nothing_is_touched(ward: ClusterInstallation) -> None:
    ward.kubectl("delete", "service", "loki")
    before = ward.uids("statefulsets,services,pods")
    refused = ward.run("--repair")
    assert refused.returncode == 1
    assert "--repair --yes" in refused.stdout
    assert "Service/loki: missing" in refused.stdout
    assert ward.uids("statefulsets,services,pods") == before


@pytest.mark.thorough
def test_manifests_that_leave_a_volume_behind_are_refused(ward: ClusterInstallation, tmp_path: Path) -> None:
    import shutil

    folder = Path(shutil.copytree(MANIFESTS, tmp_path / "manifests"))
    path = folder / "loki/statefulset.yaml"
    text = path.read_text().partition("  volumeClaimTemplates:")[0]
    path.write_text(text.replace("      volumes:\n", "      volumes:\n        - name: data\n          emptyDir: {}\n"))
    before = ward.uids("statefulsets,pods,pvc"), ward.written()
    for command in (("--resume",), ("--repair", "--yes"), ()):
        refused = ward.run(*command, "--manifests", str(folder))
        assert refused.returncode == 1, refused.stdout
        assert "leave its data behind" in refused.stdout
    assert (ward.uids("statefulsets,pods,pvc"), ward.written()) == before
    ward.must("--resume", "--manifests", str(MANIFESTS))


@pytest.mark.thorough
def test_a_cluster_that_lost_a_node_is_made_anew_with_consent_and_what_could_be_saved_comes_back(
    ward: ClusterInstallation,
) -> None:
    written, identity = ward.written(), ward.identity()
    time.sleep(ON_DISK_S)
    without_data = next(
        name for name in node_states(ward.cluster) if "worker" in name and name != node_of(ward, "mimir")
    )
    ask(engine(), "rm", "-f", without_data)
    refused = ward.run("--repair", "--yes")
    assert refused.returncode == 1, refused.stdout
    assert "--repair --allow-data-loss" in refused.stdout
    assert ward.identity() == identity

    ward.must("--repair", "--yes", "--allow-data-loss", "--cluster", ward.cluster)
    assert ward.identity() != identity
    assert diagnosis(ward)["ok"]
    (saved,) = (ward.files / "backups").glob("*before-recreate*.tar.gz")
    ward.must("restore", str(saved), "--yes", "--cluster", ward.cluster)
    assert set(written) <= set(ward.written())
    ward.must("verify")


def diagnosis(place: ClusterInstallation) -> dict[str, Any]:
    done = place.run("plan", "--repair", "--output", "json")
    assert done.returncode == 0, done.stdout + done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def findings_of(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [item for check in document["checks"] for item in check["findings"]]


def what_stays(place: ClusterInstallation, row: Row) -> Mapping[str, object]:
    """Return what a repair of this breakage may not touch."""
    found = place.uids("statefulsets,services,configmaps,secrets,pods,pvc")
    return {
        "cluster": place.identity(),
        "objects": {name: uid for name, uid in found.items() if not re.match(row.touches, name)},
        "data": place.written() if row.keeps_data else [],
    }
