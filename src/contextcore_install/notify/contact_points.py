"""Contact points: where messages go, and as Grafana is given them, so that its alerts reach the same people.

Each is a URL, and the whole of a URL may be a secret.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

from contextcore_install.core.dataclass import dataclass, field
from contextcore_install.core.errors import InstallError

if TYPE_CHECKING:
    from apprise import NotifyBase

ENVIRONMENT = "CONTEXTCORE_NOTIFY"
"""The variable that takes the place of the contact points that were set, for one invocation."""

_SERVICE_ADDRESS = (
    r"https?://(hooks\.slack(-gov)?\.com|discord(app)?\.com/api/webhooks|chat\.googleapis\.com|ntfy\.sh"
    r"|[\w.-]+\.webhook\.office\.com|[\w.-]+\.logic\.azure\.com|webexapis\.com|maker\.ifttt\.com"
    r"|alert\.victorops\.com|api\.flock\.com|open\.larksuite\.com)/"
)
"""URLs that services give to their users, and whose messages have a form of their own.

Apprise knows more of these, and takes two seconds to load what knows them all; the others are given in its notation.
"""
# White space or a comma before another URL; other commas belong to a URL
_BETWEEN = r"(?:\s*,\s*|\s+)(?=[A-Za-z][A-Za-z0-9+.-]*://)"
# Services whose URL names a server; with others a token or a topic may be in its place
_NAMED_BY_HOST = frozenset({"json", "xml", "form"})


@dataclass(frozen=True, slots=True)
class ContactPoint:
    """A place that takes messages. `name` may be shown anywhere; `url` and what was made of it nowhere."""

    name: str
    url: str = field(repr=False)
    service: NotifyBase = field(repr=False)


def is_service_address(url: str) -> bool:
    return re.match(_SERVICE_ADDRESS, url, re.IGNORECASE) is not None


def split_urls(text: str) -> list[str]:
    """Return the URLs of a text, each once: one a line or several in it; lines that begin with `#` are comments."""
    lines = (line for line in text.splitlines() if not line.lstrip().startswith("#"))
    found = [url for line in lines for url in re.split(_BETWEEN, line.strip()) if url]
    return list(dict.fromkeys(found))


def open_contact_points(urls: Sequence[str]) -> list[ContactPoint]:
    """Return the contact points behind URLs: those of the library apprise; plain http(s) URLs are webhooks.

    Raises InstallError for what is none, and names it by its position: the text itself may be a secret.
    """
    import logging

    from apprise import AppriseAsset

    quiet = logging.getLogger("apprise")
    quiet.propagate = False
    quiet.addHandler(logging.NullHandler())
    asset = AppriseAsset(app_id="contextcore-install", app_desc="", app_url="", storage_mode="memory")
    found = []
    for place, url in enumerate(urls, 1):
        service = _service(url, asset)
        if service is None:
            raise InstallError(
                "contact-point-unknown",
                f"contact point {place} of {len(urls)} is no URL of a service that is known",
                hint="as in https://example.com/hook, ntfys://TOPIC or mailto://USER:PASSWORD@HOST: "
                "https://appriseit.com/services/ lists them",
            )
        found.append(ContactPoint(_name(service), url, service))
    return found


def _service(url: str, asset: Any) -> NotifyBase | None:
    """Return what sends to a URL; None if it is no contact point."""
    try:
        if url.lower().startswith(("http://", "https://")) and not is_service_address(url):
            from apprise.plugins.custom_json import NotifyJSON

            return NotifyJSON(asset=asset, **_webhook(url))  # type: ignore[no-untyped-call]
        from apprise import Apprise

        return Apprise.instantiate(url, asset=asset)
    except Exception:  # noqa: BLE001 - what a plugin says of a URL may quote it
        return None


def _webhook(url: str) -> dict[str, Any]:
    """Return the arguments of apprise's JSON service for a plain URL, whose query is to arrive as it is."""
    parts = urlsplit(url)
    if not parts.hostname:
        raise ValueError("no host")
    return {
        "secure": parts.scheme == "https",
        "host": f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname,
        "port": parts.port,
        "user": unquote(parts.username) if parts.username else None,
        "password": unquote(parts.password) if parts.password else None,
        "fullpath": parts.path or "/",
        "params": dict(parse_qsl(parts.query, keep_blank_values=True)),
    }


def _name(service: NotifyBase) -> str:
    """Return the service, or the host of a webhook without the labels that may identify a customer of a service."""
    if str(service.protocol) not in _NAMED_BY_HOST:
        return str(service.service_name)
    host, port = str(service.host), f":{service.port}" if service.port else ""
    labels = host.split(".")
    if len(labels) > 2 and not labels[-1].isdecimal():
        host = ".".join(["*", *labels[-2:]])
    return f"webhook at {host}{port}"


# Receivers whose messages have a form of their own: URLs as the service gives them or in apprise's notation
_NATIVE_TO_GRAFANA = {
    "slack": (
        r"https://hooks\.slack\.com/services/\S+|slack://(T\w+)/([AB]\w+)/(\w+)/?",
        "https://hooks.slack.com/services/",
    ),
    "discord": (
        r"https://discord(?:app)?\.com/api/webhooks/\S+|discord://(\d+)/([\w-]+)/?",
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
    """Return the file that makes Grafana send its alerts to these URLs; empty if it can send to none of them.

    Its shape: "Use configuration files to provision alerting resources" in Grafana's documentation. Each set of contact
    points has a name of its own: Grafana keeps what it was given before, and the policy leads to the new one only.
    """
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
    for kind, (pattern, address) in _NATIVE_TO_GRAFANA.items():
        if found := re.fullmatch(pattern, url):
            tokens = "/".join(token for token in found.groups() if token)
            return _escaped(kind, {"url": address + tokens if tokens else url})
    settings = _grafana_webhook(url)
    return _escaped("webhook", settings) if settings else None


def _grafana_webhook(url: str) -> dict[str, str] | None:
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
    # Grafana replaces `$NAME` by the environment's value.
    return {"type": kind, "settings": {name: value.replace("$", "$$") for name, value in settings.items()}}
