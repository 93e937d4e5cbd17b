from __future__ import annotations

import json
import re
from typing import Any

import pytest

from contextcore_install.stack import provisioned
from unit.dev.provisioned import panels, rules
from unit.stack.manifests.manifests import read

FIELDS = {
    "uid", "title", "condition", "data", "noDataState", "execErrState", "for", "dashboardUid", "panelId",
    "annotations", "labels", "isPaused",
}  # fmt: skip
"""Those of AlertRuleV1 in Grafana's pkg/services/provisioning/alerting/rules_types.go that are used here."""

UIDS = [rule["uid"] for rule in rules()]


def test_the_file_has_the_shape_that_grafana_provisions() -> None:
    document = json.loads(provisioned.alerting()["rules.json"])
    assert document["apiVersion"] == 1
    (group,) = document["groups"]
    assert set(group) == {"orgId", "name", "folder", "interval", "rules"}
    assert group["folder"] == read("grafana/dashboard-providers.yaml")["providers"][0]["folder"]
    seconds = int(re.fullmatch(r"(\d+)s", group["interval"]).group(1))  # type: ignore[union-attr]
    assert seconds % 10 == 0, "a multiple of Grafana's base interval"


def test_there_is_a_rule_for_each_way_to_go_wrong() -> None:
    assert UIDS == [
        "contextcore-installation-failed",
        "contextcore-step-slow",
        "contextcore-heartbeat-lost",
        "contextcore-verification-failed",
    ]
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,40}", uid) for uid in UIDS)


@pytest.mark.parametrize("rule", rules(), ids=UIDS)
def test_a_rule_is_whole(rule: dict[str, Any]) -> None:
    assert set(rule) == FIELDS
    assert rule["noDataState"] in {"NoData", "Alerting", "OK", "KeepLast"}
    assert rule["execErrState"] in {"Alerting", "Error", "OK", "KeepLast"}
    assert rule["condition"] == "B"


@pytest.mark.parametrize("rule", rules(), ids=UIDS)
def test_its_condition_is_a_threshold_on_its_query(rule: dict[str, Any]) -> None:
    query, threshold = rule["data"]
    uids = {source["uid"] for source in read("grafana/datasources.yaml")["datasources"]}
    assert query["datasourceUid"] in uids
    assert query["model"]["datasource"] == {"type": "prometheus", "uid": query["datasourceUid"]}
    assert (query["model"]["instant"], query["model"]["range"]) == (True, False)
    assert "$" not in str(query["model"]["expr"])
    assert threshold["datasourceUid"] == "__expr__"
    assert threshold["model"]["expression"] == query["refId"]
    assert [query["refId"], threshold["refId"]] == ["A", "B"]


@pytest.mark.parametrize("rule", rules(), ids=UIDS)
def test_nothing_in_it_is_taken_for_a_variable(rule: dict[str, Any]) -> None:
    assert "$" not in "".join(rule["labels"].values())
    for text in rule["annotations"].values():
        assert "${" not in text
        assert set(re.findall(r"\$(\w+)", text)) <= {"labels", "values"}
        assert text.count("{{") == text.count("}}")


@pytest.mark.parametrize("rule", rules(), ids=UIDS)
def test_it_leads_to_a_panel_that_is_there(rule: dict[str, Any]) -> None:
    ids = {panel["id"] for panel in panels()}
    assert rule["panelId"] in ids
    assert rule["annotations"]["__panelId__"] == str(rule["panelId"])
    assert rule["annotations"]["__dashboardUid__"] == rule["dashboardUid"] == "contextcore-installation"
