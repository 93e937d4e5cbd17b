"""Installations as files, for the tests of the page: journals that tell a story, and a browser to look with."""

from __future__ import annotations

import io
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from contextcore_install.cli.settings import parse
from contextcore_install.core.dataclass import dataclass, field
from contextcore_install.core.events import Event, JournalOffset, Kind
from contextcore_install.runtime.app import App
from contextcore_install.storage.home import ClusterLayout, Home
from contextcore_install.storage.journal.journal import JournalWriter
from contextcore_install.storage.lock import Lock
from contextcore_install.storage.step_logs import StepLogs
from contextcore_install.system.clock import SystemClock

NOON_US = 1_767_268_800_000_000  # 2026-01-01T12:00:00Z
EVIL = "</script><script>window.hurt=1</script><img src=x onerror=window.hurt=1>\x1b[31mred\x07\u202e<!--"

_CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_CHROMIUM_OF_MACOS = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")
_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


@dataclass
class Story:
    """Writes a journal as runs do, with times of its own. `after` is seconds since the event before."""

    folder: Path
    run_id: str = ""
    offset: JournalOffset = field(default_factory=lambda: JournalOffset(0, 0, NOON_US))

    def __post_init__(self) -> None:
        self.files.folder.mkdir(parents=True, exist_ok=True)

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def files(self) -> ClusterLayout:
        return Home(self.home).cluster("test")

    def app(self, *words: str) -> App:
        environ = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "CONTEXTCORE_CLUSTER": "test"}
        settings = parse(words or ("dashboard",), environ, "./create-cluster.sh")
        return App(settings, environ, Home(self.home), io.StringIO(), io.StringIO(), io.StringIO(), SystemClock())

    def tell(self, *events: tuple[Any, ...], **data: Any) -> None:
        """Append events, each (kind, step, after, data); `data` goes with the last."""
        writer = JournalWriter(self.files.journal, self.offset)
        logs = StepLogs(self.files.logs)
        for number, (kind, step, after, told) in enumerate(events, writer.offset.events + 1):
            at_us = writer.offset.at_us + round(after * 1e6)
            event = Event(number, at_us, self.run_id, kind, step, told)
            writer.append(event)
            if kind is not Kind.RUN_STARTED:
                logs.handle(event)
        self.offset = writer.offset
        logs.close()
        writer.close()

    def add(self, kind: Kind, step: str = "", after: float = 1.0, **data: Any) -> None:
        """Append one event."""
        self.tell((kind, step, after, data))

    def begin(self, number: int = 1, mode: str = "install") -> None:
        """Begin a run."""
        self.run_id = f"20260101T{number:06d}.000Z-abcd"
        if not self.offset.events:
            self.add(Kind.INSTALLATION_STARTED, installation_id="i1", provider="host", settings={})
        self.add(Kind.RUN_STARTED, after=60, mode=mode, version="1", provider="host", cluster="test", pid=1)

    def start(self, step: str, attempt: int = 1) -> None:
        self.add(Kind.STEP_STARTED, step, attempt=attempt)

    def complete(self, step: str, seconds: float = 2.0) -> None:
        self.tell(
            (Kind.STEP_STARTED, step, 0.2, {"attempt": 1}),
            (Kind.STEP_COMPLETED, step, seconds, {"duration_seconds": seconds, "summary": "fine"}),
        )

    def fail(self, step: str, text: str = "mimir keeps crashing", **more: Any) -> None:
        error = {"code": "crash-loop", "message": text, "hint": "kubectl logs mimir-0", **more}
        self.add(Kind.STEP_FAILED, step, duration_seconds=4.0, error=error)

    def end(self, outcome: str = "succeeded") -> None:
        self.add(Kind.RUN_FINISHED, outcome=outcome, exit_code=0, duration_seconds=9.0)

    def log(self, step: str, line: str) -> None:
        """Write what a command of a step prints."""
        logs = StepLogs(self.files.logs)
        logs.handle(Event(0, self.offset.at_us, self.run_id, Kind.OUTPUT, step, {"line": line}))
        logs.close()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Hold the lock as a run does that lives."""
        lock = Lock(self.files.lock, {"pid": os.getpid()})
        try:
            yield
        finally:
            lock.release()


STEPS = ("preflight", "cluster_create", "manifests_apply", "pods_ready", "services_verify", "metrics_seed")


def complete(story: Story, number: int = 1) -> None:
    """A run in which everything went well, at the second attempt of one step."""
    story.begin(number)
    for step in STEPS[:3]:
        story.complete(step)
    story.start("pods_ready")
    story.add(Kind.PART_STARTED, "pods_ready", part="start mimir")
    story.add(Kind.STEP_RETRYING, "pods_ready", delay_seconds=1.0, error={"code": "x", "message": "not ready yet"})
    story.start("pods_ready", 2)
    story.add(Kind.PART_STARTED, "pods_ready", part="start mimir")
    story.add(Kind.PART_FINISHED, "pods_ready", part="start mimir", outcome="completed", duration_seconds=1.0)
    story.add(Kind.STEP_COMPLETED, "pods_ready", duration_seconds=9.0, summary="")
    story.complete("services_verify")
    met = {"requirement": "mimir_ready", "category": "infrastructure", "ratio": 1.0}
    story.add(Kind.VERIFIED, "metrics_seed", requirements=[met, {**met, "requirement": "loki", "ratio": 0.5}])
    story.complete("metrics_seed")
    story.end()


def failed(story: Story) -> None:
    """A run that failed, with a finding, a warning and evidence."""
    story.begin()
    story.complete("preflight")
    story.start("cluster_create")
    low = {"summary": "Close other programs", "command": "", "risk": "harmless", "automatic": False}
    story.add(Kind.FINDING, "cluster_create", code="memory-low", message="Memory is short.", warning=True, remedy=low)
    story.fail("cluster_create", evidence="exit code 1: bad config\n  line 3")
    story.end("failed")


def killed(story: Story) -> None:
    """A run that ended without a word in the middle of a step."""
    story.begin()
    story.complete("preflight")
    story.start("cluster_create")
    story.log("cluster_create", "Preparing nodes")


def hostile(story: Story) -> None:
    """A run whose every text means harm."""
    story.begin(mode=EVIL)
    story.start("preflight")
    remedy = {"summary": EVIL, "command": f"rm {EVIL}", "risk": EVIL, "automatic": False}
    story.add(Kind.FINDING, "preflight", code=EVIL, message=EVIL, evidence=EVIL * 99, warning=True, remedy=remedy)
    story.add(Kind.PART_STARTED, "preflight", part=EVIL)
    story.add(Kind.NOTICE, EVIL, text=EVIL)
    story.add(Kind.STEP_STARTED, "</script><b>step", attempt=EVIL)
    story.add(Kind.VERIFIED, requirements=[{"requirement": EVIL, "category": EVIL, "ratio": 0.3}])
    story.log("preflight", EVIL)
    story.log("preflight", "x" * 1_000_000)
    story.fail("preflight", EVIL, hint=EVIL, evidence="y" * 1_000_000)
    story.end("failed")


def many(story: Story, runs: int = 1000) -> None:
    """A long history, written at once."""
    events: list[str] = []
    for number in range(1, runs + 1):
        story.run_id = f"20260101T{number:06d}.000Z-abcd"
        told: list[tuple[Kind, str, dict[str, Any]]] = [
            (Kind.RUN_STARTED, "", {"mode": "resume", "version": "1", "provider": "host", "cluster": "test"}),
            (Kind.STEP_STARTED, "preflight", {"attempt": 1}),
            (Kind.STEP_COMPLETED, "preflight", {"duration_seconds": 0.5, "summary": ""}),
            *[(Kind.STEP_COMPLETED, s, {"duration_seconds": 0.1, "already": True}) for s in STEPS[1:]],
            (Kind.RUN_FINISHED, "", {"outcome": "succeeded", "duration_seconds": number / 10}),
        ]
        for kind, step, data in told:
            event = Event(len(events) + 1, NOON_US + len(events) * 1_000_000, story.run_id, kind, step, data)
            events.append(_line(event))
    text = "".join(events)
    story.files.journal.write_text(text)
    story.offset = JournalOffset(len(events), len(text.encode()), NOON_US + len(events) * 1_000_000)


def _line(event: Event) -> str:
    import json

    return json.dumps(event.as_document(), separators=(",", ":")) + "\n"


SCENES = {
    "nothing": lambda story: None, "complete": complete, "failed": failed,
    "killed": killed, "running": killed, "hostile": hostile,
}  # fmt: skip
"""What a story tells; "running" is what a killed run left, while its lock is still held."""


def chromium() -> str:
    """Return where Chromium is; skips the test where there is none (scripts/get-chromium.sh installs it)."""
    named = os.environ.get("CONTEXTCORE_TEST_CHROMIUM", "")
    found = named or next((path for name in _CHROMIUM if (path := shutil.which(name))), "")
    if not found and _CHROMIUM_OF_MACOS.exists():
        found = str(_CHROMIUM_OF_MACOS)
    if not found:
        pytest.skip("no Chromium here: install it (Debian: apt-get install chromium), or set CONTEXTCORE_TEST_CHROMIUM")
    return found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser with a profile of its own."""
    program = chromium()
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=list(_FLAGS), timeout=90_000)
        yield started
        started.close()


@dataclass
class Sight:
    """A page, and what it did besides being shown: what it complained of, and where it asked."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.set_default_timeout(60_000)
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))

    def show(self, url: str) -> Page:
        self.page.goto(url)
        self.page.wait_for_selector("html[data-drawn]")
        return self.page

    def elsewhere(self, base: str) -> list[str]:
        """Return what was asked for from anywhere but the page's own server."""
        return [url for url in self.asked if not re.match(re.escape(base) + "|data:", url)]
