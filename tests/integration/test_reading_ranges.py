"""Samples are read back to the millisecond, whatever a store's version makes of a range."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import pytest

from contextcore_install.stack.catalogue import PROMETHEUS
from contextcore_install.telemetry.exporters.backends import Backend
from contextcore_install.telemetry.exporters.client import Client
from contextcore_install.telemetry.folds.metrics import PREFIX, Sample
from kit.stores import TIMEOUTS, Misbehaving, Reply, Store, healthy

SPANS_MS = (0, 1, 999, 1000, 1001, 4006, 4007, 8000, 8013, 8014, 16_030, 61_000, 126_027, 299_999)
"""From the first sample to the last. VictoriaMetrics before the end of 2024 loses the first of some, as of 4006."""

NAME = f"{PREFIX}range_test"


def sample(cluster: str, series: int, at_ms: int) -> Sample:
    return Sample(NAME, (("cluster", cluster), ("span", str(series))), float(at_ms % 1000), at_ms)


def test_the_first_and_the_last_sample_of_every_span_are_read_and_none_beside_them(store: Store) -> None:
    cluster = f"c-{uuid.uuid4().hex[:8]}"
    client, backend = store.backend()
    newest_ms = (int(time.time()) - 30) * 1000 + 1
    inside = {
        (span, offset): sorted({newest_ms + offset - span, newest_ms + offset})
        for span in SPANS_MS
        for offset in (0, 499, 998)
    }
    written = {
        sample(cluster, 1000 * span + offset, at)
        for (span, offset), times in inside.items()
        for at in (times[0] - 1, *times, times[-1] + 1)
    }
    in_order = sorted(written, key=lambda item: item.at_ms)
    assert not backend.send(in_order)
    backend.show_recent()
    for (span, offset), times in inside.items():
        matchers = {"__name__": NAME, "cluster": cluster, "span": str(1000 * span + offset)}
        found = backend.raw_samples(matchers, times[0], times[-1])
        assert [sorted(values) for values in found.values()] == [times], f"{span} ms, {offset}"
    client.close()


@pytest.mark.parametrize("span_ms", SPANS_MS)
def test_a_store_is_asked_for_whole_seconds(misbehaving: Callable[[Reply], Misbehaving], span_ms: int) -> None:
    world = misbehaving(lambda _, handler: healthy(handler))
    client, end_ms = Client(world.url, lambda: TIMEOUTS), 1_700_000_000_123
    backend = Backend(PROMETHEUS, client)
    backend.raw_samples({"cluster": "c"}, end_ms - span_ms, end_ms)
    client.close()
    (asked,) = world.requests
    fields = parse_qs(urlsplit(asked.split()[1]).query)
    length = fields["query"][0].partition("[")[2]
    assert length.removesuffix("s]").isdigit()
    assert fields["time"] == ["1700000001.000"]
    assert 1_700_000_001_000 - int(length.removesuffix("s]")) * 1000 < end_ms - span_ms
