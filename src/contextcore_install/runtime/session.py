"""A run from its first event to its last."""

from __future__ import annotations

import os
import random
import uuid
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contextcore_install import __version__
from contextcore_install.core.errors import ExitCode, InstallError
from contextcore_install.core.events import Event, Kind
from contextcore_install.core.provider import Provider
from contextcore_install.core.requirements import Storage
from contextcore_install.engine.engine import Engine
from contextcore_install.engine.outcome import Limits, Outcome, RunResult
from contextcore_install.engine.plan import Plan
from contextcore_install.engine.recorder import Recorder
from contextcore_install.engine.replaced import REPLACED, DataReplaced, noted
from contextcore_install.engine.scheduling import Workers
from contextcore_install.engine.state import COMPLETED, RESTORE_STEP
from contextcore_install.engine.undoing import UndoEngine
from contextcore_install.runtime.app import App
from contextcore_install.storage.state_file import StateKeeper
from contextcore_install.storage.store import Records
from contextcore_install.telemetry.shipper import Shipper

_AFTER_RELEASE = ("manifests_apply", "pods_ready", "services_verify", "metrics_seed")
STALE_AFTER = {
    "provider": ("preflight",),
    "ports": ("preflight", "cluster_create", *_AFTER_RELEASE),
    "workers": ("cluster_create",),
    "node_image": ("cluster_create",),
    "context": ("preflight", "cluster_create", *_AFTER_RELEASE),
    "manifests": _AFTER_RELEASE,
    "registry": _AFTER_RELEASE,
}
"""Which steps a changed setting of the installation makes stale."""


_LEAVES_DATA = frozenset({"rollback"})
"""The commands that end with less than they found."""


class ShownLosses:
    """A projection that keeps which replaced data the run has shown."""

    def __init__(self) -> None:
        self.messages: set[str] = set()

    def handle(self, event: Event) -> None:
        """Keep the message of a finding about replaced data."""
        if event.kind is Kind.FINDING and event.data.get("code") == REPLACED:
            self.messages.add(str(event.data.get("message", "")))


@dataclass(slots=True)
class Session:
    """A run that has the cluster's lock and its records open; `wiring.open_session` makes one."""

    app: App
    run_id: str
    mode: str
    records: Records
    recorder: Recorder
    keeper: StateKeeper
    shipper: Shipper
    provider: Provider
    plan: Plan
    replaced: Callable[[Sequence[Storage]], Sequence[DataReplaced]]
    began: float
    accepted: Collection[DataReplaced] = field(default=(), init=False)
    """The losses that were shown before the run, and that it is to accept."""
    accepts_any_loss: bool = field(default=False, init=False)
    """Whether the run itself replaces data, as somebody asked for."""
    late_reports: list[str] = field(default_factory=list, init=False)
    lost: InstallError | None = field(default=None, init=False)
    _engine: Engine | None = field(default=None, init=False)
    _restores: bool = field(default=False, init=False)
    _shown: ShownLosses = field(default_factory=ShownLosses, init=False)

    def begin(
        self, settings: dict[str, Any], provider_reason: str, notices: Sequence[str], *, restoring: bool = False
    ) -> None:
        """Record what the run starts from: the installation, what changed in it, and the run itself.

        With `restoring` the records are a backup's, whose data is not put back yet: what they say of it is not so.
        """
        state = self.records.state
        self._restores = restoring
        self.recorder.attach(self._shown)
        if self.records.imported:
            self.recorder.record(Kind.STATE_IMPORTED, **self.records.imported)
        if not state.installation_id:
            self.recorder.record(
                Kind.INSTALLATION_STARTED,
                installation_id=uuid.uuid4().hex,
                provider=settings["provider"],
                settings=settings,
            )
        cut_off = state.run.run_id if not state.run.outcome else ""
        resumes: dict[str, Any] = {"resumes": cut_off} if cut_off else {}
        self.recorder.record(
            Kind.RUN_STARTED,
            mode=self.mode,
            version=__version__,
            provider=settings["provider"],
            provider_reason=provider_reason,
            cluster=self.app.settings.cluster,
            pid=os.getpid(),
            **resumes,
        )
        for text in notices:
            self.recorder.record(Kind.NOTICE, text=text)
        if state.settings != settings:
            self._change_settings(settings)
        if restoring and state.step(RESTORE_STEP).status == COMPLETED:
            self.recorder.record(Kind.STEP_INVALIDATED, RESTORE_STEP, reason="a backup is put back")
        self.recorder.sync()
        self.keeper.save()

    def engine(self, plan: Plan) -> Engine:
        """Return an engine for (a part of) the plan; one serves once."""
        spent = self.app.clock.monotonic() - self.began
        limits = Limits(overall_s=self.app.settings.timeout_s - spent)
        self._engine = Engine(plan, self.recorder, self.app.clock, Workers(), random.random, limits)
        return self._engine

    def undo_engine(self, undone: Collection[str]) -> Engine:
        """Return an engine that takes steps back; one serves once."""
        limits = Limits(overall_s=self.app.settings.timeout_s)
        self._engine = UndoEngine(self.plan, undone, self.recorder, self.app.clock, Workers(), random.random, limits)
        return self._engine

    def report(self, text: str) -> None:
        """Tell the user of something beside the steps, from any thread; after the run, with its last words."""
        if self._engine is None:
            self.late_reports.append(text)
        else:
            self._engine.notice(text)

    def lose(self, error: InstallError) -> None:
        """End the run, from any thread: another machine acts now, as the error says."""
        self.lost = error
        if self._engine is not None:
            self._engine.interrupt(error.message)

    def raise_if_lost(self) -> None:
        """Raise the InstallError that ended the run from outside, if one did."""
        if self.lost is not None:
            raise self.lost

    def finish(self, result: RunResult, exit_code: ExitCode) -> None:
        """Record how the run ended."""
        self._engine = None
        if result.outcome is Outcome.SUCCEEDED and self.mode not in _LEAVES_DATA:
            self._note_data()
        self.recorder.record(
            Kind.RUN_FINISHED,
            outcome=result.outcome.value,
            exit_code=int(exit_code),
            duration_seconds=round(self.app.clock.monotonic() - self.began, 3),
            **({"reason": result.reason} if result.reason else {}),
        )
        self.recorder.sync()
        self.keeper.save()

    def _note_data(self) -> None:
        """Record which data is there; what was replaced counts as known once somebody accepted it, or put it back.

        What was replaced while the run went on is named, for nobody has seen it yet.
        """
        known = self.records.state.data
        try:
            storage = self.provider.storage()
        except InstallError:
            return
        forgets = self._restores or self.accepts_any_loss
        seen = noted({} if forgets else known, storage, self.accepted)
        for loss in self.replaced(storage):
            if seen.get(loss.name) == loss.was and loss.message not in self._shown.messages:
                self.recorder.record(Kind.FINDING, "manifests_apply", **loss.as_document())
        if seen != known:
            self.recorder.record(Kind.DATA_NOTED, data=seen)

    def log(self, step: str) -> Path:
        """Return where a step's log of this run is."""
        return self.app.layout.logs / self.run_id / f"{step}.log"

    def _change_settings(self, settings: dict[str, Any]) -> None:
        state = self.records.state
        changed = [name for name in settings if state.settings.get(name) != settings[name]]
        self.recorder.record(Kind.SETTINGS_CHANGED, settings=settings, changed=changed, provider=settings["provider"])
        for step in dict.fromkeys(step for name in changed for step in STALE_AFTER.get(name, ())):
            if state.step(step).status == COMPLETED:
                self.recorder.record(Kind.STEP_INVALIDATED, step, reason=f"changed: {', '.join(changed)}")
