"""Each step's log of each run: what its commands printed, and what the engine said of it."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from contextcore_install.core.errors import InstallError
from contextcore_install.core.events import Event, Kind, instant
from contextcore_install.storage.files import unusable

KEPT_RUNS = 20
"""How many runs keep their logs."""

_SILENT = frozenset({Kind.TICK, Kind.HEARTBEAT})


class StepLogs:
    """Writes logs/<run_id>/<step>.log. A log that cannot be written is given up, not the run."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, TextIOWrapper] = {}
        self._broken = False

    def handle(self, event: Event) -> None:
        """Write what concerns a step into its log."""
        if not event.step or event.kind in _SILENT or self._broken:
            return
        try:
            self._file(event).write(f"{instant(event.at_us)} {_text(event)}\n")
        except (OSError, ValueError):
            self._broken = True

    def close(self) -> None:
        """Close the logs of this run."""
        for file in self._files.values():
            try:
                file.close()
            except OSError:
                self._broken = True
        self._files.clear()

    def _file(self, event: Event) -> TextIOWrapper:
        if event.step not in self._files:
            path = self._folder / event.run_id / f"{event.step}.log"
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            descriptor = os.open(path, flags, 0o600)
            self._files[event.step] = os.fdopen(
                descriptor, "w", encoding="utf-8", errors="backslashreplace", buffering=1
            )
        return self._files[event.step]


def _text(event: Event) -> str:
    if event.kind is Kind.OUTPUT:
        return f"| {event.data.get('line', '')}"
    if event.kind in (Kind.ACTIVITY, Kind.NOTICE):
        return str(event.data.get("text", ""))
    if event.kind in _SENTENCES:
        return _SENTENCES[event.kind](event.data)
    plain = {key: value for key, value in event.data.items() if not _is_list_of_objects(value)}
    lines = [f"[{event.kind}] {_words(plain)}".rstrip()]
    for key, value in event.data.items():
        if key not in plain:
            lines += [f"    {key}: {_words(item)}" for item in value]
    return "\n".join(lines)


def _begun(data: Mapping[str, Any]) -> str:
    return "begins" if data.get("attempt") in (None, 1) else f"begins, try {data['attempt']}"


def _found(data: Mapping[str, Any]) -> str:
    seen = f" ({data['evidence']})" if data.get("evidence") else ""
    remedy = data.get("remedy")
    do = (remedy.get("command") or remedy.get("summary")) if isinstance(remedy, Mapping) else ""
    return f"found: {data.get('message', '')}{seen}" + (f"\n    -> {do}" if do else "")


def _failed(data: Mapping[str, Any]) -> str:
    error = data.get("error")
    told: Mapping[str, Any] = error if isinstance(error, Mapping) else {}
    lines = [f"failed{_took(data, 'after')}: {told.get('message', '')}"]
    lines += [f"    {line}" for line in str(told.get("evidence", "")).splitlines()]
    return "\n".join([*lines, *([f"    -> {told['hint']}"] if told.get("hint") else [])])


def _completed(data: Mapping[str, Any]) -> str:
    state = "was done before" if data.get("already") else f"done{_took(data, 'in')}"
    return f"{state}: {data['summary']}" if data.get("summary") else state


def _retried(data: Mapping[str, Any]) -> str:
    error = data.get("error")
    reason = error.get("message", "") if isinstance(error, Mapping) else ""
    return f"tries again in {data.get('delay_seconds', 0)} s: {reason}"


def _part_ended(data: Mapping[str, Any]) -> str:
    how = "failed" if data.get("outcome") == "failed" else "done"
    return f"{data.get('part', '')}: {how}{_took(data, 'after' if how == 'failed' else 'in')}"


def _command_ended(data: Mapping[str, Any]) -> str:
    took = f", {data['duration_seconds']} s" if data.get("duration_seconds") is not None else ""
    return f"$ {data.get('command', '')}  (exit code {data.get('exit_code')}{took})"


def _took(data: Mapping[str, Any], word: str) -> str:
    seconds = data.get("duration_seconds")
    return f" {word} {seconds} s" if seconds is not None else ""


_SENTENCES: Mapping[Kind, Callable[[Mapping[str, Any]], str]] = {
    Kind.STEP_CHECKING: lambda _: "checks what is there",
    Kind.STEP_STARTED: _begun,
    Kind.STEP_COMPLETED: _completed,
    Kind.STEP_FAILED: _failed,
    Kind.STEP_RETRYING: _retried,
    Kind.STEP_INVALIDATED: lambda data: f"is to be done again: {data.get('reason', '')}",
    Kind.STEP_UNDO_STARTED: lambda _: "begins to be undone",
    Kind.STEP_UNDONE: lambda data: f"undone{_took(data, 'in')}",
    Kind.PART_STARTED: lambda data: f"{data.get('part', '')}: begins",
    Kind.PART_FINISHED: _part_ended,
    Kind.COMMAND_FINISHED: _command_ended,
    Kind.FINDING: _found,
}
"""What a log says of an event; what has no sentence here is written field by field."""

_DID_SOMETHING = re.compile(r"^\S+ (?:begins\b|failed\b|\[step_started\]|\[step_failed\])")
"""A line of a step that had something to do; the last two as earlier versions wrote them."""


def did_something(folder: Path, run_id: str, step: str) -> bool:
    """Whether a step had something to do in a run, by its log."""
    return any(_DID_SOMETHING.match(line) for line in read_log(folder, run_id, step))


def _is_list_of_objects(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def _words(data: Mapping[str, Any], prefix: str = "") -> str:
    """Return fields as `name=value`, those of an object within as `name.field=value`; what is empty says nothing."""
    told = []
    for key, value in data.items():
        if isinstance(value, dict):
            told.append(_words(value, f"{prefix}{key}."))
        elif isinstance(value, list):
            told.append(f"{prefix}{key}={', '.join(map(str, value))}")
        elif value not in ("", None):
            told.append(f"{prefix}{key}={value}")
    return " ".join(filter(None, told))


def runs_with_logs(folder: Path) -> list[str]:
    """Return the runs that have logs, the latest last: run ids sort by time. Raises InstallError."""
    try:
        return sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.is_symlink())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise unusable(folder, error) from error


def prune_logs(folder: Path, keep: int = KEPT_RUNS) -> None:
    """Remove the logs of all but the latest runs, where the system lets us."""
    with suppress(InstallError):
        for run in runs_with_logs(folder)[:-keep]:
            shutil.rmtree(folder / run, ignore_errors=True)


def has_log(folder: Path, run_id: str, step: str) -> bool:
    """Whether a run left a log of a step."""
    path = folder / run_id / f"{step}.log"
    return path.is_file() and not path.is_symlink()


def read_log(folder: Path, run_id: str, step: str) -> Iterator[str]:
    """Yield the lines of a step's log; nothing where there is none."""
    if has_log(folder, run_id, step):
        with (folder / run_id / f"{step}.log").open(encoding="utf-8", errors="replace") as file:
            for line in file:
                yield line.rstrip("\n")
