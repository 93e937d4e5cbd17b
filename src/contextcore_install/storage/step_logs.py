"""Each step's log of each run: what its commands printed, and the engine's events of it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from contextcore_install.core.errors import InstallError
from contextcore_install.core.events import Event, Kind, instant
from contextcore_install.storage.files import entries_of, prune

KEPT_RUNS = 20  # keep their logs

Data = Mapping[str, Any]


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


def _text(event: Event) -> str:
    if event.kind in _SENTENCES:
        return _SENTENCES[event.kind](event.data)
    plain, lines = dict(event.data), []
    for key, value in event.data.items():
        if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
            lines += [f"    {key}: {_fields(item)}" for item in value]
            del plain[key]
    return "\n".join([f"[{event.kind}] {_fields(plain)}".rstrip(), *lines])


def _fields(data: Data, prefix: str = "") -> str:
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


def _within(data: Data, name: str) -> Data:
    value = data.get(name)
    return value if isinstance(value, Mapping) else {}


def _took(data: Data, word: str) -> str:
    seconds = data.get("duration_seconds")
    return f" {word} {seconds} s" if seconds is not None else ""


def _found(data: Data) -> str:
    seen = f" ({data['evidence']})" if data.get("evidence") else ""
    remedy = _within(data, "remedy")
    do = remedy.get("command") or remedy.get("summary")
    return f"found: {data.get('message', '')}{seen}" + (f"\n    -> {do}" if do else "")


def _failed(data: Data) -> str:
    error = _within(data, "error")
    lines = [f"failed{_took(data, 'after')}: {error.get('message', '')}"]
    lines += [f"    {line}" for line in str(error.get("evidence", "")).splitlines()]
    return "\n".join([*lines, *([f"    -> {error['hint']}"] if error.get("hint") else [])])


def _completed(data: Data) -> str:
    state = "up to date" if data.get("already") else f"done{_took(data, 'in')}"
    return f"{state}: {data['summary']}" if data.get("summary") else state


def _part_ended(data: Data) -> str:
    how = f"failed{_took(data, 'after')}" if data.get("outcome") == "failed" else f"done{_took(data, 'in')}"
    return f"{data.get('part', '')}: {how}"


def _command_ended(data: Data) -> str:
    took = f", {data['duration_seconds']} s" if data.get("duration_seconds") is not None else ""
    return f"$ {data.get('command', '')}  (exit code {data.get('exit_code')}{took})"


_SENTENCES: Mapping[Kind, Callable[[Data], str]] = {
    Kind.OUTPUT: lambda data: f"| {data.get('line', '')}",
    Kind.ACTIVITY: lambda data: str(data.get("text", "")),
    Kind.NOTICE: lambda data: str(data.get("text", "")),
    Kind.STEP_CHECKING: lambda _: "checks what is there",
    Kind.STEP_STARTED: lambda data: "begins" if data.get("attempt") in (None, 1) else f"begins, try {data['attempt']}",
    Kind.STEP_COMPLETED: _completed,
    Kind.STEP_FAILED: _failed,
    Kind.STEP_RETRYING: lambda data: (
        f"tries again in {data.get('delay_seconds', 0)} s: {_within(data, 'error').get('message', '')}"
    ),
    Kind.STEP_INVALIDATED: lambda data: f"is to be done again: {data.get('reason', '')}",
    Kind.STEP_UNDO_STARTED: lambda _: "begins to be undone",
    Kind.STEP_UNDONE: lambda data: f"undone{_took(data, 'in')}",
    Kind.PART_STARTED: lambda data: f"{data.get('part', '')}: begins",
    Kind.PART_FINISHED: _part_ended,
    Kind.COMMAND_FINISHED: _command_ended,
    Kind.FINDING: _found,
}
"""A log's words for an event; other kinds are written field by field."""

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
