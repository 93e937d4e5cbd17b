"""The lease on an installation's records in its cluster: one machine acts at a time, and one that lost it does not.

It is a Lease of Kubernetes, used as its own leader election does (k8s.io/client-go/tools/leaderelection): whether a
holder lives is seen by watching its lease change, never by comparing its clock with ours.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from contextcore_install.core.errors import ExitCode, InstallError, own
from contextcore_install.core.events import instant
from contextcore_install.engine.replica import CONFLICT, GONE, Slot, StoredObject
from contextcore_install.system.clock import since_boot

LEASE_S = 60.0  # a lease counts for this long after it was seen to change
TRUST_S = 40.0  # after a renewal we act for this long without asking: well before others may take it over
RENEW_S = 10.0
LOOK_S = 2.0  # between two looks at another's lease
LONGEST_S = 300.0  # a lease that says more is not waited for
ELSEWHERE, UNCONFIRMED = "locked-elsewhere", "lease-unconfirmed"


class Lease:
    """The lease, as this process sees it. `identity` says who we are: no two that can act at once may share it.

    `clock` counts seconds through the machine's sleep. `least_term` is the latest term known elsewhere: ours is later,
    even if the lease was made anew. Safe to use from several threads.
    """

    def __init__(self, slot: Slot, identity: str, clock: Callable[[], float] = since_boot) -> None:
        self._slot = slot
        self.identity = identity
        self._clock = clock
        self.least_term = 0
        self._lock = threading.RLock()
        self.held = False  # when we last asked
        self.taken_by: InstallError | None = None
        self._free: StoredObject | None = None  # as it was when nobody else held it
        self._version = ""
        self._content: dict[str, Any] = {}
        self._renewed_at = float("-inf")

    @property
    def host(self) -> str:
        return _host_of(self.identity)

    @property
    def term(self) -> int:
        """How often the lease had changed hands when we took it; 0 if it is not ours."""
        return int(self._content.get("leaseTransitions", 0)) if self.held else 0

    def await_turn(self, pause: Callable[[float], None]) -> None:
        """Return when nobody else holds the lease, which is taken when there is something to do. Raises as `take`."""
        with self._lock:
            found = self._slot.read()
            self._free = self._outlived(found, pause) if found else None

    def take(self, pause: Callable[[float], None], *, make: bool) -> bool:
        """Take the lease; return whether it is ours: if there is none, it is made only with `make`.

        Another's is watched until it changes, which raises InstallError `locked-elsewhere` (exit code 5), or has not
        changed for as long as it says. One that was taken since `await_turn` raises it, too: what was read after that
        is outdated. Raises other InstallErrors if the cluster does not answer, or refuses.
        """
        with self._lock:
            self._raise_if_lost()
            while not self.held:
                free = self._free
                found = free or self._slot.read()
                if found is None and not make:
                    return False
                if found and not free:
                    found = self._outlived(found, pause)
                with _ignoring_changes():  # by somebody who was faster: look again who that is
                    self._put(found or StoredObject({}, ""))
                if free and not self.held:
                    self._raise_if_taken_since(free)
                self._free = None
            return True

    def confirm(self, pause: Callable[[float], None], *, make: bool) -> bool:
        """Return whether the lease is ours now, asking only if the last renewal is too old to tell.

        Raises as `take` does, and InstallError `lease-unconfirmed`, worth another try, if nobody answers.
        """
        with self._lock:
            self._raise_if_lost()
            if self.held and self._clock() - self._renewed_at <= TRUST_S:
                return True
            try:
                self.renew()
            except InstallError as error:
                if error.code == ELSEWHERE:
                    raise
                raise _unconfirmed(error) from error
            try:
                return self.take(pause, make=make)
            except InstallError as error:
                if self._free is not None and error.retryable:  # there is a lease, and perhaps another's by now
                    raise _unconfirmed(error) from error
                raise

    def renew(self) -> None:
        """Renew the lease, if it is ours. Raises InstallError `locked-elsewhere` if another machine has taken over.

        A lease that is gone, with its namespace say, is not held any more, and can be taken again.
        """
        with self._lock:
            if not self.held:
                return
            renewed = self._content | {"renewTime": _now()}
            with _ignoring_changes():
                self._write(renewed, self._version)
                return
            found = self._slot.read()
            if found is None:
                self.held = False
            elif found.content.get("holderIdentity") == self.identity:  # an answer was lost
                self._write(renewed, found.version)
            else:
                self.held = False
                self.taken_by = _elsewhere(found.content, "this run has lost its lease, and stops: ")
                raise self.taken_by

    def release(self) -> None:
        """Let the next one in. Raises InstallError."""
        with self._lock:
            if self.held:
                self.held = False
                kept = {name: self._content[name] for name in ("renewTime", "leaseTransitions")}
                self._slot.write(kept, self._version)

    def _raise_if_lost(self) -> None:
        if self.taken_by is not None:
            raise self.taken_by

    def _raise_if_taken_since(self, free: StoredObject) -> None:
        found = self._slot.read()
        if found and found.content != free.content and not is_held_by(found.content, self.identity):
            self.taken_by = _elsewhere(found.content)
            raise self.taken_by

    def _outlived(self, found: StoredObject, pause: Callable[[float], None]) -> StoredObject:
        """Return the lease once it is free: ours from before, released, or watched for its whole time."""
        began, limit = self._clock(), LEASE_S
        seconds = found.content.get("leaseDurationSeconds")
        if isinstance(seconds, int | float) and not isinstance(seconds, bool) and 0 < seconds <= LONGEST_S:
            limit = float(seconds)
        version = found.version
        while (holder := found.content.get("holderIdentity")) and holder != self.identity:
            if found.version != version:
                raise _elsewhere(found.content)
            left = limit - (self._clock() - began)
            if left <= 0:
                break
            pause(min(LOOK_S, left))
            found = self._slot.read() or StoredObject({}, "")
        return found

    def _put(self, found: StoredObject) -> None:
        transitions = found.content.get("leaseTransitions")
        before = max(self.least_term, transitions if isinstance(transitions, int) else 0)
        term = before if is_held_by(found.content, self.identity) else before + 1
        content: dict[str, Any] = {"holderIdentity": self.identity, "leaseDurationSeconds": int(LEASE_S)}
        content |= dict.fromkeys(("acquireTime", "renewTime"), _now()) | {"leaseTransitions": term}
        self._write(content, found.version)
        self.held = True

    def _write(self, content: dict[str, Any], version: str) -> None:
        asked_at = self._clock()
        self._version = self._slot.write(content, version)
        self._content = content
        self._renewed_at = asked_at


@contextmanager
def _ignoring_changes() -> Iterator[None]:
    """Within the block, a change of the object by others ends the block; all else is raised."""
    try:
        yield
    except InstallError as error:
        if error.code not in (CONFLICT, GONE):
            raise


@contextmanager
def renewing(lease: Lease) -> Iterator[None]:
    """Within the block, keep a lease alive that is held, and release it at the end."""
    ended = threading.Event()

    def renew() -> None:
        while not ended.wait(RENEW_S):
            with suppress(InstallError):
                lease.renew()

    threading.Thread(target=renew, name="lease", daemon=True).start()
    try:
        yield
    finally:
        ended.set()
        with suppress(InstallError):
            lease.release()


def describe_holder(content: Mapping[str, Any]) -> dict[str, str]:
    """Return who holds a lease (`host`), since when, and when it was renewed last; empty if nobody does."""
    holder = content.get("holderIdentity")
    if not isinstance(holder, str) or not holder:
        return {}
    times = {"since": content.get("acquireTime"), "renewed_at": content.get("renewTime")}
    return {"host": _host_of(holder), **{name: str(at) for name, at in times.items() if at}}


def is_held_by(content: Mapping[str, Any], identity: str) -> bool:
    return content.get("holderIdentity") == identity


def _host_of(identity: str) -> str:
    return identity.rpartition("_")[0] or identity


def _elsewhere(content: Mapping[str, Any], lead: str = "") -> InstallError:
    who = describe_holder(content)
    text = "another machine has been at work on this installation"
    if who:
        text = f"another machine is at work on this installation: {who['host']}, since {who.get('since', '?')}"
    evidence = f"its lease was renewed {who.get('renewed_at', '?')}" if who else ""
    hint = f"wait until it has ended ({own('--status', '--live')} shows it), then run the same command again"
    return InstallError(ELSEWHERE, lead + text, evidence, hint, exit_code=ExitCode.LOCKED)


def _unconfirmed(error: InstallError) -> InstallError:
    message = "it is not known whether this machine holds the lease on the installation"
    return InstallError(UNCONFIRMED, message, f"{error.message} {error.evidence}".strip(), retryable=True)


def _now() -> str:
    return instant(time.time_ns() // 1000)
