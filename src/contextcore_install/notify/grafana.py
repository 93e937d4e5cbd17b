"""The contact points as Grafana provisions them, so that its alerts reach the same people.

File shape: "Use configuration files to provision alerting resources" in Grafana's documentation. Each set of contact
points has a name of its own: Grafana keeps what it was given before, and the policy leads to the new one only. It
replaces `$NAME` by the environment's value, hence the doubled dollar signs.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

_SLACK = re.compile(r"https://hooks\.slack\.com/services/\S+|slack://(T\w+)/([AB]\w+)/(\w+)/?")
_DISCORD = re.compile(r"https://discord(?:app)?\.com/api/webhooks/\S+|discord://(\d+)/([\w-]+)/?")
_OTHERS = re.compile(
    r"https?://(hooks\.slack|discord|chat\.googleapis|ntfy\.sh|[\w.-]+\.office\.com|[\w.-]+\.azure\.com"
    r"|webexapis|maker\.ifttt|alert\.victorops|api\.flock|open\.larksuite)",
    re.IGNORECASE,
)
"""Addresses of services whose messages have a form of their own, which a plain webhook of Grafana does not speak."""

TAKEN_BACK = json.dumps({"apiVersion": 1, "resetPolicies": [1]}, indent=2) + "\n"
"""The file that gives Grafana its own notification policy again, at every start that finds it.

The contact point stays in Grafana's data, where nothing of ours leads to it: provisioning ends with an error where
`deleteContactPoints` names one that is in use (pkg/services/ngalert/provisioning/contactpoints.go).
"""

FOLDED = ["grafana_folder", "alertname", "cluster"]
"""Alerts that are alike in these labels are sent as one."""


def provisioning(urls: Sequence[str]) -> str:
    """Return the file that makes Grafana send its alerts to these URLs; empty where it can send to none of them."""
    receivers = [receiver for url in urls if (receiver := _receiver(url))]
    if not receivers:
        return ""
    digest = hashlib.sha256("\n".join(urls).encode()).hexdigest()[:10]
    name = f"contextcore-install {digest}"
    named = [{"uid": f"cc-{digest}-{place}", **_escaped(receiver)} for place, receiver in enumerate(receivers, 1)]
    document = {
        "apiVersion": 1,
        "contactPoints": [{"orgId": 1, "name": name, "receivers": named}],
        "policies": [{"orgId": 1, "receiver": name, "group_by": FOLDED}],
    }
    return json.dumps(document, indent=2) + "\n"


def can_send_to(url: str) -> bool:
    """Tell whether Grafana can send to a contact point; else this program alone does."""
    return _receiver(url) is not None


def _receiver(url: str) -> dict[str, Any] | None:
    if found := _SLACK.fullmatch(url):
        tokens = [token for token in found.groups() if token]
        return _as("slack", f"https://hooks.slack.com/services/{'/'.join(tokens)}" if tokens else url)
    if found := _DISCORD.fullmatch(url):
        tokens = [token for token in found.groups() if token]
        return _as("discord", f"https://discord.com/api/webhooks/{'/'.join(tokens)}" if tokens else url)
    return _webhook(url)


def _as(kind: str, url: str) -> dict[str, Any]:
    return {"type": kind, "settings": {"url": url}}


def _webhook(url: str) -> dict[str, Any] | None:
    parts = urlsplit(url)
    plain = {"http": "http", "https": "https", "json": "http", "jsons": "https"}.get(parts.scheme)
    if plain is None or not parts.hostname or _OTHERS.match(url):
        return None
    query = parts.query
    if parts.scheme.startswith("json"):
        options = parse_qsl(query, keep_blank_values=True)
        if any(not name.startswith("-") for name, _ in options):
            return None  # headers, or a message of another shape
        query = urlencode([(name[1:], value) for name, value in options], quote_via=quote)
    place = parts.netloc.rpartition("@")[2]
    settings = {"url": urlunsplit((plain, place, parts.path, query, "")), "httpMethod": "POST"}
    if parts.username:
        settings |= {"username": unquote(parts.username), "password": unquote(parts.password or "")}
    return {"type": "webhook", "settings": settings}


def _escaped(receiver: dict[str, Any]) -> dict[str, Any]:
    settings = {name: value.replace("$", "$$") for name, value in receiver["settings"].items()}
    return {**receiver, "settings": settings}
