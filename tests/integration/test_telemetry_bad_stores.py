"""Stores that are dead, slow, hanging, resetting or refusing: none delays a run, each is told of once."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler

import pytest

from contextcore_install.core.errors import InstallError
from contextcore_install.core.events import Kind
from contextcore_install.telemetry.shipper import Shipper
from kit.fakes import Told
from kit.stores import (
    EMPTY_RESULT,
    MINUTE_US,
    MemoryCursors,
    MemoryJournal,
    Misbehaving,
    Reply,
    Store,
    answer,
    free_port,
    healthy,
    wait_until,
)

Handler = BaseHTTPRequestHandler
Make = Callable[[Reply], Misbehaving]


class Run:
    """A run of some seconds that ships to a URL."""

    def __init__(self, url: str | None) -> None:
        self.journal = MemoryJournal(time.time_ns() // 1000 - 10 * MINUTE_US)
        self.cursors = MemoryCursors()
        self.said: list[str] = []
        self.shipper = Shipper(self.journal, self.cursors, "c", lambda: url, self.said.append)
        self.longest_handle_s = 0.0
        self.close_s = 0.0

    def live(self, seconds: float = 0.5) -> Run:
        self.shipper.start()
        self.journal.begin("r1", after_us=1000)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            event = self.journal.add("r1", Kind.HEARTBEAT)
            began = time.monotonic()
            self.shipper.handle(event)
            self.longest_handle_s = max(self.longest_handle_s, time.monotonic() - began)
            time.sleep(0.02)
        self.journal.end("r1")
        began = time.monotonic()
        self.shipper.close(2.0)
        self.close_s = time.monotonic() - began
        return self


def assert_undisturbed(run: Run) -> None:
    assert run.longest_handle_s < 2.0
    assert run.close_s < 15
    assert run.cursors.kept == {}
    assert run.shipper.unsent() == len(run.journal.events)


def writes(server: Misbehaving) -> int:
    return sum("/api/v1/write" in request for request in server.requests)


def test_without_a_store_nothing_is_said() -> None:
    run = Run(None).live(0.3)
    assert_undisturbed(run)
    assert run.said == []


def test_a_dead_store_is_told_of_at_the_end() -> None:
    run = Run(f"http://127.0.0.1:{free_port()}").live()
    assert_undisturbed(run)
    [said] = run.said
    assert "does not answer" in said
    assert "Connection refused" in said


def test_a_hanging_store_costs_two_seconds_at_most(misbehaving: Make) -> None:
    run = Run(misbehaving(lambda world, _: world.released.wait(60)).url).live()
    assert_undisturbed(run)
    [said] = run.said
    assert "answer" in said


def test_a_store_that_hangs_in_the_middle_costs_two_seconds_at_most(misbehaving: Make) -> None:
    def reply(world: Misbehaving, handler: Handler) -> None:
        if not healthy(handler):
            world.released.wait(60)

    run = Run(misbehaving(reply).url).live()
    assert_undisturbed(run)
    assert len(run.said) == 1


def test_a_port_that_never_accepts_costs_two_seconds_at_most() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        with socket.create_connection(address):  # fills the queue, so the next SYN gets no answer
            run = Run(f"http://127.0.0.1:{address[1]}").live()
    assert_undisturbed(run)
    assert len(run.said) == 1


def test_a_store_that_drips_its_answer_is_cut_off(misbehaving: Make) -> None:
    def reply(world: Misbehaving, handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        while not world.released.wait(0.05):
            handler.wfile.write(b".")

    run = Run(misbehaving(reply).url).live(0.8)
    assert_undisturbed(run)
    [said] = run.said
    assert "in time" in said or "no full answer" in said


def test_a_resetting_store_is_told_of_at_the_end(misbehaving: Make) -> None:
    def reply(_: Misbehaving, handler: Handler) -> None:
        if not healthy(handler):
            # Closing with unread data, and without lingering, sends a reset.
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            handler.connection.close()
            handler.close_connection = True

    run = Run(misbehaving(reply).url).live()
    assert_undisturbed(run)
    assert len(run.said) == 1


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (400, "snappy: corrupt input"),
        (400, 'cannot decompress request with length 2: unsupported path requested: "/api/v1/write"'),
        (400, "per-user series limit of 1 exceeded (err-mimir-max-series-per-user)"),
        (401, "no org id"),
        (403, "Forbidden"),
    ],
)
def test_a_refusing_store_is_told_of_once(misbehaving: Make, status: int, text: str) -> None:
    def reply(_: Misbehaving, handler: Handler) -> None:
        if not healthy(handler):
            answer(handler, status, text)

    server = misbehaving(reply)
    run = Run(server.url).live()
    assert_undisturbed(run)
    [said] = run.said
    assert "refuses" in said
    assert text in said
    assert writes(server) <= 8, "it is left alone for longer each time"


def test_a_busy_store_is_left_alone_as_long_as_it_asks(misbehaving: Make) -> None:
    def reply(_: Misbehaving, handler: Handler) -> None:
        if not healthy(handler):
            answer(handler, 429, "too many requests", {"Retry-After": "30"})

    server = misbehaving(reply)
    run = Run(server.url).live(1.5)
    assert_undisturbed(run)
    assert len(run.said) == 1
    assert "429" in run.said[0]
    assert writes(server) <= 4, "one at first, one at the end, each with its probe"


def test_a_store_that_recovers_gets_everything(misbehaving: Make) -> None:
    failing = threading.Event()
    failing.set()

    def reply(_: Misbehaving, handler: Handler) -> None:
        if healthy(handler):
            return
        answer(handler, 503 if failing.is_set() else 204)

    run = Run(misbehaving(reply).url)
    run.shipper.start()
    run.journal.whole_run("r1", after_us=1000)
    time.sleep(0.5)
    failing.clear()
    wait_until(lambda: run.cursors.kept, "nothing was taken")
    run.shipper.close(60.0)
    assert run.shipper.unsent() == 0
    assert run.said == []


def test_a_store_that_dies_in_the_middle_of_a_run_is_told_of_then(new_store: Callable[..., Store]) -> None:
    store = new_store("victoria-metrics")
    run = Run(store.url)
    run.journal.begin("r1", after_us=1000)
    with run.shipper:
        wait_until(lambda: run.cursors.kept, "nothing was taken")
        store.stop()
        run.shipper.handle(run.journal.add("r1", Kind.HEARTBEAT))
        wait_until(lambda: run.said, "nothing was said")
        store.start()
        wait_until(lambda: run.cursors.kept and run.shipper.unsent() == 0, "it was not sent")
        run.journal.end("r1")
    assert run.shipper.unsent() == 0
    assert len(run.said) == 1


@pytest.mark.parametrize(
    ("status", "headers", "code"),
    [
        (404, {}, "metrics-store-refuses"),
        (503, {}, "metrics-store-busy"),
        (429, {"Retry-After": "3600"}, "metrics-store-busy"),
    ],
)
def test_flush_says_what_is_the_matter(misbehaving: Make, status: int, headers: dict[str, str], code: str) -> None:
    def reply(_: Misbehaving, handler: Handler) -> None:
        if not healthy(handler):
            answer(handler, status, "because", headers)

    run = Run(misbehaving(reply).url)
    run.journal.whole_run("r1")
    began = time.monotonic()
    with pytest.raises(InstallError) as caught:
        run.shipper.flush(Told().ctx)
    assert caught.value.code == code
    assert "because" in caught.value.evidence
    assert caught.value.evidence
    assert time.monotonic() - began < 60, "it does not wait for an hour"


def test_flush_without_a_store_says_so() -> None:
    run = Run(None)
    with pytest.raises(InstallError) as caught:
        run.shipper.flush(Told(limit_s=0.1).ctx)
    assert caught.value.code == "metrics-store-no-answer"


def test_a_prometheus_that_takes_no_writes_is_told_how(new_store: Callable[..., Store]) -> None:
    store = new_store("prometheus")
    with pytest.raises(InstallError) as caught:
        Run(store.url).shipper.backend()
    assert "--web.enable-remote-write-receiver" in caught.value.hint


def test_what_says_yes_to_everything_is_no_store(misbehaving: Make) -> None:
    with pytest.raises(InstallError) as caught:
        Run(misbehaving(lambda _, handler: answer(handler, 200, "OK")).url).shipper.backend()
    assert "neither Mimir, VictoriaMetrics nor Prometheus" in caught.value.evidence


def test_mimir_is_known_by_its_paths(misbehaving: Make) -> None:
    """Mimir's API by its documentation; it has no /-/healthy, and queries live below /prometheus."""

    def reply(_: Misbehaving, handler: Handler) -> None:
        handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        if handler.path == "/api/v1/push":
            answer(handler, 200)
        elif handler.path.startswith("/prometheus/api/v1/query?"):
            answer(handler, 200, EMPTY_RESULT)
        else:
            answer(handler, 404, "404 page not found")

    server = misbehaving(reply)
    run = Run(server.url)
    run.journal.whole_run("r1")
    assert run.shipper.flush(Told().ctx) > 0
    assert run.shipper.backend() == f"Mimir at {server.url}"


def test_a_mimir_that_is_not_ready_may_be_asked_again(misbehaving: Make) -> None:
    def reply(_: Misbehaving, handler: Handler) -> None:
        handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        answer(handler, 404 if "healthy" in handler.path else 500, "too many unhealthy instances in the ring")

    with pytest.raises(InstallError) as caught:
        Run(misbehaving(reply).url).shipper.backend()
    assert caught.value.code == "metrics-store-busy"
    assert caught.value.retryable


def _taking(_: Misbehaving, handler: Handler) -> None:
    """Take all, and show what was measured of nothing."""
    if not healthy(handler):
        answer(handler, 204)


def test_no_store_is_sent_what_is_dated_in_its_future(misbehaving: Make) -> None:
    server = misbehaving(_taking)
    run = Run(server.url)
    run.journal.whole_run("r1", after_us=1000)
    assert run.shipper.flush(Told().ctx) > 0
    run.journal.whole_run("r2", after_us=60 * MINUTE_US)
    with pytest.raises(InstallError) as caught:
        run.shipper.flush(Told().ctx)
    assert (caught.value.code, caught.value.retryable) == ("clock-behind", False)
    assert "this machine's clock says" in caught.value.message
    assert run.shipper.unsent()


def test_a_clock_that_is_a_little_behind_is_waited_for(misbehaving: Make) -> None:
    run = Run(misbehaving(_taking).url)
    run.journal.at_us = time.time_ns() // 1000 + 500_000
    run.journal.whole_run("r1", after_us=1000)
    assert run.shipper.flush(Told().ctx) > 0
    assert not run.shipper.unsent()
    assert time.time_ns() // 1000 > run.journal.at_us
