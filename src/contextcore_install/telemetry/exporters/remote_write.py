"""Prometheus remote write 1.0: protobuf in snappy's block format, and what the answers mean.

Format and headers: https://prometheus.io/docs/specs/prw/remote_write_spec/
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from contextcore_install.telemetry.exporters.client import Client, StoreAnswer
from contextcore_install.telemetry.failures import FailureKind, StoreError, Timeouts
from contextcore_install.telemetry.folds.metrics import Sample, SeriesKey

HEADERS = {
    "Content-Encoding": "snappy",
    "Content-Type": "application/x-protobuf",
    "User-Agent": "contextcore-install",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
}

# What stores say of a sample that they will never take. Prometheus: storage/interface.go (2.42 answers 500 to "too
# old sample", all later ones 400); Mimir: its "err-mimir-..." ids; Cortex: pkg/util/validation. VictoriaMetrics
# refuses no sample for its age: what is older than its retention it drops without a word.
_NEVER = re.compile(
    r"out[ -]of[ -]order|out of bounds|too[ -]old|duplicate[ -](sample|timestamp)|too[ -]far[ -]in[ -](the[ -])?future"
    r"|err-mimir-(label|max-label|sample|metric-name)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A sample that the store will not take, and its words for it."""

    sample: Sample
    reason: str


def send(client: Client, path: str, samples: Sequence[Sample], timeouts: Timeouts) -> list[Refusal]:
    """Send samples and return those that the store will never take; all others it has then. Raises StoreError.

    A request with a sample that is refused is halved, oldest first, as some stores take nothing of such a request.
    """
    refused: list[Refusal] = []
    parts = [samples] if samples else []
    while parts:
        part = parts.pop()
        answer = post(client, path, part, timeouts)
        never = answer.status in {400, 422, 500} and _NEVER.search(answer.text)
        if answer.ok:
            continue
        if not never and answer.status != 413:
            raise answer.failure(f"POST {client.base_url}{path}")
        if len(part) > 1:
            middle = len(part) // 2
            parts += [part[middle:], part[:middle]]
        elif never:
            refused.append(Refusal(part[0], answer.text))
        else:
            raise StoreError(FailureKind.REFUSES, answer.text)
    return refused


def post(client: Client, path: str, samples: Sequence[Sample], timeouts: Timeouts) -> StoreAnswer:
    """Send one request; without samples, it changes nothing."""
    return client.request("POST", path, timeouts, body=encode(samples), headers=HEADERS)


def encode(samples: Sequence[Sample]) -> bytes:
    """Return the body of a request: samples by series, in the order given, labels sorted by name."""
    from cramjam import snappy

    request = _write_request()()
    by_series: dict[SeriesKey, Any] = {}
    for sample in samples:
        series = by_series.get(sample.series)
        if series is None:
            series = by_series[sample.series] = request.timeseries.add()
            # "__name__" sorts before every label name that we use, as "_" comes before the small letters.
            for name, value in (("__name__", sample.name), *sample.labels):
                series.labels.add(name=name, value=value)
        series.samples.add(value=sample.value, timestamp=sample.at_ms)
    return bytes(snappy.compress_raw(request.SerializeToString()))


@cache
def _write_request() -> Any:
    """Return the class of WriteRequest, made from its descriptor, which works with all versions of protobuf.

    Code that protoc generates runs only with its own major version or the next. A pool of its own keeps clear of other
    definitions of the same names in the process.
    """
    from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Field
    from google.protobuf.descriptor_pb2 import FileDescriptorProto
    from google.protobuf.descriptor_pool import DescriptorPool
    from google.protobuf.message_factory import GetMessageClass

    one, many = Field.LABEL_OPTIONAL, Field.LABEL_REPEATED
    messages = {
        "Label": [("name", one, Field.TYPE_STRING, ""), ("value", one, Field.TYPE_STRING, "")],
        "Sample": [("value", one, Field.TYPE_DOUBLE, ""), ("timestamp", one, Field.TYPE_INT64, "")],
        "TimeSeries": [
            ("labels", many, Field.TYPE_MESSAGE, ".prometheus.Label"),
            ("samples", many, Field.TYPE_MESSAGE, ".prometheus.Sample"),
        ],
        "WriteRequest": [("timeseries", many, Field.TYPE_MESSAGE, ".prometheus.TimeSeries")],
    }
    file = FileDescriptorProto(name="remote.proto", package="prometheus", syntax="proto3")
    for message_name, fields in messages.items():
        message = file.message_type.add(name=message_name)
        for number, (name, label, kind, type_name) in enumerate(fields, 1):
            message.field.add(name=name, number=number, label=label, type=kind, type_name=type_name or None)
    pool = DescriptorPool()
    pool.Add(file)
    return GetMessageClass(pool.FindMessageTypeByName("prometheus.WriteRequest"))
