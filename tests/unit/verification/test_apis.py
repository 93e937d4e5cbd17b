"""What Grafana, Loki and Tempo answer is judged as what it is: met, unmet, or not looked at."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from contextcore_install.core.errors import InstallError
from contextcore_install.core.provider import Endpoint, Overview
from contextcore_install.system.http import LoopbackHttp
from contextcore_install.verification.facts import InstallationFacts
from contextcore_install.verification.requirements import VerificationTarget, probe_all, requirements
from contextcore_install.verification.results import RequirementResult, Status, completeness, measurements
from kit.fakes import FakeProvider, RealClock
from unit.verification.apis import DASHBOARD, NOT_FOUND, RULE, Apis, GrafanaApi, source_error

PASSWORD = "zQ7-not-a-default-Kx9"
OF_GRAFANA = ("login", "mimir_datasource", "loki_datasource", "tempo_datasource", "dashboards", "alert_rules")
MET, UNMET, SKIPPED = Status.MET, Status.UNMET, Status.SKIPPED


@pytest.fixture
def apis() -> Iterator[Apis]:
    found = Apis(GrafanaApi(PASSWORD))
    found.each(lambda api: api.start())
    yield found
    found.each(lambda api: api.stop())


def results_of(
    apis: Apis, password: str | InstallError | None = PASSWORD, visible_within_s: float = 6.0
) -> dict[str, RequirementResult]:
    """Verify what runs there, beside a metrics store that works."""
    ways = {"mimir": apis.loki.url, "grafana": apis.grafana.url, "loki": apis.loki.url, "tempo": apis.tempo.url}
    facts = InstallationFacts(
        requirements=(),
        workloads=(),
        endpoints=[Endpoint(name, url, "/ready") for name, url in ways.items()],
        overview=Overview(),
        storage=(),
        listeners=(),
        password=password,
    )
    subject = VerificationTarget(
        FakeProvider(),
        LoopbackHttp(),
        "test",
        RealClock().now_us,
        spans_url=lambda: apis.tempo.url,
        write_metric=lambda url: "shown",
        dashboards=(DASHBOARD,),
        rules=(RULE,),
        visible_within_s=visible_within_s,
    )
    found = {result.id: result for result in probe_all(list(requirements(subject, facts)), 30)}
    assert PASSWORD not in str([result.as_document() for result in found.values()])
    return found


def statuses(found: dict[str, RequirementResult], *names: str) -> set[Status]:
    return {found[name].status for name in names}


def message(result: RequirementResult) -> str:
    return result.probe.findings[0].message


def test_a_stack_that_works_meets_all_of_it(apis: Apis) -> None:
    found = results_of(apis)
    about = [result for result in found.values() if result.requirement.category == "observability"]
    assert {result.id: result.status for result in about} == {result.id: MET for result in about}
    assert found["grafana_password"].status is MET
    assert len(about) == 12
    assert apis.loki.lines
    assert apis.tempo.spans


def test_what_shows_up_a_little_later_is_met(apis: Apis) -> None:
    apis.loki.late = apis.tempo.late = 5
    assert statuses(results_of(apis), "line_round_trip", "span_round_trip") == {MET}


def test_what_is_taken_and_not_shown_is_lost(apis: Apis) -> None:
    apis.loki.loses = apis.tempo.loses = True
    found = results_of(apis, visible_within_s=0.3)
    assert statuses(found, "line_round_trip", "span_round_trip") == {UNMET}
    assert message(found["line_round_trip"]) == "Loki accepted a line and does not show it."
    assert found["span_round_trip"].blocking


def test_another_program_in_its_place_is_told_as_such_and_what_it_cannot_know_is_skipped(apis: Apis) -> None:
    apis.each(lambda api: setattr(api, "other", True))
    found = results_of(apis)
    others = {"grafana_api", "loki_api", "tempo_api"}
    assert {name for name, result in found.items() if result.status is UNMET} == others
    assert message(found["grafana_api"]) == f"What answers at {apis.grafana.url} is not Grafana."
    assert not any(result.blocking for result in found.values())
    dependent = ("line_round_trip", "span_round_trip", "grafana_password", *(f"grafana_{name}" for name in OF_GRAFANA))
    assert statuses(found, *dependent) == {SKIPPED}


def test_a_log_store_that_takes_lines_as_loki_does_and_knows_no_queries_is_another_program(apis: Apis) -> None:
    answer = apis.loki.answer
    apis.loki.answer = lambda request: answer(request) if request.method == "POST" else NOT_FOUND  # type: ignore[method-assign]
    found = results_of(apis)
    assert found["loki_api"].status is UNMET
    assert found["line_round_trip"].status is SKIPPED


@pytest.mark.parametrize("status", [401, 500, 503])
def test_stores_that_refuse_or_fail_are_unmet(apis: Apis, status: int) -> None:
    apis.loki.failing = apis.tempo.failing = status
    found = results_of(apis)
    assert statuses(found, "line_round_trip", "span_round_trip") == {UNMET}
    assert str(status) in found["line_round_trip"].as_document()["evidence"]
    assert statuses(found, "loki_api", "tempo_api") == {SKIPPED if status >= 500 else MET}


def test_a_grafana_that_fails_is_unmet_and_what_is_behind_it_not_known(apis: Apis) -> None:
    apis.grafana.failing = 500
    found = results_of(apis)
    assert found["grafana_login"].status is UNMET
    assert statuses(found, *(f"grafana_{name}" for name in OF_GRAFANA[1:])) == {SKIPPED}
    assert statuses(found, "grafana_password", "grafana_api") == {SKIPPED}


def test_what_hangs_costs_seconds_and_is_unmet(apis: Apis) -> None:
    apis.each(lambda api: setattr(api, "hangs", True))
    began = time.monotonic()
    found = results_of(apis)
    assert time.monotonic() - began < 20
    critical = ("line_round_trip", "span_round_trip", "grafana_mimir_datasource")
    assert statuses(found, *critical) == {UNMET}
    assert found["grafana_password"].status is SKIPPED
    assert len(apis.grafana.asked) == 1, "one question tells that it hangs"


def test_what_is_not_there_is_unmet(apis: Apis) -> None:
    apis.each(lambda api: api.stop())
    found = results_of(apis)
    assert statuses(found, "line_round_trip", "span_round_trip", "grafana_loki_datasource") == {UNMET}


Change = Callable[[GrafanaApi], object]


@pytest.mark.parametrize(
    ("change", "name", "code"),
    [
        (lambda g: g.health.pop("tempo"), "grafana_tempo_datasource", "datasource-missing"),
        (
            lambda g: g.health.update(loki=source_error("dial tcp: connection refused")),
            "grafana_loki_datasource",
            "datasource-fails",
        ),
        (
            lambda g: g.health.update(mimir=(503, {"message": "Plugin unavailable"})),
            "grafana_mimir_datasource",
            "datasource-fails",
        ),
        (lambda g: g.dashboards.clear(), "grafana_dashboards", "dashboard-missing"),
        (
            lambda g: g.dashboards.update({DASHBOARD: {"panels": [{"datasource": {"uid": "prom"}}]}}),
            "grafana_dashboards",
            "dashboard-datasource",
        ),
        (lambda g: g.rules.clear(), "grafana_alert_rules", "alert-rules-missing"),
    ],
)
def test_what_grafana_lacks_is_found_and_nothing_else(apis: Apis, change: Change, name: str, code: str) -> None:
    change(apis.grafana)
    found = results_of(apis)
    assert [result.id for result in found.values() if result.status is UNMET] == [name]
    assert found[name].probe.findings[0].code == code
    assert found[name].blocking is name.endswith("_datasource")


@pytest.mark.parametrize("said", [404, 501])
@pytest.mark.parametrize(("broken", "status"), [(False, MET), (True, UNMET)])
def test_a_data_source_without_a_health_check_is_asked_through_the_proxy(
    apis: Apis, broken: bool, status: Status, said: int
) -> None:
    apis.grafana.health["tempo"] = (said, {"message": "Not found"})
    apis.grafana.broken_proxy = broken
    assert results_of(apis)["grafana_tempo_datasource"].status is status


def test_dashboards_may_use_what_grafana_has_built_in_and_what_variables_choose(apis: Apis) -> None:
    uids: list[Any] = ["grafana", "-- Mixed --", "${datasource}", None]
    panels = [{"targets": [{"datasource": {"uid": uid}}]} for uid in uids]
    apis.grafana.dashboards[DASHBOARD] = {"panels": [*panels, {"datasource": None}, {"datasource": "x"}]}
    assert results_of(apis)["grafana_dashboards"].status is MET


def passwords_tried(apis: Apis) -> int:
    return len({request.headers.get("authorization") for request in apis.grafana.asked})


def test_a_password_that_opens_is_proof_and_no_other_is_tried(apis: Apis) -> None:
    assert results_of(apis)["grafana_password"].status is MET
    assert passwords_tried(apis) == 1


def test_a_default_password_is_found_without_asking_and_by_trying_where_it_was_changed(apis: Apis) -> None:
    apis.grafana.password = "admin"
    assert results_of(apis, "admin")["grafana_password"].blocking
    changed = results_of(apis)
    assert changed["grafana_password"].blocking
    assert changed["grafana_login"].status is UNMET
    assert not changed["grafana_login"].requirement.critical


def test_a_password_that_was_changed_to_a_good_one_is_no_failure_but_hides_what_is_behind(apis: Apis) -> None:
    apis.grafana.password = "another-good-one"
    found = results_of(apis)
    assert found["grafana_password"].status is MET
    assert not any(result.blocking for result in found.values())
    assert statuses(found, *(f"grafana_{name}" for name in OF_GRAFANA[1:])) == {SKIPPED}
    assert passwords_tried(apis) == 2


@pytest.mark.parametrize("password", [None, InstallError("api-down", "the cluster does not answer")])
def test_without_a_password_nothing_is_asked_of_grafana(apis: Apis, password: str | InstallError | None) -> None:
    found = results_of(apis, password)
    assert not apis.grafana.asked
    names = ("api", "password", *OF_GRAFANA)
    assert statuses(found, *(f"grafana_{name}" for name in names)) == {SKIPPED}


def test_what_was_skipped_counts_for_nothing(apis: Apis) -> None:
    found = list(results_of(apis, None).values())
    counted = measurements(found)
    assert {item["requirement"] for item in counted}.isdisjoint(
        result.id for result in found if result.status is SKIPPED
    )
    assert completeness(found) == 100.0
    assert completeness([result for result in found if result.status is SKIPPED]) is None
