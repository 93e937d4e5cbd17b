"""Commands that answer, and commands that go on printing: bounded in time, and ended with us."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from contextcore_install.core.errors import CancelledError, InstallError
from contextcore_install.system.process import Follower, capture
from kit.fakes import Told

ENVIRON = dict(os.environ)


def test_stdout_and_stderr_come_apart_with_the_exit_code() -> None:
    done = capture(["/bin/sh", "-c", "echo out; echo err >&2; exit 3"], environ=ENVIRON, timeout_s=5)
    assert (done.stdout, done.stderr, done.exit_code) == ("out\n", "err\n", 3)


def test_what_a_command_reads_is_handed_over_whole() -> None:
    text = "x" * 300_000
    assert capture(["/bin/cat"], environ=ENVIRON, timeout_s=5, stdin=text).stdout == text
    assert capture(["/bin/cat"], environ=ENVIRON, timeout_s=5).stdout == ""


def test_a_command_that_is_not_there_or_takes_too_long_is_told() -> None:
    with pytest.raises(InstallError) as caught:
        capture(["/nowhere/tool"], environ=ENVIRON, timeout_s=5)
    assert caught.value.code == "command-missing"
    began = time.monotonic()
    with pytest.raises(InstallError) as caught:
        capture(["/bin/sh", "-c", "sleep 30"], environ=ENVIRON, timeout_s=0.2)
    assert caught.value.code == "command-timeout"
    assert time.monotonic() - began < 20


def test_a_command_that_ends_after_its_output_is_not_waited_for_once_more() -> None:
    began = time.monotonic()
    for _ in range(20):
        capture(["/bin/sh", "-c", "exec >&- 2>&-; sleep 0.01"], environ=ENVIRON, timeout_s=5)
    assert time.monotonic() - began < 4


def test_a_command_ends_when_the_step_is_to_end() -> None:
    told = Told()
    threading.Timer(0.2, told.token.cancel, ["interrupted"]).start()
    began = time.monotonic()
    with pytest.raises(CancelledError):
        capture(["/bin/sh", "-c", "sleep 30"], environ=ENVIRON, timeout_s=20, ctx=told.ctx)
    assert time.monotonic() - began < 20


def test_lines_come_while_the_command_goes_on_and_it_ends_with_the_block() -> None:
    with Follower(["/bin/sh", "-c", "echo one; echo two; exec sleep 30"], ENVIRON) as follower:
        lines = follower.lines()
        assert [next(lines), next(lines)] == ["one", "two"]
        assert follower.alive
        began = time.monotonic()
    assert not follower.alive
    assert time.monotonic() - began < 20


def test_a_command_that_ends_by_itself_closes_its_lines() -> None:
    with Follower(["/bin/sh", "-c", "echo one; echo why >&2; exit 4"], ENVIRON) as follower:
        assert list(follower.lines()) == ["one"]


_PARENT = """
import os, sys
from contextcore_install.system.process import Follower
follower = Follower(["/bin/sh", "-c", "echo $$; exec sleep 60"], dict(os.environ))
print(next(follower.lines()), flush=True)
sys.stdin.read()
"""


def test_what_was_started_beside_us_ends_even_when_we_are_killed(tmp_path: Path) -> None:
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", _PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environ, text=True
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        os.kill(child, 0)
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        deadline = time.monotonic() + 30
        while _lives(child):
            assert time.monotonic() < deadline, "the command outlived us"
            time.sleep(0.02)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # An orphan that nobody has reaped yet is no longer running.
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return bool(state.stdout.strip()) and not state.stdout.strip().startswith("Z")
