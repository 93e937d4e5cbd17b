"""Which metrics store answers at a URL, and what it holds."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from contextcore_install.core.schema import SchemaError, validate
from contextcore_install.stack.catalogue import MIMIR, PROMETHEUS, VICTORIA_METRICS, MetricsStore
from contextcore_install.telemetry.exporters.client import Client
from contextcore_install.telemetry.exporters.remote_write import Refusal, post, send
from contextcore_install.telemetry.failures import FailureKind, StoreError, Timeouts
from contextcore_install.telemetry.folds.metrics import PREFIX, Sample, SeriesKey

Series = dict[SeriesKey, dict[int, float]]
"""Values by series and by time in milliseconds since 1970."""


_RESULT: Mapping[str, Any] = {"data": {"result": [{"metric": {}}]}}


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

    def send(self, samples: Sequence[Sample], timeouts: Timeouts) -> list[Refusal]:
        return send(self.client, self.kind.write_path, samples, timeouts)

    def query(self, expression: str, at_ms: int, timeouts: Timeouts) -> list[dict[str, Any]]:
        """Return the result of an instant query."""
        fields = {"query": expression, "time": f"{at_ms // 1000}.{at_ms % 1000:03d}"}
        answer = self.client.request("GET", f"{self.query_path}?{urlencode(fields)}", timeouts)
        what = f"query at {self.client.base_url}{self.query_path}"
        if answer.status != 200:
            raise answer.failure(what)
        try:
            return list(validate(answer.document(what, "query result"), _RESULT)["data"]["result"])
        except (SchemaError, KeyError) as error:
            raise answer.not_understood(what, "query result") from error

    def raw_samples(
        self, matchers: Mapping[str, str], start_ms: int, end_ms: int, timeouts: Timeouts, *, bypass_cache: bool = False
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
        for item in self.query(expression, end_s * 1000, timeouts):
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

    def show_recent(self, timeouts: Timeouts) -> None:
        """Have VictoriaMetrics show what it has buffered; if it refuses, it does so after a second or two."""
        if self.kind is VICTORIA_METRICS:
            self.client.request("GET", "/internal/force_flush", timeouts)


def probe(client: Client, timeouts: Timeouts) -> Backend:
    """Find out which store answers, by what it says and by a write without samples.

    Raises StoreError: when nothing answers, when it is not ready, or when it takes no remote write.
    """
    health = client.request("GET", "/-/healthy", timeouts).text
    for kind in (VICTORIA_METRICS, PROMETHEUS):
        if kind.title not in health:
            continue
        backend = Backend(kind, client)
        answer = post(client, backend.kind.write_path, (), timeouts)
        if answer.status == 404:
            hint = "start it with --web.enable-remote-write-receiver"
            raise StoreError(FailureKind.REFUSES, f"{backend}: {answer.text}", hint=hint)
        if not answer.ok:
            raise answer.failure(str(backend))
        return backend
    return _probe_mimir(client, timeouts)


def _probe_mimir(client: Client, timeouts: Timeouts) -> Backend:
    """Recognise Mimir, which has no health page of its own, by its write path and its query prefix."""
    backend = Backend(MIMIR, client)
    answer = post(client, backend.kind.write_path, (), timeouts)
    if answer.status == 429 or answer.status >= 500:
        raise answer.failure(client.base_url)
    try:
        # An answer other than 404 or 405 says that the path is there; the query says what is behind it.
        if answer.status not in {404, 405}:
            backend.query("vector(1)", 0, timeouts)
            return backend
    except StoreError as error:
        if error.kind is not FailureKind.REFUSES:
            raise
    raise StoreError(
        FailureKind.REFUSES,
        f"what answers at {client.base_url} is neither Mimir, VictoriaMetrics nor Prometheus"
        f" (HTTP {answer.status} {answer.text})",
        hint="something else may hold the port",
    )
