from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from contextcore_install.core.errors import CancelledError, InstallError
from contextcore_install.system import process, supervisor
from contextcore_install.system.machine import start_time
from contextcore_install.system.supervisor import Supervisor
from kit.fakes import Told


def sh(script: str) -> list[str]:
    return ["/bin/sh", "-c", script]


def wait_for(path: Path) -> str:
    end = time.monotonic() + 60
    while not (path.exists() and path.read_text().strip()):
        assert time.monotonic() < end, path
        time.sleep(0.01)
    return path.read_text().strip()


def gone(pid: int) -> bool:
    end = time.monotonic() + 60
    while start_time(pid) is not None:
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def test_lines_of_both_streams_reach_the_log_and_the_result() -> None:
    told = Told()
    done = process.run(sh("echo one; echo two >&2; printf 'no newline'"), told.ctx)
    assert told.lines == ["one", "two", "no newline"]
    assert (done.exit_code, done.lines) == (0, ("one", "two", "no newline"))


def test_a_progress_bar_leaves_its_last_state() -> None:
    told = Told()
    process.run(sh(r"printf '10%%\r50%%\r100%%\n'"), told.ctx)
    assert told.lines == ["100%"]


def test_bytes_that_are_no_text_do_no_harm() -> None:
    assert process.run(sh(r"printf '\377\376\n'")).lines == ("��",)


def test_a_failure_tells_the_command_the_code_and_the_last_lines() -> None:
    with pytest.raises(InstallError) as caught:
        process.run(sh("for i in $(seq 100); do echo $i; done; exit 3"))
    error = caught.value
    assert error.code == "command-failed"
    assert "exit code 3" in error.message
    assert "/bin/sh -c" in error.message
    assert error.evidence.endswith("99\n100")
    assert len(error.evidence.splitlines()) == process.KEEP_LINES


def test_a_signal_is_named() -> None:
    with pytest.raises(InstallError, match="SIGKILL"):
        process.run(sh("kill -9 $$"))


def test_a_command_that_is_not_there_is_said_so() -> None:
    with pytest.raises(InstallError) as caught:
        process.run(["/no/such/program"])
    assert caught.value.code == "command-missing"


def test_an_unchecked_failure_is_a_result() -> None:
    assert process.run(sh("exit 3"), check=False).exit_code == 3


def test_a_timeout_ends_the_command_and_what_it_started(tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(InstallError) as caught:
        process.run(sh(f"sleep 60 & echo $! > {tmp_path}/pid; wait"), timeout_s=1.5)
    assert caught.value.code == "command-timeout"
    assert time.monotonic() - began < 30
    assert gone(int(wait_for(tmp_path / "pid")))


def test_what_ignores_the_kind_signal_is_killed() -> None:
    began = time.monotonic()
    deaf = supervisor.Child(sh("trap '' TERM; while :; do sleep 0.05; done"), None)
    with Supervisor(None, 0.2, grace_s=0.3) as ending:
        ending.add(deaf, lambda _: None)
        with pytest.raises(InstallError, match="did not end within"):
            ending.attend()
    assert deaf.exit_code == -signal.SIGKILL
    assert time.monotonic() - began < 30


def test_what_a_killed_command_said_last_is_seen() -> None:
    taken: list[bytes] = []
    deaf = supervisor.Child(sh("trap '' TERM; printf 'Password: '; while :; do sleep 0.05; done"), None)
    with Supervisor(None, 1.0, grace_s=0.3) as ending:
        ending.add(deaf, taken.append)
        with pytest.raises(InstallError) as caught:
            ending.attend(lambda: f"{len(taken)} pieces")
    assert taken == [b"Password: ", b""], "the empty piece ends the last line"
    assert caught.value.evidence == "2 pieces", "before the error is made"


def test_an_interruption_ends_what_ignores_the_kind_signal_too(tmp_path: Path) -> None:
    def interrupt(_: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        process.run(
            sh(f"trap '' TERM; sleep 60 & echo $! > {tmp_path}/pid; trap - TERM; echo; echo go; wait"), hear=interrupt
        )
    assert gone(int(wait_for(tmp_path / "pid")))


def test_a_command_that_closes_its_output_is_still_held_to_the_limit() -> None:
    began = time.monotonic()
    with pytest.raises(InstallError, match="did not end within"):
        process.run(sh("exec >&- 2>&-; sleep 60"), timeout_s=0.5)
    assert time.monotonic() - began < 30


def test_cancelling_ends_the_command_and_raises_cancelled(tmp_path: Path) -> None:
    told = Told()
    threading.Timer(1.5, told.token.cancel, ["interrupted"]).start()
    began = time.monotonic()
    with pytest.raises(CancelledError):
        process.run(sh(f"sleep 60 & echo $! > {tmp_path}/pid; wait"), told.ctx)
    assert time.monotonic() - began < 30
    assert gone(int(wait_for(tmp_path / "pid")))


def test_nothing_starts_once_the_step_is_to_end(tmp_path: Path) -> None:
    told = Told()
    told.token.cancel("interrupted")
    with pytest.raises(CancelledError):
        process.run(sh(f"touch {tmp_path}/ran"), told.ctx)
    assert not (tmp_path / "ran").exists()


def test_what_a_command_leaves_running_does_not_hold_us(tmp_path: Path) -> None:
    began = time.monotonic()
    done = process.run(sh(f"(trap '' HUP; sleep 30) & echo $! > {tmp_path}/pid; echo done"))
    assert done.lines == ("done",)
    assert time.monotonic() - began < 20
    subprocess.run(["kill", wait_for(tmp_path / "pid")], check=False)


def test_a_hard_exit_leaves_no_child_behind(tmp_path: Path) -> None:
    script = f"""
import os, threading, time
from contextcore_install.system import process, supervisor
argv = ["/bin/sh", "-c", "sleep 60 & echo $! $$ > {tmp_path}/pids; wait"]
threading.Thread(target=process.run, args=(argv,), daemon=True).start()
while not os.path.exists("{tmp_path}/pids"): time.sleep(0.01)
time.sleep(0.1)
supervisor.kill_all_children()
os._exit(9)
"""
    source = str(Path(process.__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", script], env={"PYTHONPATH": source, "PATH": "/usr/bin:/bin"}, check=False
    )
    assert done.returncode == 9
    assert all(gone(int(pid)) for pid in wait_for(tmp_path / "pids").split())
