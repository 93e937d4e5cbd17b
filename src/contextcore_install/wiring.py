"""The one place that builds everything from the settings."""

from __future__ import annotations

import os
import socket
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import cached_property
from typing import TYPE_CHECKING, Any

from contextcore_install.app import App
from contextcore_install.contacts import for_grafana, without_contact_points
from contextcore_install.core.command_line import command_line
from contextcore_install.core.errors import InstallError, usage_error
from contextcore_install.core.events import Kind, instant
from contextcore_install.core.plan import Plan
from contextcore_install.core.ports import Projection, Provider, ProviderConfig, Telemetry
from contextcore_install.core.recorder import Recorder
from contextcore_install.core.remote import KEEPS_ITS_OWN, RemembersItself
from contextcore_install.core.state import COMPLETED, IN_PROGRESS, State
from contextcore_install.providers.registry import PROVIDERS, create_provider
from contextcore_install.session import Session
from contextcore_install.settings import INSTALL_TOOLS, PROVIDER_OPTIONS
from contextcore_install.stack.catalogue import resolve_ports
from contextcore_install.stack.intake import logs_url, metrics_url, traces_url
from contextcore_install.storage.compaction import compact
from contextcore_install.storage.cursors import CursorFile
from contextcore_install.storage.files import thin_aside
from contextcore_install.storage.journal import JournalReader, JournalWriter
from contextcore_install.storage.layout import ClusterLayout, make_home, make_private, require_own
from contextcore_install.storage.lock import Lock, turn
from contextcore_install.storage.plan_path import adopt
from contextcore_install.storage.state_keeper import StateKeeper
from contextcore_install.storage.step_logs import StepLogs, thin_logs
from contextcore_install.storage.store import Records, clock_notices, mend_records, read_records
from contextcore_install.telemetry.shipper import Shipper
from contextcore_install.tools.files import sweep

OF_ONE_RUN = frozenset({"pull"})
"""Options that say how this run is to go about it; the others belong to the installation, and are kept."""

TAKEN_PORTS = frozenset({"port-in-use", "port-unusable"})
"""The codes of preflight's findings that say that a port cannot be had."""

CHOOSING_S = 5.0
"""How long to wait for another new installation of this home to put its ports on record, in seconds."""

if TYPE_CHECKING:
    from contextcore_install.remote import Meeting
    from contextcore_install.storage.remote_keeper import RemoteKeeper

Show = Callable[[State, str, str], Sequence[Projection]]
"""Makes what shows the events: from the state before the run, its provider and its id."""


class Stack:
    """The provider, and what the steps reach through it. Built when it is used."""

    def __init__(
        self,
        app: App,
        provider_name: str,
        ports: Mapping[str, int],
        options: Mapping[str, Any],
        *,
        install_tools: bool = False,
    ) -> None:
        self._app = app
        self.provider_name = provider_name
        self.ports = dict(ports)
        self.options = dict(options)
        self.install_tools = install_tools

    def with_ports(self, ports: Mapping[str, int]) -> Stack:
        """Return the same stack on other ports."""
        return Stack(self._app, self.provider_name, ports, self.options, install_tools=self.install_tools)

    def settings(self) -> dict[str, Any]:
        """Return what later runs of the installation take over."""
        kept = {name: value for name, value in self.options.items() if name not in OF_ONE_RUN}
        wish = {INSTALL_TOOLS: True} if self.install_tools else {}
        return {"provider": self.provider_name, "ports": self.ports, **kept, **wish}

    @cached_property
    def config(self) -> ProviderConfig:
        """What the provider is built from."""
        return ProviderConfig(
            cluster=self._app.settings.cluster,
            folder=self._app.layout.folder,
            bin_folder=self._app.home.bin,
            environ=without_contact_points(self._app.environ),
            ports=self.ports,
            install_tools=self.install_tools,
            options={**self.options, "grafana_contact_points": for_grafana(self._app)},
            may_lose_data=self._app.settings.allow_data_loss,
        )

    @cached_property
    def provider(self) -> Provider:
        """The provider of this installation."""
        return create_provider(self.provider_name, self.config)

    def metrics_store_url(self) -> str | None:
        """Return where the metrics store is reached; None while there is none."""
        return metrics_url(self.provider.endpoints())

    def spans_url(self) -> str | None:
        """Return where spans are taken; None while there is no such place."""
        return traces_url(self.provider.endpoints(), resolve_ports(self.ports))

    def shipper(self, report: Callable[[str], None]) -> Shipper:
        """Return the way of the events into the stack."""
        layout = self._app.layout
        return Shipper(
            JournalReader(layout.journal),
            CursorFile(layout.cursors),
            self._app.settings.cluster,
            self.metrics_store_url,
            report,
            traces_url=self.spans_url,
            logs_url=lambda: logs_url(self.provider.endpoints()),
        )

    def plan(self, telemetry: Telemetry) -> Plan:
        """Return the installation's steps; raises InstallError where a restore was begun and cannot be finished."""
        from contextcore_install.diagnosis.services import explain_service
        from contextcore_install.steps.base import Surroundings
        from contextcore_install.steps.registry import installation_plan
        from contextcore_install.tools.http import LoopbackHttp
        from contextcore_install.tools.path_programs import PathPrograms

        programs = PathPrograms(without_contact_points(self._app.environ))
        steps = installation_plan(
            Surroundings(self.provider, LoopbackHttp(), telemetry, programs, explain_service, self._measure)
        )
        if not self._app.layout.restore.is_dir():
            return steps
        from contextcore_install.refilling import refilling

        return refilling(steps, self._app.layout, lambda: self.provider)

    def _measure(self, limit_s: float) -> list[dict[str, Any]]:
        from contextcore_install.verification.results import measurements
        from contextcore_install.verifying import verify_stack

        return measurements(verify_stack(self._app, self, limit_s))


def choose_provider(app: App, state: State) -> tuple[str, str]:
    """Return the provider to use, and why; raises a usage error for one that contradicts the installation.

    The installation is bound to a provider once that has begun to make something; until then another may be asked for.
    """
    wanted = app.settings.provider
    if state.provider in PROVIDERS and (wanted in ("auto", state.provider) or is_bound(state)):
        if wanted not in ("auto", state.provider):
            raise usage_error(
                f"--provider {wanted} contradicts the installation {app.settings.cluster}, "
                f"which was made with --provider {state.provider}",
                "choose another name with --cluster NAME, or delete that installation first",
            )
        return state.provider, "chosen before"
    if wanted != "auto":
        return wanted, "asked for"
    for name in PROVIDERS:
        if (app.layout.folder / name).is_dir():
            return name, f"its files are in {app.layout.folder / name}"
    if "kind" in PROVIDERS:
        from contextcore_install.providers.kind import engine_answers

        if engine_answers(app.environ):
            return "kind", "a container engine answers"
        return "host", "no container engine answers"
    return "host", "the stack runs as processes of this user"


def is_bound(state: State) -> bool:
    """Whether the provider has begun to make something, so that another one would leave it behind."""
    steps = state.steps.items()
    return any(step.attempts or step.status == COMPLETED for name, step in steps if name != "preflight")


def read_stack(app: App, state: State) -> Stack:
    """Return the stack as the state and the settings have it; raises a usage error where they contradict."""
    return _parts(app, state)[0]


def ports_of(state: State, app: App) -> dict[str, int]:
    """Return the ports that were chosen, now or before; raises a usage error for what is no component's."""
    kept = state.settings.get("ports")
    ports = {**(kept if isinstance(kept, dict) else {}), **app.settings.ports}
    resolve_ports(ports)
    return ports


def options_of(state: State, app: App, provider: str) -> dict[str, Any]:
    """Return the provider's options, given now or kept; raises a usage error for what is not for this provider."""
    for name in app.settings.options:
        if provider not in PROVIDER_OPTIONS[name]:
            raise usage_error(f"--{name.replace('_', '-')} contradicts --provider {provider}")
    kept = {name: value for name, value in state.settings.items() if name in PROVIDER_OPTIONS}
    given = {**app.settings.environment_options, **kept, **app.settings.options}
    return {name: value for name, value in given.items() if provider in PROVIDER_OPTIONS[name]}


@contextmanager
def open_session(app: App, mode: str, show: Show, lock: Lock | None = None) -> Iterator[Session]:
    """Take the lock, mend and open the records, and begin a run; raises InstallError.

    A lock that is held already is taken over, and released with the session.
    """
    resolve_ports(app.settings.ports)
    with ExitStack() as stack:
        records = _open_records(app, lock, stack)
        parts, reason = _parts(app, records.state)
        restoring = app.layout.restore.is_dir()
        met = _meet_cluster(app, KEEPS_ITS_OWN if restoring else mode, parts, records, stack)
        if met:
            parts, reason = _parts(app, records.state)  # whose records count was decided
        with _choosing_ports(app, records.state):
            parts, said = beside_others(app, records.state, parts)
            session = _build(app, mode, records, parts, show, stack, met)
            app.home.link_to(app.settings.cluster)
            session.begin(parts.settings(), reason, [*records.notices, *said], restoring=restoring)
        yield session


def _parts(app: App, state: State) -> tuple[Stack, str]:
    """Return the stack as the state and the settings have it, and why it is this provider's; see `read_stack`."""
    name, reason = choose_provider(app, state)
    wish = app.settings.install_tools or state.settings.get(INSTALL_TOOLS) is True
    parts = Stack(app, name, ports_of(state, app), options_of(state, app, name), install_tools=wish)
    return (parts if app.settings.ports else _as_made(state, parts)), reason


def beside_others(app: App, state: State, parts: Stack) -> tuple[Stack, list[str]]:
    """Return the stack, a new one on ports that other installations leave it, and what is to be said of them."""
    if "ports" in state.settings:
        return parts, []
    from contextcore_install.port_choice import choose_ports

    choice = choose_ports(app, parts.provider_name, parts.config)
    if not choice.said:
        return parts, []
    return parts.with_ports(choice.ports), [choice.said]


def _choosing_ports(app: App, state: State) -> AbstractContextManager[None]:
    """Keep others of this home from choosing ports, until those of a new installation are on record."""
    return nullcontext() if "ports" in state.settings else turn(app.home.choosing, CHOOSING_S)


def _as_made(state: State, parts: Stack) -> Stack:
    """Return the stack on the ports that the cluster has, where the last run asked for others and was refused.

    So a wish that could not be met is not kept for ever.
    """
    if not _ports_refused(state):
        return parts
    from contextcore_install.port_choice import made_before

    made = made_before(parts.provider_name, parts.config)
    return parts if made is None else parts.with_ports(made)


def _ports_refused(state: State) -> bool:
    """Whether the last run stopped at its ports.

    The cluster has others; or, where a release was there already, something else holds them.
    """
    codes = {step: (state.step(step).error or {}).get("code") for step in ("preflight", "cluster_create")}
    moved_in_vain = codes["preflight"] in TAKEN_PORTS and state.step("manifests_apply").attempts > 0
    return moved_in_vain or codes["cluster_create"] == "ports-fixed"


def _meet_cluster(app: App, mode: str, parts: Stack, records: Records, stack: ExitStack) -> Meeting | None:
    """Take the lease on the installation, where its cluster has one, and let the newer records count."""
    if not isinstance(parts.provider, RemembersItself):
        return None
    from contextcore_install.remote import meet, release

    met = meet(app, parts.provider.remote(), records, mode)
    if met:
        stack.callback(release, met.lease)
    return met


def _build(
    app: App,
    mode: str,
    records: Records,
    parts: Stack,
    show: Show,
    stack: ExitStack,
    met: Meeting | None,
) -> Session:
    session: Session  # made of what reports to it
    run_id = _new_run_id()
    shown = show(records.state, parts.provider_name, run_id)
    shipper = parts.shipper(lambda text: session.report(text))  # noqa: PLW0108 - made below
    plan = parts.plan(shipper)
    kept: list[RemoteKeeper] = []
    if met:
        from contextcore_install.core.guarded import guarded
        from contextcore_install.remote import PATIENCE_S, keeper_for

        cluster = keeper_for(app, met, records, lambda: session)
        plan, kept = guarded(plan, cluster), [cluster]
        stack.callback(cluster.close, PATIENCE_S)
    recorder, keeper = _recorder(app, records, run_id, [shipper, *kept, *shown], stack)
    session = Session(
        app=app,
        run_id=run_id,
        mode=mode,
        records=records,
        recorder=recorder,
        keeper=keeper,
        shipper=shipper,
        provider=parts.provider,
        plan=plan,
        began=app.clock.monotonic(),
    )
    for item in kept:
        item.start()
    return session


def _open_records(app: App, lock: Lock | None, stack: ExitStack) -> Records:
    """Return the records, mended, under the lock that is held until the stack is left."""
    layout = app.layout
    make_home(app.home)
    make_private(layout.folder)
    stack.callback((lock or take_lock(layout)).release)
    sweep(layout.folder)
    for folder in (app.home.folder, layout.folder):
        thin_aside(folder)
    if layout.restore.is_dir():
        from contextcore_install.storage.restoring import place_records  # it needs all that reads archives

        place_records(app.home, app.settings.cluster)
    notices = adopt(app.home, app.settings.cluster)
    records = mend_records(layout, app.settings.cluster)
    compact(layout.journal, app.settings.cluster)
    if not records.mark.events:
        from contextcore_install.recall import BEFORE_A_RUN_S, recall  # needs what is above it

        recall(app, records, BEFORE_A_RUN_S)
        layout.cursors.unlink(missing_ok=True)  # they count the events of a journal that has gone
    records.notices = [*notices, *records.notices, *clock_notices(records.mark, app.clock.now_us())]
    return records


@contextmanager
def open_records(app: App, *, used: bool = True) -> Iterator[tuple[State, Recorder, Shipper]]:
    """Take the lock and open the records for a change outside of a run; raises InstallError.

    What is recorded is sent while the block lasts, where a metrics store is there to take it. The cluster becomes the
    one last used, unless it is only looked at.
    """
    with ExitStack() as stack:
        records = _open_records(app, None, stack)
        provider, _ = choose_provider(app, records.state)
        parts = Stack(app, provider, ports_of(records.state, app), options_of(records.state, app, provider))
        shipper = stack.enter_context(parts.shipper(_no_matter))
        recorder, _ = _recorder(app, records, _new_run_id(), [shipper], stack)
        if records.imported:
            recorder.record(Kind.STATE_IMPORTED, **records.imported)
        if used:
            app.home.link_to(app.settings.cluster)
        yield records.state, recorder, shipper


def _no_matter(_: str) -> None:
    """Leave it: a store that is not there is no news to a script, and the next run sends what it lacks."""


def _recorder(
    app: App, records: Records, run_id: str, projections: Sequence[Projection], stack: ExitStack
) -> tuple[Recorder, StateKeeper]:
    """Return what records the events of a run, and keeps the state; closed with the stack."""
    layout = app.layout
    journal = JournalWriter(layout.journal, records.mark)
    stack.callback(journal.close)
    keeper = StateKeeper(layout.state, records.state, journal)
    stack.callback(keeper.save)
    logs = StepLogs(layout.logs)
    stack.callback(logs.close)
    thin_logs(layout.logs)
    recorder = Recorder(
        journal,
        app.clock,
        keeper,
        [logs, *projections],
        typed=app.commands.typed,
        run_id=run_id,
        number=records.mark.events,
        at_us=records.mark.at_us,
    )
    return recorder, keeper


def take_lock(layout: ClusterLayout) -> Lock:
    """Return the cluster's lock; raises InstallError with who holds it, and what that run is doing."""
    require_own(layout.folder)
    try:
        return Lock(layout.lock, owner())
    except InstallError as error:
        if error.code == "locked":
            steps = read_records(layout, layout.folder.name).state.steps.items()
            now = [step_id for step_id, step in steps if step.status == IN_PROGRESS]
            error.message += f", at {' and '.join(now)}" if now else ""
        raise


def _new_run_id() -> str:
    """Return an id that sorts by time: runs are told apart by what was the latest."""
    now_ms = time.time_ns() // 1_000_000
    second = time.strftime("%Y%m%dT%H%M%S", time.gmtime(now_ms // 1000))
    return f"{second}.{now_ms % 1000:03d}Z-{uuid.uuid4().hex[:4]}"


def owner() -> dict[str, object]:
    """Return who takes a lock: what another process shows its user."""
    from contextcore_install.tools.machine import boot_id

    return {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "boot_id": boot_id(),
        "since": instant(time.time_ns() // 1000),
        "command": command_line(sys.argv),
    }
