"""Each step's log of each run: what its commands printed, and the engine's events of it."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from contextcore_install.core.errors import InstallError
from contextcore_install.core.events import Event, Kind, instant
from contextcore_install.storage.files import entries_of, prune

KEPT_RUNS = 20  # keep their logs


class StepLogs:
    """Writes logs/<run_id>/<step>.log. A log that cannot be written is given up, not the run."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, TextIOWrapper] = {}
        self._broken = False

    def handle(self, event: Event) -> None:
        if not event.step or self._broken:
            return
        try:
            self._file(event).write(f"{instant(event.at_us)} {_text(event)}\n")
        except (OSError, ValueError):
            self._broken = True

    def close(self) -> None:
        for file in self._files.values():
            with suppress(OSError):
                file.close()
        self._files.clear()

    def _file(self, event: Event) -> TextIOWrapper:
        if event.step not in self._files:
            path = self._folder / event.run_id / f"{event.step}.log"
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            file = os.fdopen(os.open(path, flags, 0o600), "w", encoding="utf-8", errors="backslashreplace", buffering=1)
            self._files[event.step] = file
        return self._files[event.step]


_SENTENCES = {
    Kind.OUTPUT: "| {line}",
    Kind.ACTIVITY: "{text}",
    Kind.NOTICE: "{text}",
    Kind.STEP_CHECKING: "checks what is there",
    Kind.STEP_STARTED: "begins{again}",
    Kind.STEP_COMPLETED: "{done}{details}",
    Kind.STEP_FAILED: "failed{after}: {message}{evidence_below}{advice}",
    Kind.STEP_RETRYING: "tries again in {delay_seconds} s: {message}",
    Kind.STEP_INVALIDATED: "is to be done again: {reason}",
    Kind.STEP_UNDO_STARTED: "begins to be undone",
    Kind.STEP_UNDONE: "undone{within}",
    Kind.PART_STARTED: "{part}: begins",
    Kind.PART_FINISHED: "{part}: {done}",
    Kind.COMMAND_FINISHED: "$ {command}  (exit code {exit_code}{took})",
    Kind.FINDING: "found: {message}{evidence_beside}{advice}",
}
"""A log's words for an event, from its fields and `_phrases`; other kinds are written field by field."""


def _text(event: Event) -> str:
    if event.kind in _SENTENCES:
        return _SENTENCES[event.kind].format_map(defaultdict(str, event.data) | _phrases(event.data))
    plain, lines = dict(event.data), []
    for key, value in event.data.items():
        if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
            lines += [f"    {key}: {_fields(item)}" for item in value]
            del plain[key]
    return "\n".join([f"[{event.kind}] {_fields(plain)}".rstrip(), *lines])


def _phrases(data: Mapping[str, Any]) -> dict[str, str]:
    """Return the parts of sentences that an event has or not, each with what stands before it."""
    error, remedy, seconds = data.get("error") or {}, data.get("remedy") or {}, data.get("duration_seconds")
    message, evidence = (str((error or data).get(name) or "") for name in ("message", "evidence"))
    after, within, took = (f"{word} {seconds} s" if seconds is not None else "" for word in (" after", " in", ","))
    advice = error.get("hint") or remedy.get("command") or remedy.get("summary")
    ended = f"failed{after}" if data.get("outcome") == "failed" else f"done{within}"
    return {
        "message": message,
        "evidence_below": "".join(f"\n    {line}" for line in evidence.splitlines()),
        "evidence_beside": f" ({evidence})" if evidence else "",
        "advice": f"\n    -> {advice}" if advice else "",
        "done": "up to date" if data.get("already") else ended,
        "after": after,
        "within": within,
        "took": took,
        "details": f": {data['summary']}" if data.get("summary") else "",
        "again": f", try {data['attempt']}" if data.get("attempt") not in (None, 1) else "",
    }


def _fields(data: Mapping[str, Any], prefix: str = "") -> str:
    """Return fields as `name=value`, those of an object within as `name.field=value`, without empty ones."""
    fields = []
    for key, value in data.items():
        if isinstance(value, dict):
            fields.append(_fields(value, f"{prefix}{key}."))
        elif isinstance(value, list):
            fields.append(f"{prefix}{key}={', '.join(map(str, value))}")
        elif value not in ("", None):
            fields.append(f"{prefix}{key}={value}")
    return " ".join(filter(None, fields))


_DID_SOMETHING = re.compile(r"^\S+ (?:begins\b|failed\b|\[step_started\]|\[step_failed\])")
"""A line of a step that had something to do; the last two as earlier versions wrote them."""


def did_something(folder: Path, run_id: str, step: str) -> bool:
    return any(_DID_SOMETHING.match(line) for line in read_log(folder, run_id, step))


def runs_with_logs(folder: Path) -> list[str]:
    """Return the runs that have logs, the latest last: run ids sort by time. Raises InstallError."""
    return sorted(entry.name for entry in entries_of(folder) if entry.is_dir(follow_symlinks=False))


def prune_logs(folder: Path, keep: int = KEPT_RUNS) -> None:
    with suppress(InstallError):
        prune((folder / run for run in runs_with_logs(folder)), keep)


def has_log(folder: Path, run_id: str, step: str) -> bool:
    path = folder / run_id / f"{step}.log"
    return path.is_file() and not path.is_symlink()


def read_log(folder: Path, run_id: str, step: str) -> Iterator[str]:
    """Yield the lines of a step's log, if there is one."""
    if has_log(folder, run_id, step):
        with (folder / run_id / f"{step}.log").open(encoding="utf-8", errors="replace") as file:
            for line in file:
                yield line.rstrip("\n")
