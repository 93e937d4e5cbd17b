"""What there is to know when something is wrong: our own records, logs and machine, and what the provider has.

It is collected side by side, each piece within its time, and whatever fails is only noted.
"""

from __future__ import annotations

import json
import os
import stat
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from contextcore_install.core.errors import CancelledError, InstallError
from contextcore_install.core.events import Event, second
from contextcore_install.core.interfaces import Clock, StepContext
from contextcore_install.core.provider import READ_BYTES, Collector, Piece, Provider
from contextcore_install.core.redaction import names_a_secret
from contextcore_install.core.threads import CancelToken
from contextcore_install.engine.context import Context
from contextcore_install.notify.contact_points import ENVIRONMENT, split_urls
from contextcore_install.runtime.app import App
from contextcore_install.runtime.notifier import without_contact_points
from contextcore_install.storage.contact_file import load_contact_points
from contextcore_install.storage.home import ClusterLayout
from contextcore_install.storage.journal.journal import JournalReader
from contextcore_install.storage.journal.segments import growing_start
from contextcore_install.storage.step_logs import runs_with_logs
from contextcore_install.system.files import tail
from contextcore_install.system.host_facts import PROXIES, host_facts

RECORDS = "records"
RUNS = 3  # of how many of the latest runs the logs are taken along
MOST_FILES = 1_000
_TO_END_S = 1.0  # seconds for cancelled work to end; then it is left behind
LEAST_SECRET = 8  # characters; what is shorter under the name of a secret, as in TOKEN=none, may be any word


def gather(
    evidence: Sequence[Collector], ctx: StepContext, clock: Clock, *, quick_s: float, slow_s: float
) -> list[Collected]:
    """Return what can be collected in time, in the order of the evidence; raises CancelledError.

    Everything gets `quick_s` seconds; what is slow begins then, and gets `slow_s`: it would be in the way of the rest.
    """
    works = [Collected(item, clock) for item in evidence]

    def give_up() -> None:
        for work in works:
            work.token.cancel("told to end")
            work.done.set()

    with ctx.on_cancel(give_up):
        for slow, limit_s in ((False, quick_s), (True, slow_s)):
            group = [work for work in works if work.evidence.slow is slow]
            for work in group:
                work.start(limit_s)
            for work in group:
                if not work.ends_within(0.0):
                    work.token.cancel(f"it took longer than {limit_s:g} s")
        for work in works:
            work.leave()
    ctx.raise_if_cancelled()
    return works


class Collected:
    """What comes of one piece of evidence; `trouble` says why it is not all. Nobody has to wait for its thread."""

    def __init__(self, evidence: Collector, clock: Clock) -> None:
        self.evidence, self.pieces, self.trouble = evidence, list[Piece](), ""
        self.token, self.done = CancelToken(), threading.Event()
        self._clock, self._deadline = clock, 0.0

    def start(self, limit_s: float) -> None:
        self._deadline = self._clock.monotonic() + limit_s
        if not self.token.cancelled:
            threading.Thread(target=self._collect, name=f"collect-{self.evidence.name}", daemon=True).start()

    def leave(self) -> None:
        """Be content with what there is, even of work that does not end when it is cancelled."""
        if not self.ends_within(_TO_END_S):
            self.pieces, self.trouble = list(self.pieces), self.trouble or self.token.reason

    def ends_within(self, more_s: float) -> bool:
        return self.done.wait(max(0.0, self._deadline + more_s - self._clock.monotonic()))

    def _collect(self) -> None:
        context = Context("", self.token, lambda *_: None, self._clock, self._deadline)
        try:
            self.pieces.extend(self.evidence.collect(context))
        except CancelledError as error:
            self.trouble = error.reason
        except InstallError as error:
            self.trouble = f"{error.message} {error.evidence}".strip()
        except Exception as error:  # noqa: BLE001 - whatever is wrong, the rest is still worth having
            self.trouble = f"{type(error).__name__}: {error}"
        finally:
            self.done.set()


def evidence_of(
    app: App,
    provider: Provider | None,
    findings: Callable[[StepContext], Iterable[Piece]],
    *,
    journal_bytes: int = READ_BYTES,
    runs: int = RUNS,
    slow: bool = True,
) -> list[Collector]:
    """Return what there is to collect, in the order in which it is to be read; what is `slow` unless that is false."""
    layout, provided = app.layout, provider.evidence() if provider else ()
    return [
        Collector("the findings", findings),
        Collector("the state", lambda _: _state(layout.state)),
        Collector("the journal", lambda _: _journal(layout.journal, journal_bytes)),
        Collector("the records", lambda _: _small_records(layout)),
        Collector("the logs", lambda _: _logs(layout.logs, runs)),
        *(item for item in provided if slow or not item.slow),
        Collector("the machine", lambda ctx: _machine(app, ctx)),
    ]


def _machine(app: App, ctx: StepContext) -> Iterator[Piece]:
    path = f"{app.environ.get('PATH', os.defpath)}{os.pathsep}{app.home.bin}"
    yield "machine.json", host_facts({**without_contact_points(app.environ), "PATH": path}, app.home.folder, ctx)


def known_secrets(app: App, provider: Provider | None) -> Iterator[str]:
    """Yield the secrets that are known to this invocation, to be hidden wherever they stand. Raises InstallError."""
    for name, value in app.environ.items():
        if names_a_secret(name) and len(value) >= LEAST_SECRET:
            yield value
        if name.lower() in PROXIES:
            yield from _password_in(value)
    urls = split_urls(app.environ.get(ENVIRONMENT, ""))
    with suppress(InstallError):
        urls += load_contact_points(app.home.contact_points).urls
    for url in urls:
        yield url
        yield from _password_in(url)
    if provider is not None:
        yield provider.data().password() or ""


def _password_in(url: str) -> Iterator[str]:
    try:
        yield urlsplit(url).password or ""
    except ValueError:
        return


def _state(path: Path) -> Iterator[Piece]:
    if not os.path.lexists(path):
        return
    text = _tail(path)
    try:
        yield f"{RECORDS}/{path.name}", json.loads(text)
    except (ValueError, RecursionError):
        yield f"{RECORDS}/{path.name}.unreadable.txt", text


def _journal(path: Path, limit: int) -> Iterator[Piece]:
    """Yield the journal's end as a list: within documents, quotes hide no secret."""
    if not os.path.lexists(path):
        return
    events: list[Any] = [event.as_document() for event in _before(path, limit)]
    for line in _tail(path, limit).splitlines():
        try:
            events.append(json.loads(line))
        except (ValueError, RecursionError):
            events.append(line)
    yield f"{RECORDS}/{path.name}", events


def _before(path: Path, limit: int) -> Iterator[Event]:
    """Yield what came before the file that grows, as far as there is room for it."""
    reader = JournalReader(path)
    growing = growing_start(path)
    for position, event in reader.read(min(growing, reader.near_end(limit))):
        if position >= growing:
            return
        yield event


def _small_records(layout: ClusterLayout) -> Iterator[Piece]:
    yield f"{RECORDS}/files.txt", _listing(layout.folder)
    for path in (layout.cursors, layout.lock):
        if path.exists():
            yield f"{RECORDS}/{path.name}", _tail(path)


def _listing(folder: Path) -> str:
    """Return what is in a folder: mode, size, time of change (UTC) and path, one a line."""
    walked, lines = os.walk(folder), []  # which passes over what is gone meanwhile, or closed to us
    paths = sorted(Path(place, name) for place, folders, names in walked for name in (*folders, *names))
    for path in paths[:MOST_FILES]:
        with suppress(OSError):
            facts = path.lstat()
            about = f"{stat.filemode(facts.st_mode)} {facts.st_size:>12} {second(facts.st_mtime_ns // 1000)}"
            lines.append(f"{about} {path.relative_to(folder)}\n")
    more = "and more\n" if len(paths) > MOST_FILES else ""
    return "".join(lines) + more or f"there is nothing in {folder}\n"


def _logs(folder: Path, runs: int) -> Iterator[Piece]:
    for run_id in runs_with_logs(folder)[::-1][:runs]:
        for path in sorted((folder / run_id).glob("*.log")):
            yield f"logs/{run_id}/{path.name}", _tail(path)


def _tail(path: Path, limit: int = READ_BYTES) -> str:
    try:
        return tail(path, limit)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise InstallError("unreadable", f"{path.name} cannot be read: {reason}.") from error
