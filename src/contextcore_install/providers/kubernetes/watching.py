"""Follows a release's pods and workloads as the API server tells of them: no polling."""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Self

from contextcore_install.core.errors import InstallError
from contextcore_install.core.ports import StepContext
from contextcore_install.core.provider import Workload
from contextcore_install.core.schema import SchemaError
from contextcore_install.providers.kubernetes.client import Kubectl
from contextcore_install.providers.kubernetes.conditions import WaitLimits, WorkloadConditions
from contextcore_install.providers.kubernetes.objects import Key, key_of
from contextcore_install.providers.kubernetes.shapes import as_kubernetes_object
from contextcore_install.providers.kubernetes.snapshot import Reader, Snapshot

#: Seconds between two looks at troubles that only count when they last, where nothing else happens.
LOOK_S = 1.0
#: Seconds after which everything is read anew, should a watch have missed something.
RESYNC_S = 15.0
#: Seconds to wait before a watch that ended is begun again, and for how long the API may be away.
AGAIN_S, AWAY_S = 0.5, 60.0


@dataclass(frozen=True, slots=True)
class Told:
    """What came over a watch: an object as it is now, or gone; no object means that the watch has ended."""

    kind: str
    item: dict[str, Any] | None = None
    gone: bool = False
    complaint: str = ""


class WorkloadWatch:
    """Yields the workloads' conditions at every change."""

    def __init__(self, kubectl: Kubectl, reader: Reader, conditions: WorkloadConditions, kinds: Sequence[str]) -> None:
        self._kubectl = kubectl
        self._reader = reader
        self._conditions = conditions
        self._kinds = tuple(kinds)
        self._told: queue.SimpleQueue[Told | None] = queue.SimpleQueue()
        self._objects: dict[Key, dict[str, Any]] = {}
        self._read_at = float("-inf")
        self._away_since: float | None = None

    def changes(self, ctx: StepContext) -> Iterator[list[Workload]]:
        """Yield the conditions now and at every change, for ever; raises CancelledError when the step is to end."""
        patience, before = WaitLimits(), None
        with ExitStack() as stack:
            stack.enter_context(ctx.on_cancel(lambda: self._told.put(None)))
            running = {kind: stack.enter_context(self._follow(kind)) for kind in self._kinds}
            while True:
                self._resync()
                workloads = self._conditions.now(Snapshot(list(self._objects.values())), patience)
                if workloads != before:
                    before = workloads
                    yield workloads
                for kind in self._take():
                    ctx.wait(AGAIN_S)
                    running[kind].close()
                    running[kind] = stack.enter_context(self._follow(kind))
                    self._read_at = float("-inf")
                ctx.raise_if_cancelled()

    def _follow(self, kind: str) -> _Follow:
        return _Follow(self._kubectl, kind, self._reader.scope(), self._told)

    def _take(self) -> list[str]:
        """Wait for something to happen, take in all that has, and return the kinds whose watch has ended."""
        ended = []
        try:
            told = self._told.get(timeout=LOOK_S)
            while told is not None:
                if told.item is None:
                    ended.append(told.kind)
                else:
                    self._absorb(told.item, gone=told.gone)
                told = self._told.get_nowait()
        except queue.Empty:
            pass
        return ended

    def _absorb(self, item: dict[str, Any], *, gone: bool) -> None:
        key = key_of(item)
        known = self._objects.get(key)
        if known is not None and _version(known) > _version(item):
            return  # the full read was newer
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
            snapshot = self._reader.read(fresh=True)
        except InstallError as error:
            self._away_since = self._away_since or now
            if error.code != "api-unreachable" or now - self._away_since > AWAY_S:
                raise
            return
        self._away_since = None
        self._read_at = now
        self._objects = dict(snapshot.all())


class _Follow:
    """One kubectl that watches one kind, and the thread that reads it."""

    def __init__(self, kubectl: Kubectl, kind: str, scope: Sequence[str], told: queue.SimpleQueue[Told | None]) -> None:
        self._kind = kind
        self._told = told
        self._closed = False
        self._stack = ExitStack()
        self._follower = self._stack.enter_context(kubectl.watch(kind, *scope))
        threading.Thread(target=self._read, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End kubectl."""
        self._closed = True
        self._stack.close()

    def _read(self) -> None:
        for document in documents(self._follower.lines()):
            item = document.get("object")
            if document.get("type") == "ERROR" or not isinstance(item, dict):
                break  # too old a resource version, for one: begin again
            try:
                item = as_kubernetes_object(item)
            except SchemaError:
                break
            self._told.put(Told(self._kind, item, gone=document.get("type") == "DELETED"))
        if not self._closed:
            self._told.put(Told(self._kind))


def documents(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects in kubectl's output, each of which ends in a line of its own that is `}`."""
    parts: list[str] = []
    for line in lines:
        parts.append(line)
        if line in {"}", "{}"} or (line.startswith("{") and line.endswith("}")):
            try:
                document = json.loads("\n".join(parts))
            except (ValueError, RecursionError):
                return
            if not isinstance(document, dict):
                return
            parts.clear()
            yield document


def _version(item: dict[str, Any]) -> int:
    """Return an object's resourceVersion as a number, which they all are in practice (0 where one is not)."""
    text = str(item.get("metadata", {}).get("resourceVersion", ""))
    return int(text) if text.isdecimal() else 0
