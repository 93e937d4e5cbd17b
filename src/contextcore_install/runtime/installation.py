"""An installation: resolved once from its records and this invocation's settings, and shared by all that look at it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contextcore_install.core.dataclass import replace
from contextcore_install.core.provider import ClusterState, Provider, Volume, url_of
from contextcore_install.core.requirements import Storage
from contextcore_install.engine.plan import Plan
from contextcore_install.engine.replaced import DataReplaced, replaced
from contextcore_install.engine.state import State
from contextcore_install.runtime.app import App
from contextcore_install.runtime.selection import Selection, basis, found_ports, select
from contextcore_install.stack.catalogue import METRICS_STORE, resolve_ports, traces_url

if TYPE_CHECKING:
    from contextcore_install.core.findings import CheckResult
    from contextcore_install.core.interfaces import Telemetry
    from contextcore_install.core.threads import CancelToken
    from contextcore_install.telemetry.shipper import Shipper
    from contextcore_install.verification.results import RequirementResult


class Installation:
    """What is selected, and its one provider, which remembers for a moment what it looked at. Nothing of it changes."""

    def __init__(self, app: App, selection: Selection, state: State) -> None:
        self.app = app
        self.selection = selection
        self.restores = app.layout.restore.is_dir()  # a restore was begun: its data is not put back yet
        self._basis = basis(state)
        # What a restore puts back takes the place of other data by somebody's wish.
        self._data = {} if self.restores else dict(state.data)

    def is_of(self, state: State) -> bool:
        """Whether this is what a state resolves to as well."""
        return self._basis == basis(state) and self.restores == self.app.layout.restore.is_dir()

    @cached_property
    def provider(self) -> Provider:
        return self.app.create_provider(self.selection.provider, self.selection.config(self.app))

    def shipper(self, report: Callable[[str], None]) -> Shipper:
        """Return the way of the events into the stack; not started."""
        from contextcore_install.storage.cursors import CursorFile
        from contextcore_install.storage.journal.journal import JournalReader
        from contextcore_install.telemetry.shipper import Shipper

        layout = self.app.layout
        return Shipper(
            JournalReader(layout.journal),
            CursorFile(layout.cursors),
            self.app.settings.cluster,
            lambda: url_of(self.provider.endpoints(), METRICS_STORE),
            report,
            traces_url=self._traces_url,
            logs_url=lambda: url_of(self.provider.endpoints(), "loki"),
        )

    def plan(self, telemetry: Telemetry) -> Plan:
        """Return the installation's steps; raises InstallError if a restore was begun and cannot be finished."""
        from contextcore_install.diagnosis.failures import service_finding
        from contextcore_install.runtime.notifier import without_contact_points
        from contextcore_install.steps.base import StepTools
        from contextcore_install.steps.registry import installation_plan
        from contextcore_install.system.http import LoopbackHttp
        from contextcore_install.system.programs import PathPrograms

        programs = PathPrograms(without_contact_points(self.app.environ))
        http = LoopbackHttp()
        steps = (self.app.create_plan or installation_plan)(
            StepTools(self.provider, http, telemetry, programs, service_finding, self._measure, self.replaced)
        )
        if not self.restores:
            return steps
        from contextcore_install.storage.backup.restoring import with_restore

        return with_restore(steps, self.app.layout, self.provider)

    def check(
        self, report: Callable[[str], None], *, until: str = "", token: CancelToken | None = None
    ) -> dict[str, CheckResult]:
        from contextcore_install.runtime.checks import check_all

        plan = self.plan(self.shipper(report))
        return check_all(plan.until(until) if until else plan, self.app.clock, token)

    def replaced(self, seen: Sequence[Storage]) -> list[DataReplaced]:
        """Return a warning for each data that is another one than before."""
        if not self._data:
            return []
        latest = max(self.app.layout.backups.glob("*.tar.gz"), key=_made_at, default="")
        return replaced(self._data, seen, str(latest))

    def verify(self, limit_s: float) -> list[RequirementResult]:
        """Return how each requirement of a complete installation is met, but for the steps' own checks."""
        from contextcore_install.stack import provisioned
        from contextcore_install.system.http import LoopbackHttp
        from contextcore_install.telemetry.exporters.metrics import round_trip
        from contextcore_install.verification.requirements import VerificationTarget, verify

        cluster, now_us = self.app.settings.cluster, self.app.clock.now_us
        target = VerificationTarget(
            self.provider,
            LoopbackHttp(),
            cluster,
            now_us,
            spans_url=self._traces_url,
            write_metric=lambda url: round_trip(url, cluster, now_us()),
            dashboards=provisioned.dashboard_uids(),
            rules=provisioned.rule_uids(),
            private=_private_files(self.app),
            replaced=self.replaced if self._data else None,
        )
        return verify(target, limit_s)

    def _measure(self, limit_s: float) -> list[dict[str, Any]]:
        from contextcore_install.verification.results import measurements

        return measurements(self.verify(limit_s))

    def _traces_url(self) -> str | None:
        return traces_url(self.provider.endpoints(), resolve_ports(self.selection.ports))


def resolve(app: App, state: State) -> Installation:
    return Installation(app, select(app, state), state)


def volumes_of(provider: Provider) -> Sequence[Volume]:
    """Return what there is to copy; nothing if there is no cluster. Raises InstallError if that is not known."""
    if provider.cluster().state in (ClusterState.ABSENT, ClusterState.FOREIGN):
        return []
    return provider.data().volumes()


def resolve_what_runs(app: App, state: State, like: State) -> Installation:
    """Return the installation of the state; if that has none, one as in `like`, on the ports of what runs."""
    selection = select(app, state if state.exists else like)
    found = None if state.exists else found_ports(app, selection)
    if found:
        selection = replace(selection, ports={**found, **app.settings.ports})
    return Installation(app, selection, state if state.exists else like)


def _made_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _private_files(app: App) -> dict[Path, int]:
    """Return the modes of what is its owner's alone: the home, and all records and secrets in the cluster's folder."""
    home, layout = app.home, app.layout
    folders = (home.folder, home.clusters, layout.folder, layout.past)
    files = (layout.state, layout.journal, layout.cursors, layout.lock, home.contact_points)
    return dict.fromkeys(folders, 0o700) | dict.fromkeys(files, 0o600)
