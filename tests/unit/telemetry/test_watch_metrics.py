"""What a watch does, as metrics: counters that go on over runs and snapshots."""

from __future__ import annotations

import json

from contextcore_install.core.events import Event, Kind
from contextcore_install.telemetry.folds.metrics import MetricsFold

SECOND = 1_000_000


def told(number: int, kind: Kind, **data: object) -> Event:
    return Event(number, number * SECOND, f"run-{number}", kind, "", data)


def values(fold: MetricsFold, event: Event) -> dict[str, float]:
    return {
        sample.name.removeprefix("contextcore_install_")
        + "".join(f"[{value}]" for name, value in sample.labels if name != "cluster"): sample.value
        for sample in fold.take(event)
    }


def test_a_look_says_when_it_was_and_what_it_saw() -> None:
    fold = MetricsFold("dev")
    assert values(fold, told(1, Kind.WATCH_LOOKED, problems=["a", "b"])) == {
        "watch_timestamp": 1.0,
        "watch_problems": 2.0,
    }


def test_remedies_are_counted_by_what_came_of_them_and_go_on_after_a_snapshot() -> None:
    fold = MetricsFold("dev")
    for number, outcome in enumerate(["succeeded", "failed", "succeeded"], 1):
        values(fold, told(number, Kind.WATCH_REMEDIED, outcome=outcome, problems=["a"]))
    again = MetricsFold.restore("dev", json.loads(json.dumps(fold.snapshot())))
    assert again is not None
    found = values(again, told(4, Kind.WATCH_REMEDIED, outcome="succeeded", problems=["a"]))
    assert found == {"watch_timestamp": 4.0, "watch_remedies_total[succeeded]": 3.0}


def test_giving_up_is_dated() -> None:
    found = values(MetricsFold("dev"), told(9, Kind.WATCH_GAVE_UP, problems=["a"]))
    assert found == {"watch_timestamp": 9.0, "watch_problems": 1.0, "watch_gave_up_timestamp": 9.0}
