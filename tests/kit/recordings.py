"""Recorded runs in a store: scripted events through the real fold and the real remote write, dated from one moment."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlencode

import pytest

from contextcore_install.core.events import Kind
from contextcore_install.engine.names import STEP_IDS
from contextcore_install.telemetry.folds.metrics import MetricsFold, Sample
from kit.stores import MemoryJournal, Store

SECOND_US = 1_000_000
MINUTE, HOUR, DAY = 60, 3_600, 86_400
"""In seconds."""

MET = [
    {"requirement": "mimir_ready", "category": "infrastructure", "ratio": 1.0, "critical": True},
    {"requirement": "grafana_ready", "category": "infrastructure", "ratio": 1.0, "critical": True},
    {"requirement": "tempo_present", "category": "observability", "ratio": 0.5},
]
"""What a verification found that succeeded all the same: what is not met is not critical."""

BROKEN = [{**MET[0], "ratio": 0.0}, *MET[1:]]
EARLIER = [*BROKEN, {"requirement": "gone", "category": "observability", "ratio": 0.0, "critical": True}]
"""What an earlier version measured."""


class Recording(MemoryJournal):
    """A journal, written from a moment on that is so many seconds before now."""

    def __init__(self, now_ms: int, begins_ago: float) -> None:
        super().__init__(now_ms * 1000 - int(begins_ago * SECOND_US))
        self.run = ""

    def starts(self, run: str) -> Recording:
        self.run = run
        return self.tell(Kind.RUN_STARTED, version="1.2.3", provider="host", mode="run")

    def tell(self, kind: Kind, step: str = "", **data: Any) -> Recording:
        self.add(self.run, kind, step, after_us=0 if not self.events else 1000, **data)
        return self

    def passes(self, seconds: float) -> Recording:
        """Let time pass, without a sign of life."""
        self.at_us += int(seconds * SECOND_US)
        return self

    def works(self, seconds: float) -> Recording:
        """Let time pass in a living run."""
        whole, rest = divmod(seconds, 15)
        for _ in range(int(whole)):
            self.passes(15).tell(Kind.HEARTBEAT)
        return self.passes(rest)

    def begins(self, step: str) -> Recording:
        return self.tell(Kind.STEP_STARTED, step, attempt=1)

    def does(self, *steps: str, seconds: float = 2.0) -> Recording:
        for step in steps:
            self.begins(step).works(seconds).tell(Kind.STEP_COMPLETED, step, duration_seconds=seconds)
        return self

    def fails(self, step: str, seconds: float = 2.0) -> Recording:
        self.begins(step).works(seconds)
        return self.tell(Kind.STEP_FAILED, step, duration_seconds=seconds, error={"code": "x"})

    def verifies(self, requirements: Sequence[object]) -> Recording:
        return self.tell(Kind.VERIFIED, requirements=requirements)

    def ends(self, outcome: str = "succeeded") -> Recording:
        return self.tell(Kind.RUN_FINISHED, outcome=outcome)

    def samples(self, cluster: str) -> list[Sample]:
        fold = MetricsFold(cluster)
        return [sample for event in self.events for sample in fold.take(event)]


def fresh(now: int) -> Recording:
    """A first run at work: begun 42 s ago, its second step for 40 s."""
    return Recording(now, 42).starts("r1").does("preflight").begins("cluster_create").works(40)


def finished(now: int) -> Recording:
    """Done 20 minutes ago, in two minutes; an earlier run took half of that for each step."""
    told = Recording(now, 30 * MINUTE).starts("r1").does(*STEP_IDS, seconds=10).ends()
    told.passes(8 * MINUTE - 61).starts("r2")
    for step in STEP_IDS:
        told.tell(Kind.STEP_INVALIDATED, step)
    told.does(*STEP_IDS, seconds=20)
    return told.verifies(EARLIER).passes(1).verifies(MET).ends()


def failed(now: int) -> Recording:
    told = Recording(now, 20 * MINUTE).starts("r1").does(*STEP_IDS[:3])
    return told.fails("pods_ready", 60).ends("failed")


def failed_at_once(now: int) -> Recording:
    """A step has failed, and another of the same run is still at work."""
    return Recording(now, 40).starts("r1").does("preflight").fails("cluster_create").begins("pods_ready").works(30)


def killed(now: int) -> Recording:
    """`kill -9` 30 s after its fourth step began, 20 minutes ago; its last sign of life came after those 30 s."""
    told = Recording(now, 20 * MINUTE + 36).starts("r1").does(*STEP_IDS[:3])
    return told.begins("pods_ready").works(30)


def interrupted(now: int) -> Recording:
    """Ctrl-C, 10 minutes ago."""
    return (
        Recording(now, 10 * MINUTE)
        .starts("r1")
        .does("preflight")
        .begins("cluster_create")
        .works(20)
        .ends("interrupted")
    )


def resumed(now: int) -> Recording:
    """Killed an hour ago, then carried on to its end 20 minutes ago."""
    told = Recording(now, HOUR).starts("r1").does(*STEP_IDS[:3]).begins("pods_ready").works(30)
    return told.passes(39 * MINUTE).starts("r2").does(*STEP_IDS[3:]).verifies(MET).ends()


def resuming(now: int) -> Recording:
    """Failed an hour ago; carried on, and at work again in the step that had failed."""
    told = Recording(now, HOUR).starts("r1").does(*STEP_IDS[:3]).fails("pods_ready", 60).ends("failed")
    told.passes(HOUR - 66 - 30).starts("r2").begins("pods_ready").works(30)
    return told


def slow(now: int) -> Recording:
    """At work in a step for 200 s that took 50 s before."""
    told = Recording(now, HOUR).starts("r1").does("preflight", "cluster_create", seconds=50).ends("failed")
    return told.passes(HOUR - 100 - 200).starts("r2").begins("cluster_create").works(200)


def slow_and_new(now: int) -> Recording:
    """At work for 16 minutes in a step that was never done before."""
    return Recording(now, 16 * MINUTE).starts("r1").begins("pods_ready").works(16 * MINUTE)


def patient(now: int) -> Recording:
    """At work for 14 minutes in a step that was never done before."""
    return Recording(now, 14 * MINUTE).starts("r1").begins("pods_ready").works(14 * MINUTE)


def quick_before(now: int) -> Recording:
    """At work for 100 s in a step that failed within a second before: that is no history to go by."""
    told = Recording(now, HOUR).starts("r1").fails("pods_ready", 1).ends("failed")
    return told.passes(HOUR - 1 - 100).starts("r2").begins("pods_ready").works(100)


def unverified(now: int) -> Recording:
    """Whole an hour ago, and broken now."""
    told = Recording(now, HOUR).starts("r1").does(*STEP_IDS).verifies(MET).ends()
    return told.passes(HOUR - 12 - MINUTE).verifies(BROKEN)


RECORDINGS: tuple[Callable[[int], Recording], ...] = (
    fresh, finished, failed, failed_at_once, killed, interrupted, resumed, resuming, slow, slow_and_new, patient,
    quick_before, unverified,
)  # fmt: skip


class Recorded:
    """A store that holds the recordings, each in a cluster of its name, and is asked at one moment."""

    def __init__(self, store: Store, now_ms: int) -> None:
        self.store = store
        self.now_ms = now_ms
        # Names may have dots, which mean something in regular expressions.
        self.clusters = {each.__name__: f"{each.__name__}.{now_ms}" for each in RECORDINGS}
        samples = [s for each in RECORDINGS for s in each(now_ms).samples(self.clusters[each.__name__])]
        client, backend = store.backend()
        assert backend.send(samples) == []
        if store.name == "victoria-metrics":
            client.request("GET", "/internal/force_flush")
        client.close()

    def name(self, cluster: str) -> str:
        """Return the recording that a cluster holds."""
        return next((name for name, found in self.clusters.items() if found == cluster), "")

    def now(self, expression: str, *, later_s: float = 0) -> list[dict[str, Any]]:
        """Return the result of an instant query."""
        client, backend = self.store.backend()
        try:
            return backend.query(expression, self.now_ms + int(later_s * 1000))
        finally:
            client.close()

    def over_time(self, expression: str, *, last_s: int, step_s: int) -> list[dict[str, Any]]:
        """Return the result of a range query, as panels of graphs make them."""
        client, backend = self.store.backend()
        end = self.now_ms // 1000
        fields = {"query": expression, "start": end - last_s, "end": end, "step": step_s}
        answer = client.request("GET", f"{backend.query_path}_range?{urlencode(fields)}")
        client.close()
        found: list[dict[str, Any]] = json.loads(answer.body)["data"]["result"]
        return found


@pytest.fixture(scope="session", params=["victoria", "prometheus"])
def recorded(request: pytest.FixtureRequest) -> Recorded:
    """Each store with the recordings in it; VictoriaMetrics tells how things stood a second ago at the latest."""
    store: Store = request.getfixturevalue(request.param)
    return Recorded(store, int(time.time() - 2) * 1000)
