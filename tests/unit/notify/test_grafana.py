from __future__ import annotations

import json

import pytest

from contextcore_install.notify.contact_points import can_send_to, provisioning

TOKENS = "T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"  # pragma: allowlist secret


@pytest.mark.parametrize(
    ("url", "kind", "settings"),
    [
        ("https://h.example:99/x?to=me", "webhook", {"url": "https://h.example:99/x?to=me", "httpMethod": "POST"}),
        (
            "jsons://u:p%40@h.example/x?-to=m%26e",
            "webhook",
            {"url": "https://h.example/x?to=m%26e", "httpMethod": "POST", "username": "u", "password": "p@"},
        ),
        (f"https://hooks.slack.com/services/{TOKENS}", "slack", {"url": f"https://hooks.slack.com/services/{TOKENS}"}),
        (f"slack://{TOKENS}", "slack", {"url": f"https://hooks.slack.com/services/{TOKENS}"}),
        ("discord://12345/a-b_c", "discord", {"url": "https://discord.com/api/webhooks/12345/a-b_c"}),
    ],
)
def test_what_grafana_speaks_is_given_to_it(url: str, kind: str, settings: dict[str, str]) -> None:
    document = json.loads(provisioning([url]))
    [point] = document["contactPoints"]
    [receiver] = point["receivers"]
    assert (receiver["type"], receiver["settings"]) == (kind, settings)
    [policy] = document["policies"]
    assert policy["receiver"] == point["name"]


@pytest.mark.parametrize(
    "url",
    [
        "ntfy://topic",
        "mailto://u:p@gmail.com",
        "json://h/x?+X-Token=1",
        "https://ntfy.sh/topic",
        "slack://xoxb-1-2",  # pragma: allowlist secret
    ],
)
def test_what_it_does_not_speak_is_left_to_this_program(url: str) -> None:
    assert not can_send_to(url)
    assert provisioning([url]) == ""


def test_a_dollar_sign_is_no_variable_of_grafanas() -> None:
    [point] = json.loads(provisioning(["https://u:a$HOME@h.example/x"]))["contactPoints"]
    assert point["receivers"][0]["settings"]["password"] == "a$$HOME"


def test_other_contact_points_have_another_name_so_that_what_was_before_is_not_used() -> None:
    names = {
        json.loads(provisioning(urls))["policies"][0]["receiver"]
        for urls in (["https://h/a"], ["https://h/b"], ["https://h/a", "https://h/b"])
    }
    assert len(names) == 3
    assert provisioning(["https://h/a"]) == provisioning(["https://h/a"])
