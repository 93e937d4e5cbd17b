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

from contextcore_install.notify.contact_points import is_service_address

# Receivers whose messages have a form of their own: URLs as the service gives them or in apprise's notation
_NATIVE = {
    "slack": (
        re.compile(r"https://hooks\.slack\.com/services/\S+|slack://(T\w+)/([AB]\w+)/(\w+)/?"),
        "https://hooks.slack.com/services/",
    ),
    "discord": (
        re.compile(r"https://discord(?:app)?\.com/api/webhooks/\S+|discord://(\d+)/([\w-]+)/?"),
        "https://discord.com/api/webhooks/",
    ),
}
RESET_POLICY = json.dumps({"apiVersion": 1, "resetPolicies": [1]}, indent=2) + "\n"
"""The file that gives Grafana its own notification policy again, at every start that finds it.

The contact point stays in Grafana's data, where nothing of ours leads to it: provisioning ends with an error if
`deleteContactPoints` names one that is in use (pkg/services/ngalert/provisioning/contactpoints.go).
"""
GROUP_BY = ["grafana_folder", "alertname", "cluster"]


def provisioning(urls: Sequence[str]) -> str:
    """Return the file that makes Grafana send its alerts to these URLs; empty if it can send to none of them."""
    receivers = [receiver for url in urls if (receiver := _receiver(url))]
    if not receivers:
        return ""
    digest = hashlib.sha256("\n".join(urls).encode()).hexdigest()[:10]
    name = f"contextcore-install {digest}"
    named = [{"uid": f"cc-{digest}-{place}", **receiver} for place, receiver in enumerate(receivers, 1)]
    document = {
        "apiVersion": 1,
        "contactPoints": [{"orgId": 1, "name": name, "receivers": named}],
        "policies": [{"orgId": 1, "receiver": name, "group_by": GROUP_BY}],
    }
    return json.dumps(document, indent=2) + "\n"


def can_send_to(url: str) -> bool:
    """Tell whether Grafana can send to a contact point; else this program alone does."""
    return _receiver(url) is not None


def _receiver(url: str) -> dict[str, Any] | None:
    """Return a receiver as Grafana's files have it; None for what Grafana does not send to."""
    for kind, (pattern, address) in _NATIVE.items():
        if found := pattern.fullmatch(url):
            tokens = "/".join(token for token in found.groups() if token)
            return _escaped(kind, {"url": address + tokens if tokens else url})
    settings = _webhook(url)
    return _escaped("webhook", settings) if settings else None


def _webhook(url: str) -> dict[str, str] | None:
    """Return the settings of a plain webhook, which Grafana sends JSON to."""
    parts = urlsplit(url)
    scheme = {"http": "http", "https": "https", "json": "http", "jsons": "https"}.get(parts.scheme)
    if scheme is None or not parts.hostname or is_service_address(url):
        return None
    query = parts.query
    if parts.scheme.startswith("json"):
        options = parse_qsl(query, keep_blank_values=True)
        if any(not name.startswith("-") for name, _ in options):
            return None  # headers, or a message of another shape
        query = urlencode([(name[1:], value) for name, value in options], quote_via=quote)
    place = parts.netloc.rpartition("@")[2]
    settings = {"url": urlunsplit((scheme, place, parts.path, query, "")), "httpMethod": "POST"}
    if parts.username:
        settings |= {"username": unquote(parts.username), "password": unquote(parts.password or "")}
    return settings


def _escaped(kind: str, settings: dict[str, str]) -> dict[str, Any]:
    return {"type": kind, "settings": {name: value.replace("$", "$$") for name, value in settings.items()}}
