"""Every query of the committed dashboard, on real stores that hold recorded runs."""

from __future__ import annotations

import re
from itertools import groupby
from typing import Any

import pytest

from contextcore_install.engine.names import STEP_IDS
from contextcore_install.telemetry.folds.fold import trace_id
from kit.recordings import DAY, HOUR, MINUTE, Recorded
from unit.dev.provisioned import dashboard, panel, panels

ALL = ".*"
"""What the dashboard's variable `cluster` stands for at first."""

PENDING, AT_WORK, DONE, FAILED, CUT_OFF = range(5)


def quoted(name: str) -> str:
    """Return a variable's value as Grafana puts it into a regular expression: its prometheusSpecialRegexEscape."""
    return re.sub(r"[$^*{}\[\]'+?.()|]", r"\\\\\g<0>", name.replace("\\", "\\\\\\\\"))


def substituted(expression: str, *clusters: str, run: str = "") -> str:
    """Return an expression with the variables filled in as Grafana does: all clusters where none is named."""
    names = [quoted(name) for name in clusters]
    chosen = f"({'|'.join(names)})" if len(names) > 1 else "".join(names) or ALL
    for variable, value in (("cluster", chosen), ("lookback", "7d"), ("run", run)):
        expression = expression.replace(f"${variable}", value)
    assert "$" not in expression.replace("\\\\$", "")
    return expression


def shown(
    recorded: Recorded, title: str, *recordings: str, later_s: float = 0, by: str = "cluster"
) -> dict[str, float]:
    """Return what a panel shows of recordings by one of the labels, in the order in which it shows it."""
    clusters = [recorded.clusters[name] for name in recordings]
    found: dict[str, float] = {}
    for target in panel(title)["targets"]:
        for series in recorded.now(substituted(target["expr"], *clusters), later_s=later_s):
            metric = {**series["metric"], "cluster": recorded.name(series["metric"]["cluster"])}
            legend = target["legendFormat"]
            for label, value in metric.items():
                legend = legend.replace(f"{{{{{label}}}}}", value)
            key = metric[by] if by != "legend" else legend
            assert key not in found
            found[key] = float(series["value"][1])
    return found


def steps(recorded: Recorded, title: str, recording: str, later_s: float = 0) -> dict[str, float]:
    return shown(recorded, title, recording, later_s=later_s, by="legend")


SEVERAL = ("fresh", "finished", "failed", "killed", "interrupted", "resumed", "resuming")
NOW_AND_LATER = pytest.mark.parametrize("later_s", [0, DAY], ids=["now", "a day later"])


def test_the_current_step_is_named(recorded: Recorded) -> None:
    assert shown(recorded, "Current step", *SEVERAL, by="legend") == {
        "cluster_create (fresh)": AT_WORK,
        "pods_ready (killed)": CUT_OFF,
        "cluster_create (interrupted)": CUT_OFF,
        "pods_ready (resuming)": AT_WORK,
    }


def test_a_run_is_not_alive_a_minute_after_its_last_heartbeat(recorded: Recorded) -> None:
    # Its last heartbeat was 10 s ago.
    assert steps(recorded, "Current step", "fresh", later_s=49) == {"cluster_create (fresh)": AT_WORK}
    assert steps(recorded, "Current step", "fresh", later_s=52) == {"cluster_create (fresh)": CUT_OFF}


@NOW_AND_LATER
def test_progress(recorded: Recorded, later_s: float) -> None:
    expected = {"fresh": 1, "finished": 6, "failed": 3, "killed": 3, "interrupted": 1, "resumed": 6, "resuming": 3}
    assert shown(recorded, "Progress", *SEVERAL, later_s=later_s) == pytest.approx(
        {name: done / 6 for name, done in expected.items()}, abs=1e-5
    )


def test_the_duration_grows_while_a_run_lives(recorded: Recorded) -> None:
    assert shown(recorded, "Duration of the latest run", "fresh", "resuming") == pytest.approx(
        {"fresh": 42, "resuming": 30}, abs=0.1
    )


@NOW_AND_LATER
def test_the_duration_stops_with_the_run_or_its_last_sign_of_life(recorded: Recorded, later_s: float) -> None:
    over = ("finished", "failed", "killed", "interrupted", "resumed")
    expected = {"finished": 121, "failed": 66, "killed": 36, "interrupted": 22, "resumed": 6}
    assert shown(recorded, "Duration of the latest run", *over, later_s=later_s) == pytest.approx(expected, abs=0.5)


@NOW_AND_LATER
def test_failures_are_counted_and_none_is_none(recorded: Recorded, later_s: float) -> None:
    expected = dict.fromkeys(SEVERAL, 0) | {"failed": 1}
    assert shown(recorded, "Failed steps", *SEVERAL, later_s=later_s) == expected


@NOW_AND_LATER
def test_the_last_successful_verification(recorded: Recorded, later_s: float) -> None:
    title = "Since the last successful verification"
    found = shown(recorded, title, *SEVERAL, "unverified", later_s=later_s)
    expected = {"finished": 20 * MINUTE, "resumed": 20 * MINUTE + 18, "unverified": HOUR - 12}
    assert found == pytest.approx({name: ago + later_s for name, ago in expected.items()}, abs=1)


@NOW_AND_LATER
def test_completeness_is_what_the_latest_verification_found(recorded: Recorded, later_s: float) -> None:
    names = ("finished", "unverified", "failed")
    assert shown(recorded, "Completeness", *names, later_s=later_s) == pytest.approx(
        {"finished": 250 / 3, "unverified": 50}, abs=1e-4
    )
    for name, infrastructure in (("finished", 1), ("unverified", 0.5)):
        found = shown(recorded, "Completeness by category", name, later_s=later_s, by="category")
        assert found == pytest.approx({"infrastructure": infrastructure, "observability": 0.5})


@NOW_AND_LATER
def test_failed_requirements_are_those_of_the_latest_verification(recorded: Recorded, later_s: float) -> None:
    title = "Failed requirements"
    assert shown(recorded, title, "finished", later_s=later_s, by="requirement") == {"tempo_present": 0.5}
    found = shown(recorded, title, "unverified", later_s=later_s, by="requirement")
    assert found == {"mimir_ready": 0, "tempo_present": 0.5}
    assert shown(recorded, title, "fresh", later_s=later_s) == {}


def test_attempts_stand_in_the_plans_order(recorded: Recorded) -> None:
    found = steps(recorded, "Attempts", "resumed", later_s=DAY)
    assert list(found) == list(STEP_IDS)
    assert found == dict.fromkeys(STEP_IDS, 1) | {"pods_ready": 2}


def test_a_steps_duration_stands_beside_what_it_took_before(recorded: Recorded) -> None:
    title = "Duration of each step"
    found = steps(recorded, title, "finished", later_s=DAY)
    assert list(found) == [name for step in STEP_IDS for name in (step, f"{step}, before")]
    assert set(found.values()) == {20, 10}
    assert found["preflight, before"] == 10
    assert steps(recorded, title, "slow") == pytest.approx(
        {"preflight": 50, "cluster_create": 200, "cluster_create, before": 50}, abs=0.5
    )
    assert steps(recorded, title, "slow", later_s=DAY) == {"preflight": 50, "cluster_create": 50}
    assert steps(recorded, title, "fresh") == pytest.approx({"preflight": 2, "cluster_create": 40}, abs=0.5)


def bands(recorded: Recorded, recording: str, *, last_s: int, step_s: int = 5) -> dict[str, list[int]]:
    """Return the statuses that the timeline shows of each step one after another; a step is one series."""
    found = {}
    for target in panel("Steps")["targets"]:
        expression = substituted(target["expr"], recorded.clusters[recording])
        (series,) = recorded.over_time(expression, last_s=last_s, step_s=step_s)
        assert target["legendFormat"] == "{{step}}"
        found[series["metric"]["step"]] = [int(float(value)) for value, _ in groupby(v for _, v in series["values"])]
    return found


def test_the_timeline_of_a_run_at_work(recorded: Recorded) -> None:
    found = bands(recorded, "fresh", last_s=35, step_s=1)
    assert list(found) == list(STEP_IDS)
    assert found.pop("preflight") == [DONE]
    assert found.pop("cluster_create") == [AT_WORK]
    assert {tuple(band) for band in found.values()} == {(PENDING,)}


def test_the_timeline_of_a_run_that_was_killed(recorded: Recorded) -> None:
    found = bands(recorded, "killed", last_s=25 * MINUTE)
    assert found["pods_ready"] == [PENDING, AT_WORK, CUT_OFF]
    assert found["services_verify"] == [PENDING]
    assert found["preflight"][-1] == DONE


def test_the_timeline_of_a_run_that_was_carried_on(recorded: Recorded) -> None:
    found = bands(recorded, "resumed", last_s=HOUR + MINUTE)
    assert found["pods_ready"][:3] == [PENDING, AT_WORK, CUT_OFF]
    assert {band[-1] for band in found.values()} == {DONE}


def test_the_timeline_of_a_run_that_failed(recorded: Recorded) -> None:
    assert bands(recorded, "failed", last_s=25 * MINUTE)["pods_ready"] == [PENDING, AT_WORK, FAILED]


def test_all_clusters_are_shown_where_none_is_chosen(recorded: Recorded) -> None:
    found = recorded.now(substituted(panel("Progress")["targets"][0]["expr"]))
    assert set(recorded.clusters.values()) <= {series["metric"]["cluster"] for series in found}


def test_nothing_is_shown_of_a_cluster_that_is_not_there(recorded: Recorded) -> None:
    for found in panels():
        for target in found["targets"]:
            if target["datasource"]["type"] == "prometheus":
                assert recorded.now(substituted(target["expr"], "nowhere")) == [], found["title"]


def options(recorded: Recorded, name: str, *recordings: str, run: str = "", later_s: float = 0) -> list[str]:
    """Return the options of a variable, taken out of the result's text as Grafana does."""
    variable: dict[str, Any] = next(v for v in dashboard()["templating"]["list"] if v["name"] == name)
    clusters = [recorded.clusters[name] for name in recordings]
    expression = re.fullmatch(r"query_result\((.*)\)", variable["query"]).group(1)  # type: ignore[union-attr]
    texts = []
    for series in recorded.now(substituted(expression, *clusters, run=run), later_s=later_s):
        labels = ",".join(f'{key}="{value}"' for key, value in series["metric"].items() if key != "__name__")
        texts.append(f"{series['metric'].get('__name__', '')}{{{labels}}} {' '.join(map(str, series['value']))}")
    values = {re.search(variable["regex"].strip("/"), text).group(1) for text in texts}  # type: ignore[union-attr]
    return sorted(values, reverse=variable.get("sort") == 2)


@NOW_AND_LATER
def test_the_variables_offer_what_there_is(recorded: Recorded, later_s: float) -> None:
    assert set(options(recorded, "cluster", later_s=later_s)) >= set(recorded.clusters.values())
    assert options(recorded, "run", "resumed", later_s=later_s) == ["r2", "r1"]
    assert options(recorded, "trace", "resumed", run="r2", later_s=later_s) == [trace_id("r2")]


def test_the_runs_of_a_cluster_are_listed(recorded: Recorded) -> None:
    (target,) = panel("Runs")["targets"]
    found = recorded.now(substituted(target["expr"], recorded.clusters["resumed"]), later_s=DAY)
    assert {series["metric"]["run_id"] for series in found} == {"r1", "r2"}
    assert {(series["metric"]["provider"], series["metric"]["version"]) for series in found} == {("host", "1.2.3")}


def test_every_panel_of_metrics_is_tested() -> None:
    titles = {found["title"] for found in panels() if found["targets"][0]["datasource"]["type"] == "prometheus"}
    assert titles == {
        "Current step", "Progress", "Duration of the latest run", "Failed steps", "Completeness",
        "Since the last successful verification", "Steps", "Attempts", "Duration of each step",
        "Completeness by category", "Failed requirements", "Runs",
    }  # fmt: skip
