"""What a provider tells is judged: what runs, where data is, who can connect, and whose files can be read."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from contextcore_install.core.dataclass import replace
from contextcore_install.core.errors import InstallError
from contextcore_install.core.findings import CheckResult, Finding, Remedy
from contextcore_install.core.provider import Endpoint, Overview, Probe, Requirement, Workload
from contextcore_install.core.requirements import Category, Listener, Storage, socket_listener
from contextcore_install.system.http import LoopbackHttp
from contextcore_install.verification.facts import InstallationFacts, observe
from contextcore_install.verification.requirements import (
    VerificationTarget,
    data_persistence,
    infrastructure,
    probe_all,
    requirements,
    security,
    step_results,
    verify,
)
from contextcore_install.verification.results import RequirementResult, Status, by_category
from kit.fakes import FakeProvider, Told

MET, UNMET, SKIPPED = Status.MET, Status.UNMET, Status.SKIPPED
NOTHING = InstallationFacts((), (), (), Overview(), (), (), None)
AWAY = InstallError("api-down", "the cluster does not answer")
LOOSE = Finding("claim-unbound", "no volume")


def judged(wanted: Any) -> dict[str, Status]:
    return {result.id: result.status for result in probe_all(list(wanted), 10)}


@pytest.mark.parametrize(
    ("workloads", "found"),
    [
        ([Workload("loki", True, "ready")], {"loki_running": MET}),
        ([Workload("loki", False, "starting")], {"loki_running": UNMET}),
        ([Workload("loki", False, "crashes", Finding("crash", "it crashes"))], {"loki_running": UNMET}),
        ([], {"components_running": SKIPPED}),
        (AWAY, {"components_running": SKIPPED}),
    ],
)
def test_each_workload_runs(workloads: Sequence[Workload] | InstallError, found: dict[str, Status]) -> None:
    assert judged(infrastructure(replace(NOTHING, workloads=workloads))) == found


@pytest.mark.parametrize(
    ("storage", "found"),
    [
        ([Storage("loki", "/data", "on ext4", in_memory=False)], {"loki_data": MET, "data_on_disk": MET}),
        ([Storage("loki", "/data", "on tmpfs", in_memory=True)], {"loki_data": MET, "data_on_disk": UNMET}),
        ([Storage("loki", "data-loki-0", "Bound")], {"loki_data": MET, "data_on_disk": SKIPPED}),
        ([Storage("loki", "data-loki-0", "Pending", LOOSE)], {"loki_data": UNMET, "data_on_disk": SKIPPED}),
        ([Storage("web", "", "it mounts nothing")], {"web_data": SKIPPED, "data_on_disk": SKIPPED}),
        ([], {"data_persistence": SKIPPED}),
        (AWAY, {"data_persistence": SKIPPED}),
    ],
)
def test_data_outlives_what_writes_it(storage: Sequence[Storage] | InstallError, found: dict[str, Status]) -> None:
    assert judged(data_persistence(replace(NOTHING, storage=storage))) == found


def told(found: list[Finding], _: Sequence[Storage]) -> list[Finding]:
    return found


def test_data_that_was_replaced_is_said_and_stands_in_nobodys_way() -> None:
    facts = replace(NOTHING, storage=[Storage("loki", "data-loki-0", "Bound")])
    gone = Finding("data-replaced", "it is gone", warning=True)
    for found, status in (([gone], UNMET), ([], MET)):
        wanted = list(data_persistence(facts, partial(told, found)))
        assert judged(wanted)["data_is_the_same"] is status
        assert not any(each.critical for each in wanted if each.id == "data_is_the_same")


@pytest.mark.parametrize(
    ("listeners", "status"),
    [
        ([socket_listener("loki", "127.0.0.1", 1), socket_listener("loki", "::1", 1)], MET),
        ([socket_listener("loki", "127.8.9.1", 1), socket_listener("loki", "::ffff:127.0.0.1", 1)], MET),
        ([socket_listener("loki", "127.0.0.1", 1), socket_listener("loki", "0.0.0.0", 2)], UNMET),
        ([socket_listener("loki", "::", 1)], UNMET),
        ([socket_listener("loki", "", 1)], UNMET),
        ([socket_listener("loki", "192.168.1.4", 1)], UNMET),
        ([socket_listener("loki", "fe80::1%eth0", 1)], UNMET),
        ([Listener("Service/loki", "inside the cluster", is_open=False)], MET),
        ([Listener("Service/loki", "every node, port 30100", is_open=True)], UNMET),
        ([], SKIPPED),
        (AWAY, SKIPPED),
    ],
)
def test_only_this_machine_reaches_the_stack(listeners: Sequence[Listener] | InstallError, status: Status) -> None:
    assert judged(security(replace(NOTHING, listeners=listeners), {}))["only_this_machine"] is status


def test_files_of_the_owner_alone_may_be_stricter_and_not_looser(tmp_path: Path) -> None:
    home, state = tmp_path / "home", tmp_path / "home" / "state's.json"
    home.mkdir(mode=0o700)
    files = {home: 0o700, state: 0o600}
    state.touch(0o400)
    assert judged(security(NOTHING, files))["private_files"] is MET
    state.chmod(0o640)
    result = next(item for item in probe_all(list(security(NOTHING, files)), 10) if item.id == "private_files")
    assert result.status is UNMET
    assert not result.blocking
    assert "mode 0640" in result.as_document()["evidence"]
    missing = {tmp_path / "nowhere": 0o700}
    assert judged(security(NOTHING, missing))["private_files"] is SKIPPED


def test_the_facts_of_a_provider_are_asked_at_once_and_an_error_is_one_of_them() -> None:
    provider = FakeProvider()
    provider.create_cluster(Told().ctx)
    provider.apply_release(Told().ctx)
    provider.failures["workloads"] = [AWAY]
    facts = observe(provider, 10)
    assert facts.workloads is AWAY
    assert [item.component for item in facts.storage if isinstance(item, Storage)] == ["grafana", "mimir"]  # type: ignore[union-attr]
    assert facts.url("mimir") == "http://127.0.0.1:10000"
    assert facts.url("loki") is None
    assert facts.why_absent("loki") == "the stack goes without it: not here"
    assert facts.why_absent("tempo") == "tempo is not part of what is installed"
    assert replace(facts, endpoints=AWAY).why_absent("loki") == "not known: the cluster does not answer"
    no_way = [Endpoint("loki", "http://127.0.0.1:0", "/ready")]
    assert replace(NOTHING, endpoints=no_way).why_absent("loki") == "there is no way to it at the moment"


def test_what_nobody_wants_here_is_not_asked_for() -> None:
    nothing = VerificationTarget(FakeProvider(), LoopbackHttp(), "c", lambda: 0, lambda: None, str)
    facts = replace(NOTHING, overview=Overview(not_chosen=frozenset({"loki", "tempo"})))
    ids = {each.id for each in requirements(nothing, facts)}
    assert {"metric_round_trip", "grafana_mimir_datasource"} <= ids
    assert not [name for name in ids if "loki" in name or "tempo" in name or "line" in name or "span" in name]
    facts = replace(NOTHING, overview=Overview(not_chosen=frozenset({"grafana"})))
    ids = {each.id for each in requirements(nothing, facts)}
    assert "span_round_trip" in ids
    assert not [name for name in ids if "grafana" in name]


class Installed(FakeProvider):
    """A provider of a metrics store, whose node has just started if it must be steady for a while."""

    steady_s = 0.0

    def endpoints(self) -> Sequence[Endpoint]:
        return [Endpoint("mimir", "http://127.0.0.1:1", "/ready", steady_s=self.steady_s)]


@pytest.mark.parametrize(("steady_s", "fails", "status"), [(2.0, 1, MET), (2.0, 9, UNMET), (0.0, 1, UNMET)])
def test_what_a_start_of_the_node_left_unmet_is_looked_at_again(steady_s: float, fails: int, status: Status) -> None:
    provider, refusals = Installed(["mimir"]), [InstallError("http-reset", "it broke")] * fails
    provider.steady_s = steady_s

    def write(_: str) -> str:
        if refusals:
            raise refusals.pop()
        return "shown"

    subject = VerificationTarget(provider, LoopbackHttp(), "c", lambda: 0, lambda: None, write)
    found = {result.id: result.status for result in verify(subject, 4.0)}
    assert found["metric_round_trip"] is status


def test_a_bug_in_a_probe_is_not_hidden() -> None:
    def broken() -> Probe:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        probe_all([Requirement("x", "X", broken)], 10)


def test_steps_count_as_what_they_make_so_and_what_hangs_on_another_is_skipped() -> None:
    unknown = Finding("not-known-yet", "not known before cluster_create is fixed: no answer")
    checks = {
        "preflight": CheckResult("14 met", (Finding("disk-low", "little room", warning=True),)),
        "cluster_create": CheckResult(findings=(Finding("cluster-stopped", "it is stopped"),)),
        "pods_ready": CheckResult(findings=(unknown,)),
    }
    found = step_results(checks, {"preflight": "Check the machine"})
    assert [result.status for result in found] == [MET, UNMET, SKIPPED]
    assert found[0].requirement.title == "Check the machine"
    assert [row["completeness_percent"] for row in by_category(found)] == [100.0, 0.0, None, None, None]


def test_secrets_in_what_was_seen_are_hidden_and_ids_are_those_of_metrics() -> None:
    remedy = Remedy("", "fix it")
    finding = Finding("leak", "password=hunter2secret", "Authorization: Basic YWRtaW46YWRtaW4=", remedy)
    requirement = Requirement("port-loki", "P", Probe, category=Category.SECURITY, critical=False)
    result = RequirementResult(requirement, Probe(findings=(finding,)))
    shown = str(result.as_document())
    assert "hunter2secret" not in shown
    assert "YWRtaW46YWRtaW4" not in shown
    measured = {"requirement": "port_loki", "title": "P", "category": "security", "ratio": 0.0, "critical": False}
    assert result.as_measurement() == measured
