"""Grafana as its users find it: who may log in, what its data sources answer, what it was provisioned with.

Paths and answers are those of Grafana's "HTTP API reference": Organization, Data source, Dashboard, Alerting
provisioning. A data source whose plugin has no health check is asked through Grafana's proxy, which has been there
for longer ("Data source proxy calls").
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from contextcore_install.core.errors import InstallError
from contextcore_install.core.hints import REPAIR
from contextcore_install.core.ports import Http, HttpResponse
from contextcore_install.core.provider import Probe, Requirement
from contextcore_install.core.requirements import Category
from contextcore_install.verification.results import skipped, unmet
from contextcore_install.verification.together import Once

ANSWER_WITHIN_S = 3.0
DATASOURCES = {"mimir": "/api/v1/query?query=vector(1)", "loki": "/loki/api/v1/labels", "tempo": "/api/echo"}
"""The uid of each data source, and a query of its backend's own API."""

BUILT_IN = frozenset({"grafana", "-- Grafana --", "-- Mixed --", "-- Dashboard --", "__expr__"})
"""Uids that stand for no data source of ours."""

_NO_HEALTH_CHECK = frozenset({404, 501})
"""For a plugin without one Grafana says 404 (`plugin.notImplemented`), HTTP has 501; an unknown uid is 404 too."""

DEFAULTS = frozenset({"", "admin", "grafana", "password", "prom-operator"})
"""Passwords that installers, charts and tutorials give Grafana's admin."""


class Grafana:
    """One Grafana, asked as its admin. The password is in a header of its requests, and nowhere else."""

    def __init__(self, http: Http, url: str, password: str | None) -> None:
        self._http = http
        self._url = url
        self._password = password
        self._login = Once(lambda: self._as("admin", password or ""))

    def requirements(self, dashboards: Sequence[str], rules: Sequence[str]) -> Iterator[Requirement]:
        """Yield what is asked of it: `dashboards` and `rules` are the uids that it is provisioned with."""
        yield _about("grafana_api", "Grafana answers as Grafana", self._api, critical=False)
        # People may change it: then what is behind it cannot be looked at, and works all the same.
        title = "Grafana's admin logs in with the password that is kept"
        yield _about("grafana_login", title, self._door, critical=False)
        yield Requirement(
            "grafana_password", "Grafana's admin has no default password", self._no_default, category=Category.SECURITY
        )
        for uid, query in DATASOURCES.items():
            title = f"Grafana's data source {uid} answers a query"
            yield _about(f"grafana_{uid}_datasource", title, partial(self._within, self._source, uid, query))
        title = "Grafana has the dashboards, and they know their data sources"
        yield _about("grafana_dashboards", title, partial(self._within, self._dashboards, dashboards), critical=False)
        title = "Grafana has the alert rules"
        yield _about("grafana_alert_rules", title, partial(self._within, self._alert_rules, rules), critical=False)

    # The door

    def _as(self, user: str, password: str) -> HttpResponse:
        return self._ask("/api/org", user, password)

    def _ask(self, path: str, user: str, password: str) -> HttpResponse:
        token = base64.b64encode(f"{user}:{password}".encode()).decode()
        headers = {"Authorization": f"Basic {token}", "Accept": "application/json"}
        return self._http.ask("GET", self._url + path, ANSWER_WITHIN_S, headers)

    def _get(self, path: str) -> HttpResponse:
        return self._ask(path, "admin", self._password or "")

    def _api(self) -> Probe:
        if self._password is None:
            return skipped("its password is not known here")
        if self._is_other():
            return unmet(
                "grafana-other",
                f"What answers at {self._url} is not Grafana.",
                f"GET /api/org: {_said(self._login())}",
                fix="Look what is there; Grafana of the stack belongs there",
            )
        status = self._login().status
        if status >= 500:
            return skipped(f"not known: it fails with HTTP {status}")
        return Probe(f"{self._url}/api/org: HTTP {status}")

    def _is_other(self) -> bool:
        """Tell whether something else answers: every Grafana has /api/org, and lets nobody in without a password."""
        answer = self._login()
        return answer.status in {404, 405} or (answer.status == 200 and "id" not in _json(answer))

    def _door(self) -> Probe:
        if self._password is None:
            return skipped("its password is not known here")
        if self._is_other():
            return skipped(f"what answers at {self._url} is not Grafana")
        answer = self._login()
        if answer.status == 200:
            return Probe(f"logged in at {self._url}")
        if answer.status in {401, 403}:
            return unmet(
                "grafana-login",
                "Grafana refuses its admin with the password that is kept.",
                _said(answer),
                fix="Set Grafana's password to the kept one: the end of a run says where it is",
            )
        return unmet("grafana-fails", f"Grafana fails: HTTP {answer.status}.", _said(answer), command=REPAIR)

    def _within(self, look: Callable[..., Probe], *arguments: object) -> Probe:
        """Look at something behind the door, where it opens."""
        door = self._door()
        if door.skipped:
            return door
        if door.findings:
            return skipped(f"not known: {door.findings[0].message}")
        return look(*arguments)

    def _no_default(self) -> Probe:
        """Look without trying passwords where that can be: Grafana locks a user out after five that are wrong."""
        if self._password is None:
            return skipped("its password is not known here")
        if self._password in DEFAULTS:
            return _default("the password that is kept is a default")
        try:
            other, status = self._is_other(), self._login().status
        except InstallError as error:
            return skipped(f"not known: {error.message}")
        if other:
            return skipped(f"what answers at {self._url} is not Grafana")
        if status == 200:
            return Probe("it logs in with a random one, so no other opens")
        if status not in {401, 403}:
            return skipped(f"not known: Grafana answers with HTTP {status}")
        # It was changed to one that we do not know; then only trying tells.
        if self._as("admin", "admin").status == 200:
            return _default("admin/admin opens it")
        return Probe("it was changed, and admin/admin is refused")

    # Behind it

    def _source(self, uid: str, query: str) -> Probe:
        answer = self._get(f"/api/datasources/uid/{uid}/health")
        if answer.status == 200:
            return Probe(str(_json(answer).get("message", "")) or "its health check passes")
        if answer.status in _NO_HEALTH_CHECK:
            there = self._get(f"/api/datasources/uid/{uid}").status
            if there == 404:
                message = f"Grafana has no data source with the uid {uid}."
                return unmet("datasource-missing", message, _said(answer), command=REPAIR)
            answer = self._get(f"/api/datasources/proxy/uid/{uid}{query}")
            if answer.status == 200:
                return Probe("a query through Grafana's proxy is answered")
        message = f"Grafana's data source {uid} does not work: HTTP {answer.status}."
        return unmet("datasource-fails", message, _said(answer), command=REPAIR)

    def _dashboards(self, uids: Sequence[str]) -> Probe:
        missing, strange = [], []
        for uid in uids:
            answer = self._get(f"/api/dashboards/uid/{uid}")
            found = _json(answer).get("dashboard") if answer.status == 200 else None
            if not isinstance(found, dict):
                missing.append(f"{uid} (HTTP {answer.status})")
                continue
            used = set(_datasources(found)) - BUILT_IN - set(DATASOURCES)
            strange += [f"{uid} uses {name}" for name in sorted(used) if not self._has_source(name)]
        if missing:
            message = f"Grafana lacks dashboards: {', '.join(missing)}."
            return unmet("dashboard-missing", message, ", ".join(missing), command=REPAIR)
        if strange:
            message = f"Dashboards use data sources that are not there: {', '.join(strange)}."
            return unmet("dashboard-datasource", message, ", ".join(strange), command=REPAIR)
        return Probe(", ".join(uids))

    def _has_source(self, uid: str) -> bool:
        return self._get(f"/api/datasources/uid/{uid}").status == 200

    def _alert_rules(self, uids: Sequence[str]) -> Probe:
        answer = self._get("/api/v1/provisioning/alert-rules")
        try:
            rules = {str(rule["uid"]) for rule in json.loads(answer.text)} if answer.status == 200 else None
        except (ValueError, TypeError, KeyError, RecursionError):
            rules = None
        if rules is None:
            message = "Grafana does not tell its alert rules."
            return unmet("alert-rules-unknown", message, _said(answer), command=REPAIR)
        if missing := [uid for uid in uids if uid not in rules]:
            message = f"Grafana lacks alert rules: {', '.join(missing)}."
            return unmet("alert-rules-missing", message, f"it has {len(rules)}", command=REPAIR)
        return Probe(f"{len(uids)} of ours, {len(rules)} in all")


def _about(name: str, title: str, probe: Callable[[], Probe], *, critical: bool = True) -> Requirement:
    return Requirement(name, title, probe, category=Category.OBSERVABILITY, critical=critical)


def _default(evidence: str) -> Probe:
    return unmet(
        "password-default",
        "Grafana's admin has a default password.",
        evidence,
        fix="Choose another one in Grafana: its menu, Profile, Change password",
    )


def _json(answer: HttpResponse) -> dict[str, Any]:
    try:
        document = json.loads(answer.text)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _said(answer: HttpResponse) -> str:
    """Return an answer on one line, for people."""
    message = str(_json(answer).get("message", "")) or " ".join(answer.text.split())
    return f"HTTP {answer.status} {message[:300]}".rstrip()


def _datasources(node: object) -> Iterator[str]:
    """Yield the uids of data sources in a dashboard; those that a variable stands for are chosen by its reader."""
    if isinstance(node, dict):
        source = node.get("datasource")
        if isinstance(source, dict) and isinstance(uid := source.get("uid"), str) and "$" not in uid:
            yield uid
        for value in node.values():
            yield from _datasources(value)
    elif isinstance(node, list):
        for value in node:
            yield from _datasources(value)
