"""Events as lines, and these into Loki (https://grafana.com/docs/loki/latest/reference/loki-http-api/#ingest-logs)."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from contextcore_install.core.dataclass import dataclass
from contextcore_install.core.events import Event, Kind, microseconds
from contextcore_install.core.redaction import without_secrets
from contextcore_install.core.text import IN_FILES
from contextcore_install.telemetry.cursors import LOGS
from contextcore_install.telemetry.exporters.exporter import JSON_HEADERS, SERVICE, Exporter
from contextcore_install.telemetry.failures import Loss
from contextcore_install.telemetry.folds.fold import Fold

PATH = "/loki/api/v1/push"

# What Loki says of lines that it will never take; it takes the others of the same request (pkg/distributor,
# pkg/ingester: each entry is validated by itself). The messages are in pkg/validation/validate.go and
# pkg/ingester/stream.go: "entry for stream '...' has timestamp too old: ..., oldest acceptable timestamp is: ...",
# "... has timestamp too new: ...", "entry too far behind", "total ignored: 2 out of 7".
_NEVER = re.compile(r"timestamp too (old|new)|too far behind|out of order|Max entry size|total ignored", re.IGNORECASE)
_IGNORED = re.compile(r"total ignored: (\d+) out of \d+")
_OLDEST = re.compile(r"oldest acceptable timestamp is: (\S+?Z)")

LONGEST = 64 * 1024
"""Characters of a line; what is longer (an imported state, say) goes without its details."""

_ERRORS = frozenset({Kind.STEP_FAILED, Kind.WATCH_GAVE_UP})
_WARNINGS = frozenset({Kind.STEP_RETRYING, Kind.STEP_INVALIDATED, Kind.FINDING, Kind.WATCH_REMEDIED})
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=str).encode


@dataclass(frozen=True, slots=True)
class Line:
    """One line: UTC in microseconds since 1970, how serious it is, and an event's document as JSON."""

    at_us: int
    level: str
    text: str


class LogFold(Fold[Line]):
    """Makes each event a line. What is secret is hidden once more: old journals hold what no longer gets in."""

    def take(self, event: Event) -> list[Line]:
        document = without_secrets(event.as_document())
        text = _encode(document)
        if len(text) > LONGEST:
            kept = {name: document[name] for name in ("number", "at", "run_id", "kind", "step") if name in document}
            text = _encode({**kept, "cut": True})
        return [Line(event.at_us, _level(event), text)]


def _level(event: Event) -> str:
    if event.kind in _ERRORS:
        return "error"
    if event.kind is Kind.RUN_FINISHED:
        return {"failed": "error", "interrupted": "warn"}.get(str(event.data.get("outcome")), "info")
    if event.kind in _WARNINGS or event.data.get("exit_code") or event.data.get("outcome") == "failed":
        return "warn"
    return "debug" if event.kind is Kind.HEARTBEAT else "info"


class LogExporter(Exporter[Line]):
    """Sends lines to Loki, which keeps one of several lines that have the same labels, time and text."""

    fold = LogFold
    cursor_prefix = LOGS
    batch_size = 500_000  # characters: far below the 4 MB a second that Loki takes by default

    def _weight(self, item: Line) -> int:
        return len(item.text)

    def _send(self, items: Sequence[Line]) -> tuple[int, Loss | None]:
        answer = self.client.request("POST", PATH, body=encode(self._cluster, items), headers=JSON_HEADERS)
        if answer.ok:
            return len(items), None
        said = answer.body.decode("utf-8", "replace")
        if answer.status == 400 and _NEVER.search(said):
            count = ignored(said, items)
            return len(items) - count, Loss(count, f"saying: {answer.text}")
        raise answer.failure(f"POST {self.client.base_url}{PATH}")


def encode(cluster: str, lines: Sequence[Line]) -> bytes:
    """Return the body of a request: a stream for each level, times in nanoseconds as text."""
    streams: dict[str, list[list[str]]] = {}
    for line in lines:
        streams.setdefault(line.level, []).append([str(line.at_us * 1000), line.text])
    documents = [
        {"stream": {"service_name": SERVICE, "cluster": cluster, "level": level}, "values": values}
        for level, values in streams.items()
    ]
    return json.dumps({"streams": documents}, ensure_ascii=False).encode("utf-8", IN_FILES)


def ignored(said: str, lines: Sequence[Line]) -> int:
    """Return how many of the lines a refusal is about, as far as it says; one at least."""
    if counts := _IGNORED.findall(said):
        return max(1, sum(map(int, counts)))
    if oldest := _OLDEST.search(said):
        limit_us = microseconds(oldest[1])
        return max(1, sum(line.at_us < limit_us for line in lines))
    return 1
