"""The lease on an installation's records in its cluster: one machine acts at a time, and one that lost it does not.

It is a Lease of Kubernetes, used as its own leader election does (k8s.io/client-go/tools/leaderelection): whether a
holder lives is told by watching its lease change, never by comparing its clock with ours.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from enum import Enum
from typing import Any

from contextcore_install.core.errors import ExitCode, InstallError
from contextcore_install.core.events import instant
from contextcore_install.core.hints import own
from contextcore_install.engine.replica import CONFLICT, GONE, Slot, StoredObject
from contextcore_install.system.clock import since_boot

LEASE_S = 60.0
"""For how long a lease counts after it was seen to change."""
TRUST_S = 40.0
"""For how long after a renewal we act without asking: well before others may take it over."""
RENEW_S = 10.0
LOOK_S = 2.0
"""How often another's lease is looked at while we wait to see whether its holder lives."""
LONGEST_S = 300.0
"""What others may ask for: a lease that says more is not waited for."""

ELSEWHERE, UNCONFIRMED = "locked-elsewhere", "lease-unconfirmed"


class _Standing(Enum):
    NONE = "not taken"
    HELD = "held"
    LOST = "taken by another"


class Lease:
    """The lease, as this process sees it. `identity` says who we are: no two that can act at once may share it.

    `clock` counts seconds through the machine's sleep. Safe to use from several threads.
    """

    def __init__(self, slot: Slot, identity: str, clock: Callable[[], float] = since_boot) -> None:
        self._slot = slot
        self._identity = identity
        self._clock = clock
        self.least_term = 0
        """The latest term that is known otherwise: one that we take is later, also where the lease was made anew."""
        self._lock = threading.RLock()
        self._standing = _Standing.NONE
        self._version = ""
        self._content: dict[str, Any] = {}
        self._renewed_at = float("-inf")
        self.taken_by: InstallError | None = None

    @property
    def held(self) -> bool:
        """Whether it was ours when we last asked."""
        return self._standing is _Standing.HELD

    @property
    def term(self) -> int:
        """How often the lease has changed hands when we took it: grows with every machine; 0 where it is not ours."""
        return int(self._content.get("leaseTransitions", 0)) if self.held else 0

    def take(self, pause: Callable[[float], None], *, make: bool) -> bool:
        """Take the lease; return whether it is ours: where there is none, it is made only if `make` says so.

        Another's is watched until it changes, which raises InstallError `locked-elsewhere` (exit code 5), or has not
        changed for as long as it says. Raises other InstallErrors where the cluster does not answer or refuses.
        """
        with self._lock:
            while self._standing is _Standing.NONE:
                found = self._slot.read()
                if found is None and not make:
                    return False
                found = self._outlived(found, pause) if found else StoredObject({}, "")
                try:
                    self._put(found)
                except InstallError as error:
                    if error.code not in (CONFLICT, GONE):
                        raise  # else somebody was faster: look again who that is
            self._raise_if_lost()
            return True

    def confirm(self, pause: Callable[[float], None], *, make: bool) -> bool:
        """Return whether the lease is ours now, asking only where the last renewal is too old to tell.

        Raises as `take` does, and InstallError `lease-unconfirmed`, worth another try, where nobody answers.
        """
        with self._lock:
            self._raise_if_lost()
            if self._standing is _Standing.NONE:
                return self.take(pause, make=make)
            if self._clock() - self._renewed_at <= TRUST_S:
                return True
            try:
                self.renew()
            except InstallError as error:
                if error.code == ELSEWHERE:
                    raise
                raise InstallError(
                    UNCONFIRMED,
                    "whether this machine still holds the lease on the installation cannot be told",
                    f"{error.message} {error.evidence}".strip(),
                    retryable=True,
                ) from error
            return self.held or self.take(pause, make=make)

    def renew(self) -> None:
        """Say that we live. Raises InstallError `locked-elsewhere` where another machine has taken over.

        A lease that is gone, with its namespace say, is not held any more, and can be taken again.
        """
        with self._lock:
            if self._standing is not _Standing.HELD:
                return
            try:
                self._write(self._content | {"renewTime": _now()}, self._version)
            except InstallError as error:
                if error.code not in (CONFLICT, GONE):
                    raise
                self._look_again()

    def release(self) -> None:
        """Let the next one in. Raises InstallError."""
        with self._lock:
            if self._standing is not _Standing.HELD:
                return
            self._standing = _Standing.NONE
            kept = {name: self._content[name] for name in ("renewTime", "leaseTransitions")}
            self._slot.write(kept, self._version)

    def _look_again(self) -> None:
        """Find out why the lease is not as we left it: ours (an answer was lost), gone, or another's."""
        found = self._slot.read()
        if found is None:
            self._standing = _Standing.NONE
        elif found.content.get("holderIdentity") == self._identity:
            self._write(self._content | {"renewTime": _now()}, found.version)
        else:
            self._standing = _Standing.LOST
            self.taken_by = _elsewhere(found.content, "this run has lost its lease, and stops: ")
            raise self.taken_by

    def _raise_if_lost(self) -> None:
        if self.taken_by is not None:
            raise self.taken_by

    def _outlived(self, found: StoredObject, pause: Callable[[float], None]) -> StoredObject:
        """Return the lease once it is free: ours from before, released, or watched for its whole time."""
        began, limit = self._clock(), _duration(found.content)
        version = found.version
        while (holder := found.content.get("holderIdentity")) and holder != self._identity:
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
        is_same = found.content.get("holderIdentity") == self._identity
        now = _now()
        content = {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": int(LEASE_S),
            "acquireTime": now,
            "renewTime": now,
            "leaseTransitions": before if is_same else before + 1,
        }
        self._write(content, found.version)
        self._standing = _Standing.HELD

    def _write(self, content: dict[str, Any], version: str) -> None:
        asked_at = self._clock()
        self._version = self._slot.write(content, version)
        self._content = content
        self._renewed_at = asked_at


@contextmanager
def renewing(lease: Lease) -> Iterator[None]:
    """Within the block, keep a lease alive that is held, and let go of it at the end."""
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
    """Return who holds a lease (`host`), since when, and when it was renewed last; empty where nobody does."""
    holder = content.get("holderIdentity")
    if not isinstance(holder, str) or not holder:
        return {}
    told = {"since": content.get("acquireTime"), "renewed_at": content.get("renewTime")}
    return {"host": holder.rpartition("_")[0] or holder, **{name: str(at) for name, at in told.items() if at}}


def is_held_by(content: Mapping[str, Any], identity: str) -> bool:
    """Tell whether it is an identity that holds a lease."""
    return content.get("holderIdentity") == identity


def _duration(content: Mapping[str, Any]) -> float:
    seconds = content.get("leaseDurationSeconds")
    usable = isinstance(seconds, int | float) and not isinstance(seconds, bool) and 0 < seconds <= LONGEST_S
    return float(seconds) if usable else LEASE_S  # type: ignore[arg-type]


def _elsewhere(content: Mapping[str, Any], lead: str = "") -> InstallError:
    who = describe_holder(content)
    if who:
        text = f"another machine is at work on this installation: {who['host']}, since {who.get('since', '?')}"
    else:
        text = "another machine has been at work on this installation"
    return InstallError(
        ELSEWHERE,
        lead + text,
        evidence=f"its lease was renewed {who.get('renewed_at', '?')}" if who else "",
        hint=f"wait until it has ended ({own('--status', '--live')} shows it), then run the same command again",
        exit_code=ExitCode.LOCKED,
    )


def _now() -> str:
    return instant(time.time_ns() // 1000)
