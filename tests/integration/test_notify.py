"""Contact points on loopback: which messages arrive, what is said where they do not, and that no URL shows anywhere."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import psutil
import pytest

from contextcore_install.notify.messages import Level, Message
from contextcore_install.notify.sending import Outbox, Receipt
from kit.installation import Installation, end, kill, read_until
from kit.stores import Misbehaving, Reply, answer, free_port

Make = Callable[[Reply], Misbehaving]
MARK = "s3cr3t-m4rk"
MESSAGE = Message("title", "body", Level.FAILURE)


def sent(urls: list[str], limit_s: float = 60.0) -> list[Receipt]:
    outbox = Outbox(urls)
    outbox.send(MESSAGE, limit_s)
    return outbox.receipts()


class Hook:
    """A webhook on loopback that keeps what it was sent."""

    def __init__(self, make: Make, status: int = 200) -> None:
        self.status = status
        self.got: list[dict[str, Any]] = []
        self.server = make(self._reply)
        self.url = f"{self.server.url}/{MARK}?key={MARK}"

    def _reply(self, _: Misbehaving, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        self.got.append(json.loads(body))
        answer(handler, self.status)

    def titles(self) -> list[str]:
        return [document["title"].partition("): ")[2] for document in self.got]


@pytest.fixture
def hook(misbehaving: Make) -> Hook:
    return Hook(misbehaving)


def hanging(make: Make) -> str:
    return f"{make(lambda world, _: world.released.wait(30)).url}/{MARK}"


def test_each_contact_point_has_its_receipt(misbehaving: Make, hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    """Up, failing and refused at the same time, with a proxy set that would take all of it."""
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9" if "no" not in name.lower() else "")
    failing = Hook(misbehaving, 500)
    urls = [hook.url, failing.url, f"http://127.0.0.1:{free_port()}/{MARK}"]
    receipts = sent(urls)
    assert [receipt.reason for receipt in receipts] == ["", "it answered HTTP 500", "nothing listens there"]
    assert hook.got[0]["title"] == "title"
    assert hook.got[0]["message"] == "body"
    assert len(hook.got) == len(failing.got) == 1
    assert f"key={MARK}" in hook.server.requests[0], "the query arrives as it was given"
    assert MARK not in repr(receipts)


def test_a_redirect_is_said_and_not_followed(misbehaving: Make, hook: Hook) -> None:
    def redirect(status: int, location: str) -> Misbehaving:
        def reply(_: Misbehaving, handler: BaseHTTPRequestHandler) -> None:
            handler.rfile.read(int(handler.headers["Content-Length"]))
            answer(handler, status, headers={"Location": location})

        return misbehaving(reply)

    elsewhere, moved = redirect(302, f"http://127.0.0.1:{free_port()}/"), redirect(307, hook.url)
    receipts = sent([f"{elsewhere.url}/{MARK}", f"{moved.url}/{MARK}"])
    assert [receipt.reason.partition(":")[0] for receipt in receipts] == [
        "it redirects to another address (HTTP 302), which is not followed",
        "it redirects to another address (HTTP 307), which is not followed",
    ]
    assert not hook.got


def test_one_that_hangs_costs_the_limit_and_keeps_nobody_else(misbehaving: Make, hook: Hook) -> None:
    sent([hook.url])  # the library is imported now
    began = time.monotonic()
    receipts = sent([hanging(misbehaving), hook.url], limit_s=5.0)
    assert time.monotonic() - began < 25
    assert [receipt.reason for receipt in receipts] == ["it did not answer in time", ""]


PATIENT = {"CONTEXTCORE_NOTIFY_SECONDS": "60"}
"""So that a slow machine's import of the library is not what a test measures."""


def set_points(installation: Installation, *urls: str) -> None:
    answered = installation.run("notify", "set", stdin="\n".join(urls))
    assert answered.returncode == 0, answered.stderr
    assert MARK not in answered.stdout + answered.stderr
    kept = installation.home / "notify.json"
    assert kept.stat().st_mode & 0o777 == 0o600


def install(installation: Installation, *more: str) -> subprocess.CompletedProcess[str]:
    return installation.run("--provider", "host", *installation.port_flags(), *more, environ=PATIENT)


def test_failures_and_the_first_success_after_them_are_told_once_each(
    installation: Installation, hook: Hook, misbehaving: Make
) -> None:
    broken = Hook(misbehaving, 503)
    set_points(installation, hook.url, broken.url)
    first = install(installation, "--context", "none")
    assert first.returncode == 2, "a wrong command line is no failed run"
    with _held(installation.ports["mimir"]):
        failed = install(installation)
        assert failed.returncode == 3, failed.stdout + failed.stderr
    assert hook.titles() == ["the run failed"]
    assert "preflight: " in hook.got[0]["message"]
    assert "--resume" in hook.got[0]["message"]
    assert f"webhook at {broken.server.url[7:]} was not told: it answered HTTP 503" in failed.stderr

    assert install(installation).returncode == 0
    assert hook.titles()[1:] == ["works again"]
    assert install(installation).returncode == 0
    assert len(hook.got) == 2, "a success after a success is no news"

    running = installation.start("--resume")
    read_until(running, "run_started")
    kill(running)
    assert installation.run("--resume", environ=PATIENT).returncode == 0
    assert hook.titles()[2:] == ["the run has completed"]
    assert "took over the run" in hook.got[2]["message"]

    for process in installation.processes():
        end(process)
    assert installation.run("verify", environ=PATIENT).returncode == 1
    assert hook.titles()[3:] == ["verify failed"]
    _assert_nowhere(installation, failed.stdout + failed.stderr)


def _held(port: int) -> socket.socket:
    listener = socket.socket()
    listener.bind(("127.0.0.1", port))
    listener.listen()
    return listener


def _assert_nowhere(installation: Installation, output: str) -> None:
    """The mark of the URLs is in no file but the one for it, and in nothing that runs."""
    assert MARK not in output
    holding = [
        path
        for path in installation.home.rglob("*")
        if path.is_file() and not path.is_symlink() and MARK.encode() in path.read_bytes()
    ]
    assert holding == [installation.home / "notify.json"]
    for process in psutil.process_iter(["cmdline"]):
        assert not any(MARK in word for word in process.info["cmdline"] or [])


def test_the_environments_contact_points_reach_nothing_that_is_started(installation: Installation, hook: Hook) -> None:
    environ = PATIENT | {"CONTEXTCORE_NOTIFY": f"{hook.url} {hook.url}&second=1"}
    with _held(installation.ports["mimir"]):
        failed = installation.run("--provider", "host", *installation.port_flags(), environ=environ)
    assert failed.returncode == 3
    assert hook.titles() == ["the run failed"] * 2
    assert installation.run("--resume", *installation.port_flags(), environ=environ).returncode == 0
    assert hook.titles()[2:] == ["works again"] * 2
    started = installation.processes()
    assert started
    assert not any(MARK in " ".join([*process.cmdline(), *process.environ().values()]) for process in started)
    holding = [path for path in installation.home.rglob("*") if path.is_file() and MARK.encode() in path.read_bytes()]
    assert holding == []


def test_a_hanging_contact_point_costs_a_run_five_seconds_at_most(
    installation: Installation, misbehaving: Make
) -> None:
    set_points(installation, hanging(misbehaving))
    with _held(installation.ports["mimir"]):
        failed = installation.install()
    assert failed.returncode == 3, "its own exit code, whatever becomes of the message"
    assert "was not told: it did not answer in time" in failed.stderr


def test_notify_sets_shows_tries_out_and_forgets(installation: Installation, hook: Hook, tmp_path: Path) -> None:
    none = installation.run("notify", "test")
    assert none.returncode == 1
    assert "no contact point is set" in none.stderr
    file = tmp_path / "urls"
    file.write_text(f"# mine\n{hook.url}\nhttp://127.0.0.1:{free_port()}/{MARK}\n")
    made = installation.run("notify", "set", "--file", str(file))
    assert made.returncode == 0
    assert "Grafana, if the stack has it, is updated by the next run:" in made.stdout
    only_this = installation.run("notify", "set", stdin="ntfys://topic")
    assert "Grafana" not in only_this.stdout.partition("Alerts of Grafana")[0]
    assert installation.run("notify", "set", "--file", str(file)).returncode == 0

    tried = installation.run("notify", "test", "--output", "json")
    assert tried.returncode == 1
    points = json.loads(tried.stdout)["contact_points"]
    assert [(point["arrived"], point["reason"]) for point in points] == [(True, None), (False, "nothing listens there")]
    assert len(hook.got) == 1

    shown = installation.run("notify", "show")
    assert "1. webhook at 127.0.0.1" in shown.stdout
    assert MARK not in shown.stdout + tried.stdout + tried.stderr
    (installation.home / "notify.json").chmod(0o644)
    open_to_all = installation.run("notify", "show")
    assert open_to_all.returncode == 1
    assert "others can read it" in open_to_all.stderr
    assert installation.run("notify", "clear").returncode == 0
    assert not (installation.home / "notify.json").exists()


@pytest.mark.parametrize(
    ("arguments", "stdin", "said"),
    [
        (("set", f"https://example.com/{MARK}"), "", "not taken from the command line"),
        (("set",), "", "no contact point was given"),
        (("set",), f"bogus://{MARK}", "contact point 1 of 1"),
        (("set", "--file", "/nowhere"), "", "is not there"),
        (("show", "--file", "x"), "", "cannot be combined"),
    ],
)
def test_what_cannot_be_set_is_refused_without_showing_it(
    installation: Installation, arguments: tuple[str, ...], stdin: str, said: str
) -> None:
    answered = installation.run("notify", *arguments, stdin=stdin)
    assert answered.returncode in {1, 2}
    assert said in answered.stderr
    assert MARK not in answered.stdout + answered.stderr
    assert not (installation.home / "notify.json").exists()
