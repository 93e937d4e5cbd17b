from __future__ import annotations

import copy
import json
import re
from itertools import combinations
from typing import Any

import pytest

from contextcore_install.engine.names import STATUSES, STEP_IDS
from contextcore_install.stack import provisioned
from dev.dashboards.__main__ import FILES
from unit.dev.provisioned import dashboard, panel, panels
from unit.dev.typed import misfits, read, written
from unit.stack.manifests.manifests import BASE, kustomization
from unit.stack.manifests.manifests import read as manifest

BUILT_IN = {"__url_time_range", "__value.raw"}


@pytest.mark.parametrize("name", FILES)
def test_what_is_committed_is_what_the_code_makes(name: str) -> None:
    assert (provisioned.FOLDER / name).read_text() == FILES[name](), "make dashboards"


def test_every_file_is_made_and_mounted() -> None:
    assert {f"dashboards/{name}" for name in provisioned.dashboards()} | {
        f"alerting/{name}" for name in provisioned.alerting()
    } == set(FILES)
    listed = {file for made in kustomization()["configMapGenerator"] for file in made["files"]}
    assert {f"grafana/{name}" for name in FILES} <= listed


def test_it_is_where_it_is_looked_for() -> None:
    assert dashboard()["uid"] == "contextcore-installation"
    assert dashboard()["title"] == "Installation Status"
    assert dashboard()["tags"] == ["contextcore"]
    assert "id" not in dashboard()
    (provider,) = manifest("grafana/dashboard-providers.yaml")["providers"]
    assert provider["folder"] == "ContextCore"


def test_every_field_is_one_that_grafana_knows() -> None:
    assert written(read(dashboard())) == dashboard()


def test_every_value_is_of_the_type_that_grafana_expects() -> None:
    assert misfits(read(dashboard())) == []


def _timeline(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(p for p in document["panels"] if p["type"] == "state-timeline")
    return found


def test_a_misspelt_option_is_found() -> None:
    wrong = copy.deepcopy(dashboard())
    _timeline(wrong)["options"]["mergeValue"] = True
    assert written(read(wrong)) != wrong


@pytest.mark.parametrize(
    ("place", "key", "value"),
    [
        (lambda d: _timeline(d)["options"], "showValue", "sometimes"),
        (lambda d: _timeline(d)["options"], "mergeValues", "yes"),
        (lambda d: _timeline(d)["fieldConfig"]["defaults"]["custom"], "fillOpacity", "80"),
        (lambda d: _timeline(d)["targets"][0], "instant", 1),
        (lambda d: d, "graphTooltip", 7),
    ],
)
def test_a_value_of_the_wrong_type_is_found(place: Any, key: str, value: object) -> None:
    wrong = copy.deepcopy(dashboard())
    place(wrong)[key] = value
    assert misfits(read(wrong))


def test_overrides_and_transformations_name_what_there_is() -> None:
    known = {"color", "links"}
    for found in panels():
        for override in found["fieldConfig"].get("overrides", []):
            assert {p["id"] for p in override["properties"]} <= known
        for transformation in found.get("transformations", []):
            names = {"organize": {"excludeByName", "indexByName", "renameByName"}, "sortBy": {"sort"}}[
                transformation["id"]
            ]
            assert set(transformation["options"]) == names


def test_panels_have_ids_of_their_own_and_do_not_overlap() -> None:
    everything = dashboard()["panels"]
    assert len({p["id"] for p in everything}) == len(everything)
    for one, other in combinations([p["gridPos"] for p in everything], 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or below
    assert all(p["gridPos"]["x"] + p["gridPos"]["w"] <= 24 for p in everything)


def test_every_panel_says_what_it_is_and_what_it_means_when_it_is_empty() -> None:
    for found in panels():
        assert found["description"]
        assert found["fieldConfig"]["defaults"]["noValue"].startswith(("No ", "Nothing ")), found["title"]


def test_steps_stand_in_the_plans_order() -> None:
    for title, apiece in (("Steps", 1), ("Attempts", 1), ("Duration of each step", 2)):
        shown = [re.findall(r'step="(\w+)"', t["expr"])[0] for t in panel(title)["targets"]]
        assert shown == [step for step in STEP_IDS for _ in range(apiece)]
        assert len({t["refId"] for t in panel(title)["targets"]}) == len(shown)


def test_every_status_has_a_name_and_a_colour() -> None:
    for title in ("Steps", "Current step"):
        (mapping,) = panel(title)["fieldConfig"]["defaults"]["mappings"]
        texts = [mapping["options"][str(value)]["text"] for value in range(5)]
        assert texts == [*(status.replace("_", " ") for status in STATUSES), "interrupted"]
        assert len({mapping["options"][str(value)]["color"] for value in range(5)}) == 5
    assert panel("Steps")["options"]["mergeValues"] is True


def test_panels_about_one_cluster_are_repeated_for_each() -> None:
    rows = [p for p in dashboard()["panels"] if p["type"] == "row"]
    assert [(row["title"], row.get("repeat")) for row in rows] == [("Cluster $cluster", "cluster"), ("Run $run", None)]


def test_every_query_asks_for_the_last_sample_however_old() -> None:
    for found in panels():
        for target in found["targets"]:
            for metric in re.findall(r"contextcore_install_\w+\{[^}]*\}(\S*)", target.get("expr", "")):
                assert metric.startswith("[$lookback]")


def test_every_variable_that_is_used_is_there() -> None:
    document = dashboard()
    names = [variable["name"] for variable in document["templating"]["list"]]
    text = json.dumps([document["panels"], *[v.get("query") for v in document["templating"]["list"]]])
    used = {name.partition(":")[0] for name in re.findall(r"\$\{([\w.:]+)\}", text)}
    used |= set(re.findall(r"\$([a-z_]\w*)", text)) - {"datasource"}
    assert used - BUILT_IN == set(names)
    for place, variable in enumerate(document["templating"]["list"]):
        query = json.dumps(variable.get("query", ""))
        assert set(re.findall(r"\$([a-z]\w*)", query)) <= set(names[:place]), "asked for in the order of the list"


def test_datasources_are_those_that_are_provisioned() -> None:
    known = {source["uid"]: source["type"] for source in manifest("grafana/datasources.yaml")["datasources"]}
    known["${datasource}"] = "prometheus"
    for found in panels():
        for source in [found["datasource"], *[target["datasource"] for target in found["targets"]]]:
            assert known[source["uid"]] == source["type"]
    chosen = next(v for v in dashboard()["templating"]["list"] if v["type"] == "datasource")
    assert chosen["current"]["value"] in known


def test_logs_and_trace_are_those_of_the_chosen_run() -> None:
    (lines,) = panel("Log of the run")["targets"]
    assert lines["expr"] == '{service_name="contextcore-install", cluster=~"$cluster"} | json | run_id="$run"'
    (trace,) = panel("Trace of the run")["targets"]
    assert (trace["query"], trace["queryType"]) == ("$trace", "traceql")


def test_it_fits_into_a_config_map() -> None:
    assert sum(len(text) for text in provisioned.dashboards().values()) < 900 * 1024
    assert all(path.suffix == ".json" for path in (BASE / "grafana/dashboards").iterdir())
