"""The page's server: who is answered, and what a reader sees of what happens to the files."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import time
from collections.abc import Generator, Iterator, Mapping
from concurrent.futures import Future
from contextlib import ExitStack
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

import pytest

from contextcore_install.core.redaction import Redaction
from contextcore_install.runtime.page.feed import PageFeed
from contextcore_install.runtime.page.source import Endpoints, PageSource
from contextcore_install.system.page_server import PageServer
from kit.installation import Installation
from kit.page_world import STEPS, Story, complete, killed, many
from kit.stores import wait_until


@pytest.fixture
def story(tmp_path: Path) -> Story:
    return Story(tmp_path)


@pytest.fixture
def server(story: Story) -> Iterator[PageServer]:
    feed = PageFeed(story.app())
    serving = PageServer(feed.respond)
    yield serving
    feed.end()
    serving.close()


def ask(
    server: PageServer, path: str = "", method: str = "GET", headers: Mapping[str, str] | None = None
) -> HTTPResponse:
    """Ask for a path below the page's own, or for one from the root."""
    connection = HTTPConnection(server.base.removeprefix("http://"), timeout=30)
    whole = path if path.startswith("/") else server.url.removeprefix(server.base) + path
    connection.request(method, whole, headers=dict(headers or {}))
    return connection.getresponse()


def page_document(html: str) -> dict[str, Any]:
    """Return the document that a page is drawn from."""
    found = re.search(r'id="document">(.*?)</script>', html, re.DOTALL)
    assert found
    document: dict[str, Any] = json.loads(found[1])
    return document


def sections(server: PageServer) -> dict[str, Any]:
    answer = ask(server)
    assert answer.status == 200
    shown: dict[str, Any] = page_document(answer.read().decode())["sections"]
    return shown


def test_who_knows_the_address_gets_the_page_and_nobody_may_keep_it(server: PageServer) -> None:
    answer = ask(server)
    headers = {name.lower(): value for name, value in answer.getheaders()}

    assert answer.status == 200
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "no-referrer"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "access-control-allow-origin" not in headers
    assert "Nothing is installed yet" in answer.read().decode()


@pytest.mark.parametrize(
    "path",
    ["/", "/x/", "/favicon.ico", "/open/", "/open/x", "../", "..%2f..%2fetc/passwd", "//etc/passwd", "run?id=../..",
     "run?id=x", "x", "events/x", "/" + "a" * 5000],
)  # fmt: skip
def test_everything_else_is_nothing(server: PageServer, path: str) -> None:
    assert ask(server, path).status == 404


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "[::1", "[::1]"])
def test_another_name_than_this_machines_is_refused(server: PageServer, host: str) -> None:
    assert ask(server, headers={"Host": host}).status == 421


def test_a_forwarded_port_is_not_refused(server: PageServer) -> None:
    assert ask(server, headers={"Host": "localhost:4000"}).status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "BREW"])
def test_it_can_only_be_read(server: PageServer, method: str) -> None:
    answer = ask(server, method=method)

    assert (answer.status, answer.getheader("Allow")) == (405, "GET, HEAD")


def test_head_has_the_headers_and_no_body(server: PageServer) -> None:
    answer = ask(server, method="HEAD")

    assert int(answer.getheader("Content-Length") or 0) > 1000
    assert answer.read() == b""


def test_an_invitation_leads_to_the_page_once(server: PageServer) -> None:
    path = server.invitation().removeprefix(server.base)

    assert ask(server, "/open/wrong").status == 404
    answer = ask(server, path)
    assert (answer.status, answer.getheader("Location")) == (303, server.url.removeprefix(server.base))
    assert ask(server, path).status == 404


def changes(server: PageServer) -> Generator[tuple[str, dict[str, Any]], None, None]:
    """Yield the events of the stream: their name, and the sections that changed."""
    answer = ask(server, "events")
    name = ""
    while True:
        line = answer.readline().decode()
        assert line, "the stream ended without a word"
        if line.startswith("event: "):
            name = line.removeprefix("event: ").strip()
        elif line.startswith("data:"):
            yield name, json.loads(line.removeprefix("data:").strip() or "{}").get("sections", {})
            if name == "end":
                return


def test_what_happens_is_told_and_only_what_changed(story: Story, server: PageServer) -> None:
    complete(story)
    stream = changes(server)
    name, everything = next(stream)
    assert (name, everything["head"]["headline"]) == ("change", "Complete")

    story.begin(2, "repair")
    with story.running():
        story.start("preflight")
        headlines = []
        for _, told in stream:
            assert "requirements" not in told
            headlines.append(told.get("head", {}).get("headline"))
            if headlines[-1] == "Repairing: Check the machine":
                break


def test_a_log_line_is_told(story: Story, server: PageServer) -> None:
    killed(story)
    stream = changes(server)
    next(stream)
    story.log("cluster_create", "token=very-secret and the rest")

    told = next(told for _, told in stream if "log.cluster_create" in told)
    assert told["log.cluster_create"][-1].endswith("| token=<hidden> and the rest")


def test_a_run_that_was_killed_does_not_look_alive(story: Story, server: PageServer) -> None:
    with story.running():
        killed(story)
        shown = sections(server)
        assert (shown["head"]["overall"], shown["run"]["ended_us"]) == ("running", None)

    wait_until(lambda: sections(server)["head"]["headline"] == "Ended unexpectedly")
    shown = sections(server)
    assert [step["status"] for step in shown["steps"][:2]] == ["completed", "stopped"]
    assert shown["run"]["rows"][1]["bars"][0][2] == "cut off"
    assert shown["history"]["rows"][0]["outcome"] == "cut off"


def test_the_end_of_the_server_is_told_after_the_last_news(story: Story) -> None:
    feed = PageFeed(story.app())
    server = PageServer(feed.respond)
    stream = changes(server)
    next(stream)
    complete(story)
    feed.end()
    server.close()

    told = list(stream)
    assert told[-1][0] == "end"
    assert [part["head"]["headline"] for _, part in told if "head" in part][-1] == "Complete"


def test_a_reset_begins_the_story_anew(story: Story, server: PageServer) -> None:
    complete(story)
    assert sections(server)["history"]["total"] == 1
    story.files.journal.rename(story.files.journal.with_suffix(".aside"))

    assert sections(server)["history"]["total"] == 0


def test_older_runs_are_given_when_they_are_asked_for(story: Story, server: PageServer) -> None:
    many(story, 130)
    assert len(sections(server)["history"]["rows"]) == 50

    older = json.loads(ask(server, "runs?before=80").read())
    assert [older["rows"][0]["number"], older["total"]] == [80, 130]
    run = json.loads(ask(server, f"run?id={older['rows'][0]['run_id']}").read())
    assert run["rows"][0]["step"] == "preflight"
    for wrong in ("-1", "x", "9" * 30, ""):
        assert json.loads(ask(server, f"runs?before={wrong}").read())["rows"] == []


def test_only_what_is_new_in_a_journal_is_read(story: Story) -> None:
    many(story, 150)
    source = PageSource(story.app(), Redaction())
    source.look()
    read: list[int] = []
    before = source._take
    source._take = lambda position, event: (read.append(event.number), before(position, event))[1]  # type: ignore[method-assign, func-returns-value]

    story.begin(151)
    source.look()
    source.look()
    assert read == [150 * 9 + 1]


def test_a_reader_that_leaves_and_one_that_says_nothing_are_let_go(server: PageServer) -> None:
    port = int(server.base.rpartition(":")[2])
    for _ in range(3):
        stream = changes(server)
        next(stream)
        stream.close()
    with socket.create_connection(("127.0.0.1", port)) as silent:
        silent.sendall(b"GET / HT")
        assert ask(server).status == 200


def test_many_slow_connections_keep_no_reader_waiting(server: PageServer) -> None:
    port, began = int(server.base.rpartition(":")[2]), time.monotonic()
    with ExitStack() as slow:
        for _ in range(300):
            connection = slow.enter_context(socket.create_connection(("127.0.0.1", port)))
            connection.sendall(b"GET / HT")
        assert ask(server).status == 200
    assert time.monotonic() - began < 15


def test_the_command_prints_the_address_first_and_ends_with_ctrl_c(installation: Installation) -> None:
    with subprocess.Popen(
        installation.command("dashboard"), env=installation.environ(), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        url = process.stdout.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]{32}/", url)
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert "The page has ended" in process.stdout.read()
        assert process.wait(30) == 0
    assert not installation.home.exists()


def test_for_scripts_it_prints_one_object_and_the_port_is_the_one_asked_for(installation: Installation) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        refused = installation.run("dashboard", "--page-port", port)
        assert refused.returncode == 3
        assert "--page-port" in refused.stderr
    words = ("dashboard", "--output", "json", "--page-port", port)
    with subprocess.Popen(
        installation.command(*words), env=installation.environ(), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        told = json.loads(process.stdout.readline())
        assert (told["pid"], f":{port}/" in told["url"]) == (process.pid, True)
        process.terminate()
        assert (process.wait(30), process.stdout.read()) == (0, "")


def test_what_did_not_answer_during_a_run_does_not_count_after_its_end(story: Story) -> None:
    feed = PageFeed(story.app())
    silent = {"endpoints": [{"component": "mimir", "url": "", "program": "", "answers": False}]}
    with story.running():
        story.begin()
        for step in STEPS:
            story.complete(step)
        feed._look(fresh=True)
        feed._answer, late = Future(), Future[dict[str, Any] | None]()
        feed._answer.set_result(silent)
        feed._look(fresh=True)
        feed._answer = late
    story.end()

    assert json.loads(feed._look(fresh=True)["head"])["headline"] == "Complete"
    late.set_result(silent)
    assert json.loads(feed._look(fresh=True)["head"])["headline"] == "Complete"


def test_a_provider_that_breaks_leaves_the_page_whole(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Endpoints) -> None:
        raise ValueError("a bug")

    monkeypatch.setattr(Endpoints, "_ask_provider", broken)
    story.begin()
    feed = PageFeed(story.app())
    feed._look(fresh=True)
    wait_until(lambda: feed._answer is not None and feed._answer.done(), "there is no answer")
    assert "head" in feed._look(fresh=True)


def test_a_run_with_open_serves_its_page_until_its_end(installation: Installation) -> None:
    process = subprocess.Popen(
        installation.command("--provider", "host", *installation.port_flags(), "--open", "--output", "json"),
        env=installation.environ(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr
    url = process.stderr.readline().split()[1]
    host, _, path = url.removeprefix("http://").partition("/")
    connection = HTTPConnection(host, timeout=60)
    connection.request("GET", f"/{path}events")
    told = connection.getresponse().read().decode()
    events, _ = process.communicate(timeout=60)

    assert process.returncode == 0, events
    assert "http" not in "".join(line for line in events.splitlines() if url in line)
    shown: dict[str, Any] = {}  # each message holds the sections that have changed
    for line in told.splitlines():
        if line.startswith("data: {"):
            shown |= json.loads(line[6:])["sections"]
    assert shown["head"]["headline"] == "Complete"
    assert told.rstrip().endswith("event: end\ndata:")
