"""Between the files and the server: what readers ask for, and a stream of what changed."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Any

from contextcore_install.core.errors import InstallError
from contextcore_install.core.redaction import Redaction
from contextcore_install.core.threads import start
from contextcore_install.runtime.app import App
from contextcore_install.runtime.page.source import Endpoints, PageSource
from contextcore_install.system.page_server import PageResponse
from contextcore_install.ui.page.document import as_json, policy, render

LOOK_EVERY_S = 0.2  # how often the files are looked at while somebody reads; nobody reading, nothing is looked at
ALIVE_EVERY_S = 10.0  # how often a silent stream says that it lives: so a reader that went away is noticed
ASK_EVERY_S = 5.0  # how often the endpoints are asked whether they answer, while somebody reads and no run is at work
OLDER_ROWS = 100  # how many runs are shown at once
_HTML, _JSON, _STREAM = "text/html; charset=utf-8", "application/json", "text/event-stream; charset=utf-8"


class PageFeed:
    """Answers what the page asks. Several threads may: the files are looked at by one of them at a time."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._lock = threading.Lock()
        self._source = PageSource(app, Redaction())
        self._endpoints = Endpoints(app)
        self._answer: Future[dict[str, Any] | None] | None = None
        self._asked_about: object = None  # of which run, and at which of its ends
        self._asked_at = self._looked_at = float("-inf")
        self._sections: dict[str, str] = {}
        self._ending = threading.Event()

    def end(self) -> None:
        """Let every stream send what it has not sent yet, and end."""
        self._ending.set()

    def warm(self) -> None:
        """Fold what there is before the first reader comes; that reader gets the error, if any."""
        with suppress(InstallError):
            self._look()

    def respond(self, path: str, query: Mapping[str, str]) -> PageResponse | None:
        """Answer a request; None if there is nothing at a path."""
        if path == "":
            return self._page()
        if path == "events":
            return PageResponse(self._stream(), _STREAM)
        if path == "runs":
            before = query.get("before", "")
            with self._lock:
                rows = self._source.history(OLDER_ROWS, int(before) if before.isdecimal() and len(before) < 10 else 0)
            return PageResponse(as_json(rows), _JSON)
        if path == "run":
            with self._lock:
                found = self._source.run(query.get("id", ""))
            return PageResponse(as_json(found), _JSON) if found else None
        return None

    def _page(self) -> PageResponse:
        try:
            looked = self._look(fresh=True)
        except InstallError as error:
            return PageResponse(f"{error.message}\n", status=503)
        sections = {name: json.loads(text) for name, text in looked.items()}
        document = {"now_us": self._app.clock.now_us(), "sections": sections}
        html = render(document, live=True, footer=f"{self._app.commands('dashboard')}: this page only reads.")
        return PageResponse(html, _HTML, headers={"Content-Security-Policy": f"{policy()}; frame-ancestors 'none'"})

    def _look(self, *, fresh: bool = False) -> dict[str, str]:
        """Return the sections, each as JSON, as they are now or were an instant ago."""
        with self._lock:
            if fresh or time.monotonic() - self._looked_at >= LOOK_EVERY_S:
                try:
                    self._source.look()
                    self._look_where()  # before what it withdraws is shown once more
                    self._sections = {name: as_json(part) for name, part in self._source.sections().items()}
                except InstallError:
                    if not self._sections:
                        raise
                self._looked_at = time.monotonic()
            return self._sections

    def _look_where(self) -> None:
        """Look at the endpoints when a run begins and ends, and every few seconds between at their readiness."""
        source, now = self._source, time.monotonic()
        about = (source.story.run_id, source.story.finished)
        anew = about != self._asked_about
        if self._answer and self._answer.done():
            answer, self._answer = self._answer, None
            source.where = answer.result()
        if anew and source.where:  # the run has ended since: what did not answer then may answer now
            source.where["endpoints"] = [{**item, "answers": None} for item in source.where["endpoints"]]
        if not self._answer and (anew or (now - self._asked_at >= ASK_EVERY_S and not source.live)):
            self._asked_about, self._asked_at = about, now
            self._answer = start(partial(self._endpoints.look, anew=anew), "page-where")

    def _stream(self) -> Iterator[str]:
        """Yield server-sent events (HTML, section 9.2): what changed since the one before."""
        sent: dict[str, str] = {}
        alive_at = time.monotonic() + ALIVE_EVERY_S
        yield "retry: 500\n\n"
        while True:
            last = self._ending.is_set()
            try:
                sections = self._look(fresh=last)
            except InstallError:
                sections = sent
            changed = {name: text for name, text in sections.items() if sent.get(name) != text}
            if changed:
                yield f"event: change\ndata: {self._change(changed)}\n\n"
            if time.monotonic() >= alive_at:
                alive_at = time.monotonic() + ALIVE_EVERY_S
                yield ": alive\n\n"
            sent = sections
            if last:
                yield "event: end\ndata:\n\n"
                return
            self._ending.wait(LOOK_EVERY_S)

    def _change(self, changed: Mapping[str, str]) -> str:
        parts = ",".join(f"{as_json(name)}:{text}" for name, text in changed.items())
        return f'{{"now_us":{self._app.clock.now_us()},"sections":{{{parts}}}}}'
