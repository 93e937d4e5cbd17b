"""Events for programs: one JSON object a line."""

from __future__ import annotations

import json
from typing import Any, TextIO

from contextcore_install.core.errors import InstallError
from contextcore_install.core.events import Event, Kind
from contextcore_install.core.text import ascii_json
from contextcore_install.ui.terminal import Sink

EVENT_SCHEMA = "contextcore-install/event/v1"
ERROR_SCHEMA = "contextcore-install/error/v1"


class JsonLines:
    """A projection that writes each event as it comes, but ticks: they pace the consoles. Its reader may go away."""

    def __init__(self, stream: TextIO) -> None:
        self._sink = Sink(stream)

    def handle(self, event: Event) -> None:
        if event.kind is not Kind.TICK:
            self._sink.write(one_line({"schema": EVENT_SCHEMA} | event.as_document() | {"schema": EVENT_SCHEMA}))


def error_document(error: InstallError) -> dict[str, Any]:
    """Return the error that ended a command before a run began, as one versioned object."""
    return {"schema": ERROR_SCHEMA, **error.as_document(), "exit_code": int(error.exit_code)}


def one_line(document: object) -> str:
    """Return a document as one line of JSON, in ASCII so that every encoding carries it."""
    try:
        return ascii_json(document, separators=(",", ":"), allow_nan=False) + "\n"
    except ValueError:  # JSON has no NaN and no infinity
        return one_line(json.loads(ascii_json(document), parse_constant=lambda _: None))
