"""What goes over the wire, and what answers mean."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import cramjam
import pytest

from contextcore_install.stack.catalogue import PROMETHEUS
from contextcore_install.telemetry.exporters.backends import HEADERS, Backend, Refusal, encode
from contextcore_install.telemetry.exporters.client import Client, StoreAnswer
from contextcore_install.telemetry.failures import FailureKind, StoreError
from contextcore_install.telemetry.folds.metrics import Sample


def sample(at_ms: int, value: float = 1.0, name: str = "m") -> Sample:
    return Sample(name, (("a", "x"), ("cluster", "c")), value, at_ms)


def wire_fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield (number, value) of a protobuf message, by the encoding's own description."""

    def varint() -> int:
        nonlocal data
        value = shift = 0
        while True:
            byte, data = data[0], data[1:]
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while data:
        tag = varint()
        match tag & 7:
            case 0:
                yield tag >> 3, varint()
            case 1:
                yield tag >> 3, data[:8]
                data = data[8:]
            case 2:
                length = varint()
                yield tag >> 3, data[:length]
                data = data[length:]


def test_the_request_is_what_the_specification_says() -> None:
    body = bytes(cramjam.snappy.decompress_raw(encode([sample(5, 1.5), sample(6, 2.5)])))
    [(number, series)] = wire_fields(body)
    assert number == 1
    assert isinstance(series, bytes)
    parts = list(wire_fields(series))
    labels = [dict(wire_fields(part)) for number, part in parts if number == 1 and isinstance(part, bytes)]
    samples = [dict(wire_fields(part)) for number, part in parts if number == 2 and isinstance(part, bytes)]
    assert labels == [{1: b"__name__", 2: b"m"}, {1: b"a", 2: b"x"}, {1: b"cluster", 2: b"c"}]
    assert samples == [{1: struct.pack("<d", 1.5), 2: 5}, {1: struct.pack("<d", 2.5), 2: 6}]


def test_samples_of_a_series_travel_together() -> None:
    body = bytes(cramjam.snappy.decompress_raw(encode([sample(1), sample(1, name="n"), sample(2)])))
    assert [number for number, _ in wire_fields(body)] == [1, 1]


class Stub(Client):
    """A client whose server decides by the samples it is sent."""

    def __init__(self, refuses: set[int], status: int = 400, text: str = "out of order sample", most: int = 99) -> None:
        super().__init__("http://127.0.0.1:1")
        self.refuses, self.status, self.text, self.most = refuses, status, text, most
        self.taken: list[int] = []

    def request(self, method: str, path: str, **rest: Any) -> StoreAnswer:
        assert rest["headers"] == HEADERS
        body = rest["body"]
        times = [
            int(dict(wire_fields(part))[2])  # type: ignore[arg-type]
            for _, series in wire_fields(bytes(cramjam.snappy.decompress_raw(body)))
            for number, part in wire_fields(series)  # type: ignore[arg-type]
            if number == 2
        ]
        if len(times) > self.most:
            return StoreAnswer(413, b"too large")
        if self.refuses & set(times):
            return StoreAnswer(self.status, self.text.encode())
        self.taken += times
        return StoreAnswer(204, b"")


def send(server: Stub, *times: int) -> list[Refusal]:
    return Backend(PROMETHEUS, server).send([sample(at) for at in times])


REFUSALS = [
    (400, "out of order sample"),
    (400, "out of bounds"),
    (400, "duplicate sample for timestamp"),
    (500, "too old sample"),
    (400, "received a sample whose timestamp is too old (err-mimir-sample-timestamp-too-old)"),
    (400, "the sample has been rejected because it is out of order (err-mimir-sample-out-of-order)"),
    (400, "another sample with the same timestamp (err-mimir-sample-duplicate-timestamp)"),
    (400, "the sample's timestamp is too far in the future (err-mimir-too-far-in-future)"),
    (400, "user=anonymous: timestamp too old: 1 metric: m"),
]


@pytest.mark.parametrize(("status", "text"), REFUSALS)
def test_of_a_refused_request_all_that_can_be_taken_is(status: int, text: str) -> None:
    server = Stub({2, 3, 7}, status, text)
    refused = send(server, *range(1, 11))
    assert [item.sample.at_ms for item in refused] == [2, 3, 7]
    assert server.taken == [1, 4, 5, 6, 8, 9, 10]
    assert refused[0].reason == text


def test_a_request_that_is_too_large_is_cut() -> None:
    server = Stub(set(), most=3)
    assert send(server, *range(1, 11)) == []
    assert server.taken == list(range(1, 11))


@pytest.mark.parametrize(
    ("status", "text", "trouble"),
    [
        (400, "snappy: corrupt input", FailureKind.REFUSES),
        (401, "no", FailureKind.REFUSES),
        (404, "404 page not found", FailureKind.REFUSES),
        (429, "slow down", FailureKind.BUSY),
        (500, "at least 1 live replicas required", FailureKind.BUSY),
        (503, "not ready", FailureKind.BUSY),
    ],
)
def test_other_answers_say_what_is_the_matter_with_the_store(status: int, text: str, trouble: FailureKind) -> None:
    with pytest.raises(StoreError) as caught:
        send(Stub({1}, status, text), 1, 2)
    assert caught.value.kind is trouble
    assert text in caught.value.evidence


@pytest.mark.parametrize(("header", "least"), [("7", 7.0), ("Fri, 31 Dec 2100 23:59:59 GMT", 1e6), ("soon", 0.0)])
def test_retry_after_is_honoured(header: str, least: float) -> None:
    assert StoreAnswer(429, b"", header).failure("x").retry_after_s >= least
