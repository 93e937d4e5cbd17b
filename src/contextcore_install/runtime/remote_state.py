"""The records on this machine and in the cluster: which count, and the lease that lets one machine act at a time."""

from __future__ import annotations

import hashlib
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contextcore_install.cli.grammar import FLAGS
from contextcore_install.core.dataclass import dataclass, replace
from contextcore_install.core.errors import InstallError, usage_error
from contextcore_install.core.events import JournalOffset, second
from contextcore_install.core.provider import Provider
from contextcore_install.core.redaction import Redaction
from contextcore_install.engine.outcome import Outcome
from contextcore_install.engine.replica import HasRemoteRecords, Remote, RemoteRecords, last_change, unpack
from contextcore_install.engine.state import State
from contextcore_install.runtime.app import App
from contextcore_install.storage.archived import given_up_ms
from contextcore_install.storage.replica.keeper import RemoteCopy, ReplicaSync
from contextcore_install.storage.replica.lease import ELSEWHERE, Lease, describe_holder, is_held_by, renewing
from contextcore_install.storage.store import Records, differences, take_over
from contextcore_install.system.machine import boot_id

if TYPE_CHECKING:
    from contextcore_install.runtime.running import RunControl


def remote_of(provider: Provider) -> Remote | None:
    """Return the way to the records in the provider's cluster; None if it has none."""
    return provider.remote() if isinstance(provider, HasRemoteRecords) else None


@dataclass(frozen=True, slots=True)
class RecordsLookup:
    """What was found in a cluster: the records, if they can be used, their version, and else what is wrong."""

    records: RemoteRecords | None = None
    version: str = ""
    trouble: str = ""
    foreign: bool = False


def look(remote: Remote, cluster: str) -> RecordsLookup:
    """Return what the cluster holds; raises InstallError if it cannot be asked."""
    kept = remote.records.read()
    if kept is None:
        return RecordsLookup()
    try:
        records = unpack(kept.content)
    except ValueError as error:
        return RecordsLookup(None, kept.version, f"{remote.place} holds no records that can be used: {error}")
    if records.state.cluster_name != cluster:
        text = f"{remote.place} holds the records of {records.state.cluster_name[:63]!r} (--cluster)"
        return RecordsLookup(None, kept.version, text, foreign=True)
    for name, value in records.state.settings.items():
        if isinstance(value, str) and value.startswith("~/"):
            records.state.settings[name] = str(Path(value).expanduser())
    return RecordsLookup(records, kept.version)


def is_newer(app: App, remote: RemoteRecords, local: Records) -> bool:
    """Return whether the cluster's journal goes on where this machine's ends.

    It does if another machine has held the lease since this one wrote last, whatever this one noted meanwhile; within
    one term, if terms are not known, and of two installations, what was changed last is newer.
    """
    if is_given_up(app, remote):
        return False
    here, there = local.state, remote.state
    term = _term(app)
    if term and remote.term and term != remote.term and here.installation_id == there.installation_id:
        return remote.term > term
    return (last_change(there), remote.events) > (last_change(here), local.offset.events)


def _term(app: App) -> int:
    try:
        return int(app.layout.lease_term.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return 0


def is_given_up(app: App, remote: RemoteRecords) -> bool:
    """Return whether the cluster's records are older than what `--reset` or `delete` archived here."""
    return remote.at_us // 1000 <= given_up_ms(app.home, app.settings.cluster)


def differ(remote: RemoteRecords, local: Records) -> bool:
    """Return whether the two tell different stories; which details were noted last does not matter."""
    here, there = local.state, remote.state
    return here.installation_id != there.installation_id or bool(differences(here, there))


def _is_in_step(there: State, here: State) -> bool:
    """Return whether the cluster's records say what this machine's do, but for when what was confirmed."""
    told, known = (
        (state.installation_id, state.settings, state.data, {name: step.status for name, step in state.steps.items()})
        for state in (there, here)
    )
    return there.run.outcome == Outcome.SUCCEEDED and told == known


def adopt_remote(place: Remote, remote: RemoteRecords, local: Records) -> Records:
    """Return the cluster's records, as a change to be recorded here; numbers and times go on behind both."""
    offset, at_us = local.offset, max(local.offset.at_us, remote.at_us)
    compared = _side_by_side(local.state, remote.state) if local.state.exists else ""
    _keep_own(local.state, remote.state)
    taken = take_over(local, remote.state, f"cluster: {place.place}", at_us=at_us)
    why = f"they are newer than this machine's ({compared})" if compared else "this machine has none"
    where = f"({place.place}, written by {remote.host}, {second(remote.at_us)})"
    return replace(
        taken,
        offset=JournalOffset(max(offset.events, remote.events), offset.bytes, at_us),
        notices=[*local.notices, f"the records in the cluster count {where}: {why}"],
    )


def _keep_own(here: State, there: State) -> None:
    """Leave this machine the settings that it alone has."""
    for name in (flag.destination for flag in FLAGS.values() if flag.machine_local):
        there.settings.pop(name, None)
        if name in here.settings:
            there.settings[name] = here.settings[name]


def _side_by_side(here: State, there: State) -> str:
    rows = [
        f"{step}: {here.step(step).status} here, {there.step(step).status} there"
        for step in dict.fromkeys([*here.steps, *there.steps])
        if here.step(step).status != there.step(step).status
    ]
    if here.installation_id != there.installation_id:
        rows.insert(0, f"installation {here.installation_id[:8]} here, {there.installation_id[:8]} there")
    when = [second(last_change(state)) for state in (here, there)]
    return "; ".join(rows) or f"changed {when[0]} here, {when[1]} there"


def compare_records(
    app: App, provider: Provider, local: Records, checks: Sequence[Mapping[str, Any]]
) -> dict[str, Any] | None:
    """Return the member `records` of the status document; None if the provider's cluster holds none."""
    try:
        remote = remote_of(provider)
        if remote is None:
            return None
        found, kept = look(remote, app.settings.cluster), remote.lease.read()
    except InstallError as error:
        return {"trouble": error.message}
    # The lease of a run on this machine is left out: the lock shows that run.
    held = kept is not None and not is_held_by(kept.content, identity(app))
    lease = dict(describe_holder(kept.content)) if kept and held else {}
    document: dict[str, Any] = {"lease": lease} if lease else {}
    if found.trouble:
        document["trouble"] = found.trouble
    there, here = found.records, local.state
    if there is None:
        return document or None
    document["counts"] = "cluster" if is_newer(app, there, local) else "file"
    document["differ"] = differ(there, local)
    document["file"] = _one_side(here, local.offset.events) if here.exists else None
    document["cluster"] = {"place": remote.place, "host": there.host, **_one_side(there.state, there.events)}
    if document["differ"]:
        live = {check["id"]: bool(check["satisfied"]) for check in checks}
        document["steps"] = [
            {
                "id": step,
                "file": here.steps[step].status if step in here.steps and here.exists else None,
                "cluster": there.state.steps[step].status if step in there.state.steps else None,
                "live": live.get(step),
            }
            for step in dict.fromkeys([*here.steps, *there.state.steps])
        ]
    return document


def _one_side(state: State, events: int) -> dict[str, Any]:
    changed = last_change(state)
    return {
        "installation_id": state.installation_id or None,
        "changed_at": second(changed) if changed else None,
        "events": events,
    }


@dataclass(frozen=True, slots=True)
class RemoteSession:
    """The lease on an installation, and the records that count, here or in the cluster (`adopted`)."""

    remote: Remote
    lease: Lease
    records: Records
    found: RecordsLookup = RecordsLookup()
    adopted: bool = False

    def release(self) -> None:
        with suppress(InstallError):
            self.lease.release()

    def require_same_place(self, provider: Provider) -> None:
        """Raise a usage error if the records that count lead to another cluster than the one that holds them."""
        there = remote_of(provider)
        if there is None or there.place != self.remote.place:
            raise usage_error(
                f"the records that count are in {self.remote.place}, and the provider that they name, {provider.name}, "
                f"leads to {there.place if there else 'no cluster'}",
                "work on it from the machine that wrote them, or choose another name with --cluster NAME",
            )

    def keeper(self, app: App, control: RunControl) -> ReplicaSync:
        found = self.found.records
        tail = found.tail if self.adopted and found else ()
        in_step = found is not None and _is_in_step(found.state, self.records.state)
        copy = RemoteCopy(self.remote, self.lease, self.found.version, found is not None, in_step, tail)
        redaction = Redaction(home=app.environ.get("HOME", ""))
        return ReplicaSync(copy, self.records, app.layout, redaction, report=control.report, lost=control.lose)


def acquire(app: App, remote: Remote, records: Records, *, may_adopt: bool = True) -> RemoteSession:
    """Wait until nobody else acts, and decide between the records here and in the cluster, which their notices report.

    Unless it `may_adopt` the cluster's, those here count however old they are. The lease is taken by whoever has
    something to do. Raises InstallError `locked-elsewhere`.
    """
    lease = Lease(remote.lease, identity(app))
    lease.least_term = _term(app)
    try:
        lease.await_turn(_pause(app))
        found = look(remote, app.settings.cluster)
    except InstallError as error:
        if error.code == ELSEWHERE:
            raise
        return RemoteSession(remote, lease, records)  # the run takes it when the cluster is up
    notices = [*records.notices, *([found.trouble] if found.trouble else [])]
    there = found.records
    lease.least_term = max(lease.least_term, there.term if there else 0)
    if may_adopt and there and is_newer(app, there, records):
        return RemoteSession(remote, lease, adopt_remote(remote, there, records), found, adopted=True)
    if there and not is_given_up(app, there) and there.writer != identity(app) and differ(there, records):
        notices.append(
            f"the records in the cluster ({remote.place}, written by {there.host}, {second(there.at_us)}) are older "
            f"than this machine's, which count: {_side_by_side(records.state, there.state)}"
        )
    return RemoteSession(remote, lease, replace(records, notices=notices), found)


def _pause(app: App) -> Callable[[float], None]:
    """Return a pause that first reports, once, what is waited for."""
    reports = iter(["note: another machine has the lease on this installation; seeing whether it is at work\n"])

    def pause(seconds: float) -> None:
        app.stderr.write(next(reports, ""))
        app.stderr.flush()
        time.sleep(seconds)

    return pause


@contextmanager
def alone_in_cluster(app: App, provider: Provider) -> Iterator[None]:
    """Have the lease while an installation is removed outside of a run, and remove its records after it.

    Raises InstallError `locked-elsewhere`. What does not answer holds no lease, and keeps no records that matter.
    """
    remote = remote_of(provider)
    session = acquire(app, remote, Records(State(app.settings.cluster)), may_adopt=False) if remote else None
    if session is None or session.found.foreign:
        yield
        return
    try:
        session.lease.take(_pause(app), make=False)
    except InstallError as error:
        if error.code == ELSEWHERE:
            raise
    with renewing(session.lease):
        yield
    with suppress(InstallError, OSError):
        app.layout.lease_term.unlink(missing_ok=True)
        session.remote.records.remove()
        session.remote.lease.remove()


def identity(app: App) -> str:
    """Return who holds a lease: whoever holds the lock of this cluster's folder, on this machine since it started."""
    try:
        facts = app.layout.lock.stat()
        place = f"{facts.st_dev}:{facts.st_ino}"
    except OSError:
        place = ""
    text = "\0".join((socket.gethostname(), boot_id(), str(app.layout.folder), place))
    host = socket.gethostname().partition(".")[0] or "unknown"
    return f"{host}_{hashlib.sha256(text.encode()).hexdigest()[:12]}"
