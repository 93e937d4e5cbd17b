"""A run: opened on an installation's records, recorded from its first event to its last."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import wait
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contextcore_install import __version__
from contextcore_install.core.dataclass import dataclass, field, replace
from contextcore_install.core.errors import ExitCode, InstallError
from contextcore_install.core.events import Event, Kind
from contextcore_install.core.interfaces import Projection, StepContext
from contextcore_install.core.threads import start
from contextcore_install.engine.engine import Engine
from contextcore_install.engine.outcome import Limits, Outcome, RunResult
from contextcore_install.engine.plan import Plan
from contextcore_install.engine.recorder import Recorder
from contextcore_install.engine.replaced import REPLACED, DataReplaced, noted
from contextcore_install.engine.replica import HasRemoteRecords
from contextcore_install.engine.scheduling import Workers
from contextcore_install.engine.state import COMPLETED, RESTORE_STEP, State
from contextcore_install.engine.undoing import UndoEngine
from contextcore_install.runtime.app import App
from contextcore_install.runtime.checks import TO_END_S, ChecksAhead
from contextcore_install.runtime.installation import Installation, resolve
from contextcore_install.runtime.records import mended_records, new_run_id, open_recorder
from contextcore_install.runtime.selection import allocate_ports, note_bundle
from contextcore_install.stack.catalogue import resolve_ports
from contextcore_install.storage.lock import Lock, hold_briefly
from contextcore_install.storage.store import Records, clock_notices
from contextcore_install.telemetry.shipper import Shipper

if TYPE_CHECKING:
    from contextcore_install.runtime.remote_state import RemoteSession
    from contextcore_install.runtime.running import RunControl

CLOSE_S = 5.0  # what writing the last records and letting go of the lease may take at the end of a run
CHOOSING_S = 5.0  # how long to wait for another new installation of this home to put its ports on record

_AFTER_RELEASE = ("manifests_apply", "pods_ready", "services_verify", "metrics_seed")
STALE_AFTER = {
    "provider": ("preflight",),
    "ports": ("preflight", "cluster_create", *_AFTER_RELEASE),
    "workers": ("cluster_create",),
    "node_image": ("cluster_create",),
    "context": ("preflight", "cluster_create", *_AFTER_RELEASE),
    "manifests": _AFTER_RELEASE,
    "registry": _AFTER_RELEASE,
    "components": ("preflight", *_AFTER_RELEASE),
    "memory": ("preflight", *_AFTER_RELEASE),
}
"""Which steps a changed setting of the installation makes stale."""

_CHECKS_FIRST = frozenset({"install", "resume"})  # the commands that begin with all steps' checks
_LEAVES_DATA = frozenset({"rollback"})  # the commands that end with less than they found

Show = Callable[[State, str, str], Sequence[Projection]]
"""Makes what shows the events: from the state before the run, its provider and its id."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What was done before a run: the lock that is held, and the installation that was looked at.

    `accepted` are the losses of data that were shown, and that the run is to accept; `any_loss` says that the run
    itself replaces data, as somebody asked for.
    """

    lock: Lock | None = None
    installation: Installation | None = None
    accepted: Collection[DataReplaced] = ()
    any_loss: bool = False


NOTHING_PREPARED = Prepared()


@dataclass(slots=True)
class Session:
    """A run that has the cluster's lock and its records open; `open_session` makes one. It notes what is applied."""

    installation: Installation
    run_id: str
    mode: str
    state: State
    plan: Plan
    recorder: Recorder
    shipper: Shipper
    control: RunControl
    prepared: Prepared
    confirm: Callable[[StepContext, str], None] = field(default=lambda *_: None, init=False)
    began: float = field(init=False)
    applied: list[str] = field(default_factory=list, init=False)
    _losses_shown: set[str] = field(default_factory=set, init=False)

    def __post_init__(self) -> None:
        self.began = self.app.clock.monotonic()
        self.recorder.attach(self)

    @property
    def app(self) -> App:
        return self.installation.app

    @property
    def took_s(self) -> float:
        return self.app.clock.monotonic() - self.began

    def handle(self, event: Event) -> None:
        if event.kind is Kind.STEP_STARTED:
            self.applied.append(event.step)
        elif event.kind is Kind.FINDING and event.data.get("code") == REPLACED:
            self._losses_shown.add(str(event.data.get("message", "")))

    def begin(self, records: Records, notices: Sequence[str]) -> None:
        state, selection, record = self.state, self.installation.selection, self.recorder.record
        settings = selection.settings()
        if records.imported:
            record(Kind.STATE_IMPORTED, **records.imported)
        if not state.installation_id:
            new_id, provider = os.urandom(16).hex(), selection.provider
            record(Kind.INSTALLATION_STARTED, installation_id=new_id, provider=provider, settings=settings)
        record(
            Kind.RUN_STARTED,
            mode=self.mode,
            version=__version__,
            provider=selection.provider,
            provider_reason=selection.reason,
            cluster=self.app.settings.cluster,
            pid=os.getpid(),
            **({"resumes": state.run.run_id} if state.run.run_id and not state.run.outcome else {}),
        )
        note_bundle(self.app)
        for text in notices:
            record(Kind.NOTICE, text=text)
        if state.settings != settings:
            self._change_settings(settings)
        if self.installation.restores and state.step(RESTORE_STEP).status == COMPLETED:  # so say the backup's records
            record(Kind.STEP_INVALIDATED, RESTORE_STEP, reason="a backup is put back")
        self._commit()

    def run(self, plan: Plan | None = None) -> RunResult:
        """Carry out (a part of) the plan in what is left of the time limit."""
        return self.control.run(Engine(plan or self.plan, *self._surroundings()))

    def undo(self, steps: Collection[str]) -> RunResult:
        return self.control.run(UndoEngine(self.plan, steps, *self._surroundings()))

    def _surroundings(self) -> tuple[Any, ...]:
        """Return what an engine takes besides the plan."""
        limits = Limits(overall_s=self.app.settings.timeout_s - self.took_s)
        return self.recorder, self.app.clock, Workers(), random.random, limits, self.confirm

    def finish(self, result: RunResult, exit_code: ExitCode) -> None:
        if result.outcome is Outcome.SUCCEEDED and self.mode not in _LEAVES_DATA:
            self._note_data()
        self.recorder.record(
            Kind.RUN_FINISHED,
            outcome=result.outcome.value,
            exit_code=int(exit_code),
            duration_seconds=round(self.took_s, 3),
            **({"reason": result.reason} if result.reason else {}),
        )
        self._commit()

    def logs_of(self, steps: Collection[str]) -> dict[str, str]:
        folder: Path = self.app.layout.logs / self.run_id
        return {step: str(folder / f"{step}.log") for step in steps if (folder / f"{step}.log").exists()}

    def _commit(self) -> None:
        self.recorder.sync()
        self.recorder.save_state()

    def _note_data(self) -> None:
        """Record which data is there; what was replaced counts as known once somebody accepted it, or put it back.

        What was replaced while the run went on is named, for nobody has seen it yet.
        """
        known = self.state.data
        try:
            storage = self.installation.provider.storage()
        except InstallError:
            return
        forgets = self.installation.restores or self.prepared.any_loss
        seen = noted({} if forgets else known, storage, self.prepared.accepted)
        for loss in self.installation.replaced(storage):
            if seen.get(loss.name) == loss.was and loss.message not in self._losses_shown:
                self.recorder.record(Kind.FINDING, "manifests_apply", **loss.as_document())
        if seen != known:
            self.recorder.record(Kind.DATA_NOTED, data=seen)

    def _change_settings(self, settings: dict[str, Any]) -> None:
        changed = [name for name in settings if self.state.settings.get(name) != settings[name]]
        self.recorder.record(Kind.SETTINGS_CHANGED, settings=settings, changed=changed, provider=settings["provider"])
        for step in dict.fromkeys(step for name in changed for step in STALE_AFTER.get(name, ())):
            if self.state.step(step).status == COMPLETED:
                self.recorder.record(Kind.STEP_INVALIDATED, step, reason=f"changed: {', '.join(changed)}")


@contextmanager
def open_session(app: App, show: Show, control: RunControl, prepared: Prepared) -> Iterator[Session]:
    """Take the lock, or take over the one that is held, mend the records, and begin a run; raises InstallError."""
    resolve_ports(app.settings.ports)
    with ExitStack() as stack:
        mended = mended_records(app, prepared.lock, stack)
        records = replace(mended, notices=[*mended.notices, *clock_notices(mended.offset, app.clock.now_us())])
        seen = prepared.installation
        installation = seen if seen and seen.is_of(records.state) else resolve(app, records.state)
        looked_at, ahead = installation, _look_ahead(installation, records.state, control, stack)
        remote = _acquire(installation, records, stack)
        if remote:
            records = remote.records
            if remote.adopted:
                installation = resolve(app, records.state)
                remote.require_same_place(installation.provider)
            if remote.found.foreign:
                remote = None  # another installation's; this one's records count
        is_new = "ports" not in records.state.settings  # others of this home wait until its ports are on record
        with hold_briefly(app.home.ports_lock, CHOOSING_S) if is_new else nullcontext():
            selection, notices = allocate_ports(app, records.state, installation.selection)
            if selection is not installation.selection:
                installation = Installation(app, selection, records.state)
            session = _build(installation, records, remote, show, control, prepared, stack)
            if ahead and installation is looked_at:
                session.plan = ahead.guard(session.plan)
            app.home.link_to(app.settings.cluster)
            session.begin(records, [*records.notices, *notices])
        yield session


def _look_ahead(installation: Installation, state: State, control: RunControl, stack: ExitStack) -> ChecksAhead | None:
    """Begin the checks of an installation that is finished, before it is known whether others are at work on it."""
    app = installation.app
    is_finished = all(known.status == COMPLETED for known in state.planned.values())
    if not is_finished or app.settings.command not in _CHECKS_FIRST:
        return None
    provider = installation.provider
    if isinstance(provider, HasRemoteRecords) and (remote := provider.remote()).is_read_with_checks:
        # What takes longest comes first: the cluster's answer.
        stack.callback(wait, [start(remote.lease.read, "ahead: lease")], TO_END_S)
    ahead = ChecksAhead(installation.plan(installation.shipper(control.report)), app.clock)
    stack.callback(ahead.close)
    return ahead


def _acquire(installation: Installation, records: Records, stack: ExitStack) -> RemoteSession | None:
    """Take the lease on the installation, if its cluster has one, and let the newer records count."""
    app, provider = installation.app, installation.provider
    if not isinstance(provider, HasRemoteRecords):
        return None
    from contextcore_install.runtime.remote_state import acquire

    remote = acquire(app, provider.remote(), records, may_adopt=not installation.restores)
    if not remote.found.foreign:
        stack.callback(remote.release)
    return remote


def _build(
    installation: Installation,
    records: Records,
    remote: RemoteSession | None,
    show: Show,
    control: RunControl,
    prepared: Prepared,
    stack: ExitStack,
) -> Session:
    app, run_id = installation.app, new_run_id()
    shown = show(records.state, installation.selection.provider, run_id)
    shipper = installation.shipper(control.report)
    plan = installation.plan(shipper)
    projections: list[Projection] = [shipper, *shown]
    keeper = remote.keeper(app, control) if remote else None
    if keeper:
        projections.insert(1, keeper)
        stack.callback(keeper.close, CLOSE_S)
    recorder = open_recorder(app, records, run_id, projections, stack)
    session = Session(
        installation, run_id, app.settings.command, records.state, plan, recorder, shipper, control, prepared
    )
    if keeper:
        session.confirm = keeper.confirm
        keeper.start()
    return session
