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

from contextcore_install.core.errors import REPAIR, InstallError
from contextcore_install.core.interfaces import Http, HttpResponse
from contextcore_install.core.provider import Probe, Requirement
from contextcore_install.core.requirements import Category
from contextcore_install.core.threads import once
from contextcore_install.verification.results import skipped, unknown, unmet
from contextcore_install.verification.signals import ANSWER_WITHIN_S, answers_as, json_object, said

# The uid of each data source, and a query of its backend's own API
DATASOURCES = {"mimir": "/api/v1/query?query=vector(1)", "loki": "/loki/api/v1/labels", "tempo": "/api/echo"}
# Uids that stand for no data source of ours
BUILT_IN = frozenset({"grafana", "-- Grafana --", "-- Mixed --", "-- Dashboard --", "__expr__"})
# Without a health check Grafana answers 404 (`plugin.notImplemented`), HTTP has 501; an unknown uid is 404 too
_NO_HEALTH_CHECK = frozenset({404, 501})
# Passwords that installers, charts and tutorials give Grafana's admin
DEFAULTS = frozenset({"", "admin", "grafana", "password", "prom-operator"})

_requirement = partial(Requirement, category=Category.OBSERVABILITY, critical=False)


class Grafana:
    """One Grafana, asked as its admin. The password is in a header of its requests, and nowhere else."""

    def __init__(self, http: Http, url: str, password: str) -> None:
        self._http = http
        self._url = url
        self._password = password
        self._login = once(lambda: self._ask("/api/org", password))

    def requirements(self, dashboards: Sequence[str], rules: Sequence[str]) -> Iterator[Requirement]:
        """Yield what is asked of it: `dashboards` and `rules` are the uids that it is provisioned with."""
        yield _requirement("grafana_api", "Grafana answers as Grafana", self._api)
        # People may change it: then what is behind it cannot be looked at, and works all the same.
        yield _requirement("grafana_login", "Grafana's admin logs in with the password that is kept", self._logs_in)
        title = "Grafana's admin has no default password"
        yield Requirement("grafana_password", title, self._no_default, category=Category.SECURITY)
        for uid, query in DATASOURCES.items():
            title, probe = f"Grafana's data source {uid} answers a query", self._logged_in(self._source, uid, query)
            yield _requirement(f"grafana_{uid}_datasource", title, probe, critical=True)
        title = "Grafana has the dashboards, and they know their data sources"
        yield _requirement("grafana_dashboards", title, self._logged_in(self._dashboards, dashboards))
        yield _requirement(
            "grafana_alert_rules", "Grafana has the alert rules", self._logged_in(self._alert_rules, rules)
        )

    def _ask(self, path: str, password: str) -> HttpResponse:
        token = base64.b64encode(f"admin:{password}".encode()).decode()
        headers = {"Authorization": f"Basic {token}", "Accept": "application/json"}
        return self._http.ask("GET", self._url + path, ANSWER_WITHIN_S, headers)

    def _get(self, path: str) -> HttpResponse:
        return self._ask(path, self._password)

    # Login

    def _is_other(self) -> bool:
        """Tell whether something else answers: every Grafana has /api/org, and lets nobody in without a password."""
        answer = self._login()
        return answer.status in {404, 405} or (answer.status == 200 and "id" not in json_object(answer))

    def _api(self) -> Probe:
        return answers_as("Grafana", f"{self._url}/api/org", self._login(), other=self._is_other())

    def _logs_in(self) -> Probe:
        if self._is_other():
            return skipped(f"what answers at {self._url} is not Grafana")
        answer = self._login()
        if answer.status == 200:
            return Probe(f"logged in at {self._url}")
        if answer.status in {401, 403}:
            message = "Grafana refuses its admin with the password that is kept."
            fix = "Set Grafana's password to the kept one: the end of a run says where it is"
            return unmet("grafana-login", message, said(answer), fix=fix)
        return unmet("grafana-fails", f"Grafana fails: HTTP {answer.status}.", said(answer), command=REPAIR)

    def _no_default(self) -> Probe:
        """Look without trying passwords if possible: Grafana locks a user out after five that are wrong."""
        if self._password in DEFAULTS:
            return _default("the password that is kept is a default")
        try:
            other, status = self._is_other(), self._login().status
        except InstallError as error:
            return unknown(error)
        if other:
            return skipped(f"what answers at {self._url} is not Grafana")
        if status == 200:
            return Probe("it logs in with a random one, so no other opens")
        if status not in {401, 403}:
            return skipped(f"not known: Grafana answers with HTTP {status}")
        # It was changed to one that we do not know; then only trying tells.
        if self._ask("/api/org", "admin").status == 200:
            return _default("admin/admin opens it")
        return Probe("it was changed, and admin/admin is refused")

    # What needs a login

    def _logged_in(self, probe: Callable[..., Probe], *arguments: object) -> Callable[[], Probe]:
        """Return a probe that is skipped unless the login works."""

        def guarded() -> Probe:
            login = self._logs_in()
            if login.findings:
                return skipped(f"not known: {login.findings[0].message}")
            return login if login.skipped else probe(*arguments)

        return guarded

    def _source(self, uid: str, query: str) -> Probe:
        answer = self._get(f"/api/datasources/uid/{uid}/health")
        if answer.status == 200:
            return Probe(str(json_object(answer).get("message", "")) or "its health check passes")
        if answer.status in _NO_HEALTH_CHECK:
            if self._get(f"/api/datasources/uid/{uid}").status == 404:
                message = f"Grafana has no data source with the uid {uid}."
                return unmet("datasource-missing", message, said(answer), command=REPAIR)
            answer = self._get(f"/api/datasources/proxy/uid/{uid}{query}")
            if answer.status == 200:
                return Probe("a query through Grafana's proxy is answered")
        message = f"Grafana's data source {uid} does not work: HTTP {answer.status}."
        return unmet("datasource-fails", message, said(answer), command=REPAIR)

    def _dashboards(self, uids: Sequence[str]) -> Probe:
        missing, strange = [], []
        for uid in uids:
            answer = self._get(f"/api/dashboards/uid/{uid}")
            found = json_object(answer).get("dashboard") if answer.status == 200 else None
            if not isinstance(found, dict):
                missing.append(f"{uid} (HTTP {answer.status})")
                continue
            used = set(_datasources(found)) - BUILT_IN - set(DATASOURCES)
            strange += [f"{uid} uses {name}" for name in sorted(used) if not self._has_source(name)]
        for code, message, found in (
            ("dashboard-missing", "Grafana lacks dashboards", missing),
            ("dashboard-datasource", "Dashboards use data sources that are not there", strange),
        ):
            if found:
                return unmet(code, f"{message}: {', '.join(found)}.", ", ".join(found), command=REPAIR)
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
            message = "Grafana does not list its alert rules."
            return unmet("alert-rules-unknown", message, said(answer), command=REPAIR)
        if missing := [uid for uid in uids if uid not in rules]:
            message = f"Grafana lacks alert rules: {', '.join(missing)}."
            return unmet("alert-rules-missing", message, f"it has {len(rules)}", command=REPAIR)
        return Probe(f"{len(uids)} of ours, {len(rules)} in all")


def _default(evidence: str) -> Probe:
    fix = "Choose another one in Grafana: its menu, Profile, Change password"
    return unmet("password-default", "Grafana's admin has a default password.", evidence, fix=fix)


def _datasources(node: object) -> Iterator[str]:
    """Yield the uids of data sources in a dashboard; those that a variable stands for are chosen by its reader."""
    if isinstance(node, dict):
        source = node.get("datasource")
        if isinstance(source, dict) and isinstance(uid := source.get("uid"), str) and "$" not in uid:
            yield uid
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    for child in children:
        yield from _datasources(child)
