"""Events as lines for a log store: a fold that keeps nothing, as every event is one line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from contextcore_install.core.dataclass import dataclass
from contextcore_install.core.events import Event, Kind
from contextcore_install.core.redaction import without_secrets

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


class LogFold:
    """Makes lines of events. What is secret is hidden once more: old journals hold what no longer gets in."""

    def __init__(self, cluster: str) -> None:
        pass

    def take(self, event: Event) -> list[Line]:
        document = without_secrets(event.as_document())
        text = _encode(document)
        if len(text) > LONGEST:
            kept = {name: document[name] for name in ("number", "at", "run_id", "kind", "step") if name in document}
            text = _encode({**kept, "cut": True})
        return [Line(event.at_us, _level(event), text)]

    def snapshot(self) -> dict[str, Any]:
        return {}

    @classmethod
    def restore(cls, cluster: str, snapshot: Mapping[str, Any]) -> LogFold:  # noqa: ARG003 - there is nothing in it
        return cls(cluster)


def _level(event: Event) -> str:
    if event.kind in _ERRORS:
        return "error"
    if event.kind is Kind.RUN_FINISHED:
        return {"failed": "error", "interrupted": "warn"}.get(str(event.data.get("outcome")), "info")
    if event.kind in _WARNINGS or event.data.get("exit_code") or event.data.get("outcome") == "failed":
        return "warn"
    return "debug" if event.kind is Kind.HEARTBEAT else "info"
