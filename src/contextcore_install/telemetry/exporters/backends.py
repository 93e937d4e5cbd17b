"""A metrics store: which one answers, writing (https://prometheus.io/docs/specs/prw/remote_write_spec) and reading."""

from __future__ import annotations

import json
import re
import secrets
import struct
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from contextcore_install.core.dataclass import dataclass
from contextcore_install.core.schema import SchemaError, validate
from contextcore_install.stack.catalogue import MIMIR, PROMETHEUS, VICTORIA_METRICS, MetricsStore
from contextcore_install.telemetry.exporters.client import Client, StoreAnswer
from contextcore_install.telemetry.failures import FailureKind, StoreError
from contextcore_install.telemetry.folds.metrics import PREFIX, Sample, SeriesKey

Series = dict[SeriesKey, dict[int, float]]  # values by series and by time in milliseconds since 1970

_RESULT: Mapping[str, Any] = {"data": {"result": [{"metric": {}}]}}
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


@dataclass(frozen=True, slots=True)
class Backend:
    """A store that was found to take samples and answer queries. Its methods raise StoreError."""

    kind: MetricsStore
    client: Client

    def __str__(self) -> str:
        return f"{self.kind.title} at {self.client.base_url}"

    @property
    def query_path(self) -> str:
        return f"{self.kind.query_prefix}/api/v1/query"

    def send(self, samples: Sequence[Sample]) -> list[Refusal]:
        """Send samples and return those that the store will never take; all others it has then.

        A request with a sample that is refused is halved, oldest first, as some stores take nothing of such a request.
        """
        refused: list[Refusal] = []
        parts = [samples] if samples else []
        while parts:
            part = parts.pop()
            answer = self.write(part)
            never = answer.status in {400, 422, 500} and _NEVER.search(answer.text)
            if answer.ok:
                continue
            if not never and answer.status != 413:
                raise answer.failure(f"POST {self.client.base_url}{self.kind.write_path}")
            if len(part) > 1:
                middle = len(part) // 2
                parts += [part[middle:], part[:middle]]
            elif never:
                refused.append(Refusal(part[0], answer.text))
            else:
                raise StoreError(FailureKind.REFUSES, answer.text)
        return refused

    def write(self, samples: Sequence[Sample]) -> StoreAnswer:
        """Send one request; without samples, it changes nothing."""
        return self.client.request("POST", self.kind.write_path, body=encode(samples), headers=HEADERS)

    def query(self, expression: str, at_ms: int) -> list[dict[str, Any]]:
        fields = {"query": expression, "time": f"{at_ms // 1000}.{at_ms % 1000:03d}"}
        answer = self.client.request("GET", f"{self.query_path}?{urlencode(fields)}")
        what = f"query at {self.client.base_url}{self.query_path}"
        if answer.status != 200:
            raise answer.failure(what)
        try:
            return list(validate(answer.document(what, "query result"), _RESULT)["data"]["result"])
        except (SchemaError, KeyError) as error:
            raise answer.not_understood(what, "query result") from error

    def raw_samples(
        self, matchers: Mapping[str, str], start_ms: int, end_ms: int, *, bypass_cache: bool = False
    ) -> Series:
        """Return every sample that the store shows from `start_ms` to `end_ms`, both included.

        `matchers` are label values; without a `__name__` among them, all our metrics are meant. An instant query of a
        range selector gives samples as they are, where a range query would give one value a step.

        VictoriaMetrics caches for some ten seconds which series a selector selects, and shows none that has begun
        since (lib/mergeset/table.go: flushCallback is what makes it forget).
        """
        parts = [f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in matchers.items()]
        if "__name__" not in matchers:
            parts.insert(0, f'__name__=~"{PREFIX}.+"')
        if bypass_cache:
            parts.append(f'asked!="{secrets.token_hex(4)}"')  # true of every series, as none has this label
        # Whole seconds with one to spare, as stores differ: the start of a range is left out (Prometheus since 3.0,
        # VictoriaMetrics) or not, and VictoriaMetrics before the end of 2024 rounds some milliseconds off.
        end_s = -(-end_ms // 1000)
        expression = f"{{{','.join(parts)}}}[{end_s - start_ms // 1000 + 1}s]"
        found: Series = {}
        for item in self.query(expression, end_s * 1000):
            try:
                metric = {str(name): str(value) for name, value in item["metric"].items()}
                name = metric.pop("__name__", "")
                samples = [(round(float(at) * 1000), float(value)) for at, value in item["values"]]
            except (KeyError, TypeError, ValueError, OverflowError) as error:
                said = f"{self.client.base_url} shows what is no series of samples: {str(item)[:200]}"
                raise StoreError(FailureKind.REFUSES, said) from error
            if wanted := {at: value for at, value in samples if start_ms <= at <= end_ms}:
                found.setdefault((name, tuple(sorted(metric.items()))), {}).update(wanted)
        return found

    def show_recent(self) -> None:
        """Have VictoriaMetrics show what it has buffered; if it refuses, it does so after a second or two."""
        if self.kind is VICTORIA_METRICS:
            self.client.request("GET", "/internal/force_flush")


def probe(client: Client) -> Backend:
    """Find the store that answers, by what it says and a write without samples; raises StoreError if none is ready."""
    health = client.request("GET", "/-/healthy").text
    kind = next((kind for kind in (VICTORIA_METRICS, PROMETHEUS) if kind.title in health), MIMIR)
    backend = Backend(kind, client)
    answer = backend.write(())
    if kind is MIMIR:
        _recognise_mimir(backend, answer)
    elif answer.status == 404:
        hint = "start it with --web.enable-remote-write-receiver"
        raise StoreError(FailureKind.REFUSES, f"{backend}: {answer.text}", hint=hint)
    elif not answer.ok:
        raise answer.failure(str(backend))
    return backend


def _recognise_mimir(backend: Backend, answer: StoreAnswer) -> None:
    """Recognise what has no health page of its own by its write path and its query prefix; raises StoreError."""
    url = backend.client.base_url
    if answer.status == 429 or answer.status >= 500:
        raise answer.failure(url)
    try:
        # An answer other than 404 or 405 says that the path is there; the query says what is behind it.
        if answer.status not in {404, 405}:
            backend.query("vector(1)", 0)
            return
    except StoreError as error:
        if error.kind is not FailureKind.REFUSES:
            raise
    said = f"is neither Mimir, VictoriaMetrics nor Prometheus (HTTP {answer.status} {answer.text})"
    raise StoreError(FailureKind.REFUSES, f"what answers at {url} {said}", hint="something else may hold the port")


def encode(samples: Sequence[Sample]) -> bytes:
    """Return the body of a request: samples by series, in the order given, labels sorted by name.

    These are four small messages of protobuf (https://protobuf.dev/programming-guides/encoding), and one literal of
    snappy's block format (github.com/google/snappy, format_description.txt): a few lines, where importing libraries
    for them takes a tenth of a run with nothing to do.
    """
    by_series: dict[SeriesKey, bytearray] = {}
    for sample in samples:
        series = by_series.get(sample.series)
        if series is None:
            series = by_series[sample.series] = bytearray()
            # "__name__" sorts before every label name that we use, as "_" comes before the small letters.
            for pair in (("__name__", sample.name), *sample.labels):
                name, value = (text.encode(errors="replace") for text in pair)
                series += _message(1, _message(1, name) + _message(2, value))
        series += _message(2, b"\x09" + struct.pack("<d", sample.value) + b"\x10" + _varint(sample.at_ms))
    request = b"".join(_message(1, series) for series in by_series.values())
    literal = b"\xfc" + struct.pack("<I", len(request) - 1) + request if request else b""
    return _varint(len(request)) + literal


def _message(field: int, content: bytes | bytearray) -> bytes:
    return bytes((field << 3 | 2,)) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    number &= (1 << 64) - 1  # a negative one as its two's complement
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*found, number))
