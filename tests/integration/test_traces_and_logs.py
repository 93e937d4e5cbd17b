"""Traces and logs of runs, through real processes: a collector, a program that is killed, backends that fail."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contextcore_install.core.events import Kind
from contextcore_install.storage.cursors import CursorFile
from contextcore_install.storage.journal.journal import JournalReader
from contextcore_install.telemetry.folds.fold import span_id, trace_id
from contextcore_install.telemetry.folds.traces import UNFINISHED, TraceFold
from contextcore_install.telemetry.shipper import Shipper
from kit.host_world import install_stand_in
from kit.installation import Installation, kill, read_until
from kit.receivers import Collector, LogStore, SpanStore
from kit.stores import MINUTE_US, MemoryCursors, MemoryJournal, Misbehaving, Reply, Store, answer, free_port, wait_until

Make = Callable[[Reply], Misbehaving]
SECRET = "s3cr3t-m4rk3r"


class World:
    """Telemetry of one installation that has a place for spans, and one for lines."""

    def __init__(self, traces: str | None = None, logs: str | None = None) -> None:
        self.journal = MemoryJournal(time.time_ns() // 1000 - 10 * MINUTE_US)
        self.cursors = MemoryCursors()
        self.said: list[str] = []
        self.traces, self.logs = traces, logs
        self.close_s = 0.0

    def shipper(self, metrics: str | None = None) -> Shipper:
        return Shipper(
            self.journal,
            self.cursors,
            "c",
            lambda: metrics,
            self.said.append,
            traces_url=lambda: self.traces,
            logs_url=lambda: self.logs,
        )

    def ship(self, metrics: str | None = None) -> World:
        """Do as a process does whose run ends at once."""
        shipper = self.shipper(metrics)
        shipper.start()
        began = time.monotonic()
        shipper.close(60.0)
        self.close_s = time.monotonic() - began
        return self

    def spans(self) -> dict[str, str]:
        """Return the name of each span that there should be, by its id."""
        fold = TraceFold("c")
        made = [span for event in self.journal.events for span in fold.take(event)]
        return {span_id(span.run.run_id, span.number): span.name for span in made}


def names(store: SpanStore) -> dict[str, str]:
    return {span.id: span.name for span in store.spans.values()}


def test_a_real_collector_takes_every_span(collector: Collector, span_store: SpanStore) -> None:
    world = World(collector.url)
    world.journal.whole_run("r1")
    world.journal.whole_run("r2")
    world.ship()
    wait_until(lambda: len(span_store.spans) == len(world.spans()), "spans are missing")
    assert names(span_store) == world.spans()
    assert span_store.complete()
    assert {span.trace for span in span_store.spans.values()} == {trace_id("r1"), trace_id("r2")}
    assert world.said == []


def test_what_was_missed_is_sent_later_and_nothing_twice(span_store: SpanStore, log_store: LogStore) -> None:
    span_store.stop()
    log_store.stop()
    world = World(span_store.url, log_store.url)
    world.journal.whole_run("r1")
    assert len(world.ship().said) == 2, "each is told of once"
    assert all("does not answer" in said for said in world.said)
    span_store.start()
    log_store.start()
    world.journal.whole_run("r2")
    world.ship()
    world.ship()
    assert names(span_store) == world.spans()
    assert len(span_store.received) == len(span_store.spans)
    assert log_store.documents() == [event.as_document() for event in world.journal.events]
    assert len(log_store.lines) == len(world.journal.events)


def test_spans_are_sent_while_the_run_lives(span_store: SpanStore) -> None:
    world = World(span_store.url)
    shipper = world.shipper()
    with shipper:
        world.journal.begin("r1")
        event = world.journal.add("r1", Kind.STEP_COMPLETED, "preflight", duration_seconds=0.0)
        shipper.handle(event)
        wait_until(lambda: names(span_store), "nothing was sent")
        assert names(span_store) == {span_id("r1", event.number): "check preflight"}
        world.journal.end("r1")
    assert names(span_store) == world.spans()


def test_spans_that_are_rejected_are_told_of_and_not_sent_again(span_store: SpanStore) -> None:
    span_store.reject = lambda span: span.name.endswith("preflight")
    world = World(span_store.url)
    world.journal.whole_run("r1")
    world.ship().ship()
    [said] = world.said
    assert said == "the trace collector refused 2 spans for good, saying: too much of it"
    assert len(span_store.received) == len(world.spans()) - 2
    assert len(span_store.bodies) == 1


def test_lines_that_are_too_old_are_told_of_and_the_others_kept(log_store: LogStore) -> None:
    world = World(logs=log_store.url)
    world.journal.whole_run("r1")
    log_store.oldest_us = world.journal.events[5].at_us
    world.ship().ship()
    [said] = world.said
    assert said.startswith("the log store refused ")
    assert "too old" in said
    assert [item["number"] for item in log_store.documents()] == [event.number for event in world.journal.events[5:]]
    assert len(log_store.bodies) == 1


@pytest.mark.parametrize(("status", "word"), [(503, "cannot take it now"), (404, "refuses"), (200, "refuses")])
def test_backends_that_do_not_take_it_are_told_of_once(misbehaving: Make, status: int, word: str) -> None:
    def reply(_: Misbehaving, handler: Any) -> None:
        handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        answer(handler, status, "because")

    world = World(misbehaving(reply).url)
    world.journal.whole_run("r1")
    world.ship()
    [said] = world.said
    assert said.startswith(f"the trace collector {word}")
    assert "because" in said
    assert world.close_s < 15
    assert world.cursors.kept == {}


def test_three_hanging_backends_cost_two_seconds_together(misbehaving: Make) -> None:
    hanging = misbehaving(lambda world, _: world.released.wait(30)).url
    world = World(hanging, hanging)
    world.journal.whole_run("r1")
    world.ship(metrics=hanging)
    assert world.close_s < 15
    assert sorted(said.split(" did")[0].split(" answers")[0] for said in world.said) == [
        "the log store",
        "the metrics store",
        "the trace collector",
    ]


def test_a_backend_that_hung_before_is_not_waited_for_again(misbehaving: Make) -> None:
    hanging = misbehaving(lambda world, _: world.released.wait(30))
    world = World(hanging.url)
    shipper = world.shipper()
    shipper.start()
    world.journal.whole_run("r1")
    worker = shipper._workers[1]
    wait_until(lambda: worker._hopeless, "it was not asked")
    began = time.monotonic()
    shipper.close(25.0)
    assert time.monotonic() - began < 15
    [said] = world.said
    assert "answer" in said


def test_a_hanging_collector_keeps_nobody_else_waiting(misbehaving: Make, victoria: Store, log_store: LogStore) -> None:
    world = World(misbehaving(lambda world, _: world.released.wait(30)).url, log_store.url)
    world.journal.whole_run("r1")
    world.ship(metrics=victoria.url)
    assert len(log_store.documents()) == len(world.journal.events)
    assert sorted(name.partition(" ")[0] for name in world.cursors.kept) == ["logs", "victoria-metrics"]
    [said] = world.said
    assert "the trace collector" in said


def test_many_lines_and_spans_go_out_in_bounded_requests(span_store: SpanStore, log_store: LogStore) -> None:
    world = World(span_store.url, log_store.url)
    world.journal.begin("r1")
    for number in range(1500):
        world.journal.add(
            "r1", Kind.COMMAND_FINISHED, "preflight", command=f"x {number} {'y' * 400}", exit_code=0, duration_seconds=0
        )
    world.journal.end("r1")
    with world.shipper():
        # What a busy machine answers too late comes twice.
        wait_until(lambda: len(span_store.spans) == 1501, "spans are missing")
        wait_until(lambda: len(set(log_store.lines)) == len(world.journal.events), "lines are missing")
    assert max(map(len, span_store.bodies + log_store.bodies)) < 1_000_000
    assert names(span_store) == world.spans()


# The program itself, on files


@pytest.fixture
def marked(installation: Installation) -> Installation:
    """An installation whose ContextCore prints and is called with what must not be sent."""
    folder = installation.folder / "bin"
    folder.mkdir(parents=True)
    program = folder / "contextcore"
    program.write_text(f"#!/bin/sh\necho password={SECRET}\n")
    program.chmod(0o755)
    installation.path = (str(folder),)
    return installation


def ship_files(installation: Installation, spans: SpanStore, lines: LogStore) -> list[str]:
    """Send what an installation's journal holds, as its next run would."""
    said: list[str] = []
    shipper = Shipper(
        JournalReader(installation.files / "journal.jsonl"),
        CursorFile(installation.files / "cursors.json"),
        installation.cluster,
        lambda: None,
        said.append,
        traces_url=lambda: spans.url,
        logs_url=lambda: lines.url,
    )
    shipper.start()
    shipper.close(30)
    return said


def test_a_killed_run_and_the_one_that_resumes_it_are_two_linked_traces(
    marked: Installation, span_store: SpanStore, log_store: LogStore
) -> None:
    environ = {"API_TOKEN": SECRET}
    process = marked.start("--provider", "host", *marked.port_flags())
    killed = read_until(process, "step_started", "manifests_apply")["run_id"]
    kill(process)
    assert ship_files(marked, span_store, log_store) == []
    before = set(span_store.spans)
    resumed = marked.run("--resume", environ=environ)
    assert resumed.returncode == 0, resumed.stderr
    assert ship_files(marked, span_store, log_store) == []
    assert before < set(span_store.spans)
    assert len(span_store.received) == len(span_store.spans), "none came twice"
    assert span_store.complete()
    [first, second] = [span for span in span_store.spans.values() if not span.parent]
    assert first.trace == trace_id(killed)
    assert first.error == UNFINISHED
    assert second.links == ((first.trace, first.id),)
    assert second.error == ""
    assert second.resource["contextcore.provider"] == "host"
    assert second.attributes["contextcore.mode"] == "resume"
    commands = [span for span in span_store.trace(second.trace) if "contextcore.command" in span.attributes]
    assert any("contextcore install verify" in span.attributes["contextcore.command"] for span in commands)
    numbers = [document["number"] for document in log_store.documents()]
    assert numbers == list(range(1, len(numbers) + 1))
    assert not any(SECRET.encode() in body for body in span_store.bodies + log_store.bodies)


HANDING_ON = """\
import threading, urllib.request
class Taker(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args): pass
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        sent = urllib.request.Request("{url}" + self.path, body, dict(self.headers))
        with urllib.request.urlopen(sent, timeout=30) as answer:
            self.send_response(answer.status)
            self.end_headers()
            self.wfile.write(answer.read())
taker = http.server.ThreadingHTTPServer(("127.0.0.1", {port}), Taker)
threading.Thread(target=taker.serve_forever, daemon=True).start()
"""


def hand_on(stand_in: Path, port: int, url: str) -> None:
    """Have a stand-in take OTLP over HTTP on a port as well, and hand it on."""
    head, serving, tail = stand_in.read_text().partition("http.server.ThreadingHTTPServer")
    stand_in.write_text(head + HANDING_ON.format(port=port, url=url) + serving + tail)


def test_the_program_sends_its_run_to_the_collector_of_its_installation(
    installation: Installation, span_store: SpanStore
) -> None:
    """Alloy's process is a stand-in, which hands the spans that it takes on to what checks them."""
    folder = installation.folder / "bin"
    folder.mkdir(parents=True)
    install_stand_in(folder, "alloy")
    install_stand_in(folder, "tempo")  # without it, the collector has nobody to hand spans on to
    hand_on(folder / "alloy", installation.ports["alloy-http"], span_store.url)
    installation.path = (str(folder),)
    process = installation.start("--provider", "host", *installation.port_flags())
    run_id = read_until(process, "run_started")["run_id"]
    _, errors = process.communicate(timeout=90)
    assert process.returncode == 0, errors
    assert span_store.complete()
    assert {span.trace for span in span_store.spans.values()} == {trace_id(run_id)}
    [root] = [span for span in span_store.spans.values() if not span.parent]
    assert root.attributes["contextcore.outcome"] == "succeeded"
    journal = (installation.files / "journal.jsonl").read_text()
    started = [event["number"] for event in map(json.loads, journal.splitlines()) if event["kind"] == "run_started"]
    assert root.id == span_id(run_id, started[0])


def test_the_program_sends_to_what_its_installation_has(
    installation: Installation, span_store: SpanStore, log_store: LogStore, tmp_path: Path
) -> None:
    """On a host without Loki and a collector nothing is sent, nothing is said, and no cursor is kept for them."""
    installation.ports |= {"alloy-http": span_store.port, "loki": log_store.port, "tempo-otlp-http": free_port()}
    done = installation.install()
    assert done.returncode == 0, done.stderr
    assert span_store.bodies == log_store.bodies == []
    kept = json.loads((installation.files / "cursors.json").read_text())
    assert [name.partition(" ")[0] for name in kept] == ["victoria-metrics"]
    assert "collector" not in done.stderr + done.stdout
