"""Which store answers at a URL, how it is written to, and what it holds."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import urlencode

from contextcore_install.core.schema import SchemaError, validate
from contextcore_install.telemetry.exporters.client import Client, FailureKind, StoreError, Timeouts
from contextcore_install.telemetry.exporters.remote_write import write_probe
from contextcore_install.telemetry.folds.metrics import PREFIX, SeriesKey

Series = dict[SeriesKey, dict[int, float]]
"""Values by series and by time in milliseconds since 1970."""


class StoreKind(StrEnum):
    """The stores that we know how to speak to."""

    MIMIR = "mimir"
    VICTORIA_METRICS = "victoria-metrics"
    PROMETHEUS = "prometheus"


_RESULT: Mapping[str, Any] = {"data": {"result": [{"metric": {}}]}}


@dataclass(frozen=True, slots=True)
class Backend:
    """A store that was found to take samples and answer queries."""

    kind: StoreKind
    base_url: str
    write_path: str
    query_prefix: str = ""

    def __str__(self) -> str:
        names = {"mimir": "Mimir", "victoria-metrics": "VictoriaMetrics", "prometheus": "Prometheus"}
        return f"{names[self.kind]} at {self.base_url}"


def probe(client: Client, patience: Timeouts) -> Backend:
    """Find out which store answers, by what it says and by a write without samples.

    Raises StoreError: when nothing answers, when it is not ready, or when it takes no remote write.
    """
    health = client.request("GET", "/-/healthy", patience).text
    if "VictoriaMetrics" in health:
        backend = Backend(StoreKind.VICTORIA_METRICS, client.base_url, "/api/v1/write")
    elif "Prometheus" in health:
        backend = Backend(StoreKind.PROMETHEUS, client.base_url, "/api/v1/write")
    else:
        return _probe_mimir(client, patience)
    answer = write_probe(client, backend.write_path, patience)
    if answer.status == 404:
        raise StoreError(
            FailureKind.REFUSES, f"{backend}: {answer.text}", hint="start it with --web.enable-remote-write-receiver"
        )
    if not answer.ok:
        raise answer.failure(str(backend))
    return backend


def _probe_mimir(client: Client, patience: Timeouts) -> Backend:
    """Tell Mimir, which has no health page of its own, by its write path and its query prefix."""
    backend = Backend(StoreKind.MIMIR, client.base_url, "/api/v1/push", "/prometheus")
    answer = write_probe(client, backend.write_path, patience)
    if answer.status == 429 or answer.status >= 500:
        raise answer.failure(client.base_url)
    try:
        # An answer other than 404 or 405 says that the path is there; the query says what is behind it.
        if answer.status not in {404, 405}:
            query(client, backend, "vector(1)", 0, patience)
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


def query(client: Client, backend: Backend, expression: str, at_ms: int, patience: Timeouts) -> list[dict[str, Any]]:
    """Return the result of an instant query, as the API gives it; raises StoreError."""
    fields = {"query": expression, "time": f"{at_ms // 1000}.{at_ms % 1000:03d}"}
    path = f"{backend.query_prefix}/api/v1/query"
    answer = client.request("GET", f"{path}?{urlencode(fields)}", patience)
    what = f"query at {client.base_url}{path}"
    if answer.status != 200:
        raise answer.failure(what)
    try:
        return list(validate(answer.document(what, "query result"), _RESULT)["data"]["result"])
    except (SchemaError, KeyError) as error:
        raise answer.not_understood(what, "query result") from error


def raw_samples(
    client: Client,
    backend: Backend,
    matchers: Mapping[str, str],
    start_ms: int,
    end_ms: int,
    patience: Timeouts,
    *,
    anew: bool = False,
) -> Series:
    """Return every sample that the store shows from `start_ms` to `end_ms`, both included.

    With `anew` no cache of the store answers: VictoriaMetrics remembers for some ten seconds which series a selector
    selects, and shows none that has begun since (lib/mergeset/table.go: flushCallback is what makes it forget).

    `matchers` are label values; without a `__name__` among them, all our metrics are meant. An instant query of a
    range selector gives samples as they are, where a range query would give one value a step.
    """
    parts = [f"{name}={_quoted(value)}" for name, value in matchers.items()]
    if "__name__" not in matchers:
        parts.insert(0, f'__name__=~"{PREFIX}.+"')
    if anew:
        parts.append(f'asked!="{secrets.token_hex(4)}"')  # true of every series, as none has this label
    # Whole seconds with one to spare, as stores differ: the start of a range is left out (Prometheus since 3.0,
    # VictoriaMetrics) or not, and VictoriaMetrics before the end of 2024 rounds some milliseconds off.
    end_s = -(-end_ms // 1000)
    expression = f"{{{','.join(parts)}}}[{end_s - start_ms // 1000 + 1}s]"
    found: Series = {}
    for item in query(client, backend, expression, end_s * 1000, patience):
        try:
            metric = {str(name): str(value) for name, value in item["metric"].items()}
            name = metric.pop("__name__", "")
            samples = [(round(float(at) * 1000), float(value)) for at, value in item["values"]]
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            said = f"{client.base_url} shows what is no series of samples: {str(item)[:200]}"
            raise StoreError(FailureKind.REFUSES, said) from error
        if wanted := {at: value for at, value in samples if start_ms <= at <= end_ms}:
            found.setdefault((name, tuple(sorted(metric.items()))), {}).update(wanted)
    return found


def show_recent(client: Client, backend: Backend, patience: Timeouts) -> None:
    """Have what was just written show up in queries, where the store would take a second or two for it.

    VictoriaMetrics buffers what it takes in; its `/internal/force_flush` makes it visible at once. Where that
    is protected or gone, waiting does it.
    """
    if backend.kind is StoreKind.VICTORIA_METRICS:
        client.request("GET", "/internal/force_flush", patience)


def _quoted(value: str) -> str:
    """Return a value as a PromQL string."""
    return json.dumps(value, ensure_ascii=False)
