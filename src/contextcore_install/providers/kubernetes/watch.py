"""Follows a release's pods and workloads as the API server reports them, without polling."""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, NamedTuple

from contextcore_install.core.errors import InstallError
from contextcore_install.core.interfaces import StepContext
from contextcore_install.core.provider import Workload
from contextcore_install.core.schema import SchemaError
from contextcore_install.providers.kubernetes.client import MANAGED, Reader, Snapshot
from contextcore_install.providers.kubernetes.conditions import WaitLimits, WorkloadConditions
from contextcore_install.providers.kubernetes.objects import Key, Manifest
from contextcore_install.system.process import Follower

#: Seconds between two looks at troubles that only count when they last, if nothing else happens.
LOOK_S = 1.0
#: Seconds after which everything is read anew, should a watch have missed something.
RESYNC_S = 60.0
#: Seconds to wait before a watch that ended is begun again, and for how long the API may be away.
AGAIN_S, AWAY_S = 0.5, 60.0


class Change(NamedTuple):
    """What came over a watch of a kind: an object as it is now, or that it is gone; None when the watch has ended."""

    kind: str
    item: Manifest | None = None
    gone: bool = False


class WorkloadWatch:
    """Yields the workloads' conditions at every change."""

    def __init__(self, reader: Reader, conditions: WorkloadConditions) -> None:
        self._reader = reader
        self._conditions = conditions
        self._changes: queue.SimpleQueue[Change | None] = queue.SimpleQueue()
        self._objects: dict[Key, Manifest] = {}
        self._read_at = float("-inf")
        self._away_since: float | None = None

    def changes(self, ctx: StepContext) -> Iterator[list[Workload]]:
        """Yield the conditions now and at every change, for ever; raises CancelledError when the step is to end."""
        limits, before = WaitLimits(), None
        endpoints = ["endpoints"] if self._reader.owns_nodes else []
        kinds = {"pod", *endpoints, *(item.resource for item in self._reader.release().workloads.values())}
        with ExitStack() as stack:
            stack.enter_context(ctx.on_cancel(lambda: self._changes.put(None)))
            running = {kind: stack.enter_context(ExitStack()) for kind in kinds}
            ended = sorted(kinds)
            while True:
                for kind in ended:
                    running[kind].close()
                    running[kind].enter_context(self._follow(kind))
                self._resync()
                workloads = self._conditions.now(Snapshot(list(self._objects.values())), limits)
                if workloads != before:
                    before = workloads
                    yield workloads
                if ended := self._absorb():
                    ctx.wait(AGAIN_S)
                    self._read_at = float("-inf")
                ctx.raise_if_cancelled()

    def _absorb(self) -> list[str]:
        """Wait for something to happen, take in all that has, and return the kinds whose watch has ended."""
        ended = []
        with suppress(queue.Empty):
            change = self._changes.get(timeout=LOOK_S)
            while change is not None:
                if change.item is None:
                    ended.append(change.kind)
                else:
                    self._take(change.item, gone=change.gone)
                change = self._changes.get_nowait()
        return ended

    def _take(self, item: Manifest, *, gone: bool) -> None:
        key = item.key
        if _version(self._objects.get(key, Manifest())) <= _version(item):  # else a full read was newer
            if gone:
                self._objects.pop(key, None)
            else:
                self._objects[key] = item

    def _resync(self) -> None:
        """Read everything when it is time; the API may be away for a while, as when its node is restarted."""
        now = time.monotonic()
        if now - self._read_at < RESYNC_S:
            return
        try:
            self._objects = dict(self._reader.read(fresh=True).by_key)
        except InstallError as error:
            self._away_since = self._away_since or now
            if error.code != "api-unreachable" or now - self._away_since > AWAY_S:
                raise
            return
        self._away_since, self._read_at = None, now

    @contextmanager
    def _follow(self, kind: str) -> Iterator[None]:
        watching = ("--watch", "--output-watch-events", MANAGED, "-o", "json")
        with self._reader.kubectl.follow("get", kind, *self._reader.scope(), *watching) as follower:
            threading.Thread(target=self._hand_on, args=(kind, follower), daemon=True).start()
            yield

    def _hand_on(self, kind: str, follower: Follower) -> None:
        with suppress(SchemaError):
            for document in documents(follower.lines()):
                if document.get("type") == "ERROR":
                    break  # too old a resource version, for one: begin again
                item = Manifest.checked(document.get("object"))
                self._changes.put(Change(kind, item, gone=document.get("type") == "DELETED"))
        self._changes.put(Change(kind))


def documents(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects in kubectl's output, each of which ends in a line of its own that is `}`."""
    parts: list[str] = []
    with suppress(ValueError, RecursionError):
        for line in lines:
            parts.append(line)
            if line in {"}", "{}"} or (line.startswith("{") and line.endswith("}")):
                yield json.loads("\n".join(parts))
                parts.clear()


def _version(item: Manifest) -> int:
    """Return an object's resourceVersion as a number, which they all are in practice (0 for one that is not)."""
    text = str(item.metadata.get("resourceVersion", ""))
    return int(text) if text.isdecimal() else 0
