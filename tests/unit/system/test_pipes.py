"""What one command prints goes to several at once, and none of them is left behind."""

from __future__ import annotations

import io
import os
import threading
import time
from pathlib import Path

import pytest

from contextcore_install.core.errors import CancelledError, InstallError
from contextcore_install.system.process import Captured, pipe
from kit.fakes import Told

MUCH = 8 * 1024 * 1024


def shell(text: str) -> list[str]:
    return ["/bin/sh", "-c", text]


def run(source: str, *sinks: str, timeout_s: float = 30, told: Told | None = None) -> tuple[Captured, list[Captured]]:
    commands = [shell(sink) for sink in sinks]
    ctx = told.ctx if told else None
    return pipe(shell(source), commands, environ=os.environ, timeout_s=timeout_s, ctx=ctx)


def test_every_byte_reaches_every_sink(tmp_path: Path) -> None:
    moved: list[int] = []
    data = os.urandom(MUCH)
    (tmp_path / "data").write_bytes(data)
    sinks = [shell(f"sleep 0.{number}; cat >{tmp_path / str(number)}") for number in range(3)]
    source, ended = pipe(["cat", str(tmp_path / "data")], sinks, environ=os.environ, timeout_s=30, moved=moved.append)
    assert [source.exit_code, *(one.exit_code for one in ended)] == [0, 0, 0, 0]
    assert all((tmp_path / str(number)).read_bytes() == data for number in range(3))
    assert moved[-1] == MUCH


def test_every_byte_of_an_open_file_reaches_every_sink_from_where_it_stands(tmp_path: Path) -> None:
    data, moved = os.urandom(MUCH), list[int]()
    (tmp_path / "data").write_bytes(b"before" + data)
    sinks = [shell(f"sleep 0.{number}; cat >{tmp_path / str(number)}") for number in range(3)]
    with (tmp_path / "data").open("rb") as file:
        file.seek(len(b"before"))
        source, ended = pipe(file, sinks, environ=os.environ, timeout_s=30, moved=moved.append)
    assert [source.exit_code, *(one.exit_code for one in ended)] == [0, 0, 0, 0]
    assert all((tmp_path / str(number)).read_bytes() == data for number in range(3))
    assert moved[-1] == MUCH


def test_a_sink_that_ends_early_keeps_the_bytes_of_a_file_from_no_other(tmp_path: Path) -> None:
    with Path("/dev/zero").open("rb") as endless, io.BytesIO(endless.read(MUCH)) as file:
        sinks = [shell("echo no >&2; exit 3"), shell(f"cat >{tmp_path / 'taken'}")]
        _, (refuses, takes) = pipe(file, sinks, environ=os.environ, timeout_s=30)
    assert (refuses.exit_code, refuses.stderr, takes.exit_code) == (3, "no\n", 0)
    assert (tmp_path / "taken").stat().st_size == MUCH


def test_a_file_that_nobody_reads_is_not_read_on() -> None:
    with Path("/dev/zero").open("rb") as endless:
        _, (sink,) = pipe(endless, [shell("exit 3")], environ=os.environ, timeout_s=30)
    assert sink.exit_code == 3


def test_a_sink_that_ends_early_keeps_the_bytes_from_no_other(tmp_path: Path) -> None:
    source, (refuses, takes) = run(f"head -c {MUCH} /dev/zero", "echo no >&2; exit 3", f"cat >{tmp_path / 'taken'}")
    assert (source.exit_code, refuses.exit_code, refuses.stderr, takes.exit_code) == (0, 3, "no\n", 0)
    assert (tmp_path / "taken").stat().st_size == MUCH


@pytest.mark.parametrize("before", ["", "sleep 0.5; "], ids=["at once", "after its reader has ended"])
def test_a_source_that_nobody_reads_ends(before: str) -> None:
    began = time.monotonic()
    source, (sink,) = run(f"{before}cat /dev/zero", "exit 3")
    assert sink.exit_code == 3
    assert source.exit_code != 0
    assert time.monotonic() - began < 20


def test_a_source_that_fails_is_told_and_the_sinks_see_an_end() -> None:
    source, (sink,) = run("echo part; echo broken >&2; exit 4", "cat >&2")
    assert (source.exit_code, source.stderr, sink.exit_code, sink.stderr) == (4, "broken\n", 0, "part\n")


def test_what_does_not_end_in_time_is_ended(tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(InstallError) as caught:
        run("cat /dev/zero", f"echo $$ >{tmp_path / 'pid'}; echo stuck >&2; sleep 60", timeout_s=1)
    assert (caught.value.code, caught.value.retryable, caught.value.evidence) == ("command-timeout", True, "stuck\n")
    assert time.monotonic() - began < 30
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists()


def test_a_command_that_is_missing_leaves_none_behind(tmp_path: Path) -> None:
    with pytest.raises(InstallError) as caught:
        pipe(shell(f"echo $$ >{tmp_path / 'pid'}; sleep 60"), [["no-such-program"]], environ=os.environ, timeout_s=30)
    assert caught.value.code == "command-missing"


def test_all_end_with_the_step() -> None:
    told = Told()
    threading.Timer(0.5, told.token.cancel, ["Ctrl-C"]).start()
    began = time.monotonic()
    with pytest.raises(CancelledError):
        run("cat /dev/zero", "sleep 60", told=told)
    assert time.monotonic() - began < 30
