from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from contextcore_install.core.dataclass import asdict, replace
from contextcore_install.core.errors import InstallError
from contextcore_install.system import daemons as daemons_module
from contextcore_install.system.daemons import LOG_LIMIT, MARKER, Daemon, Daemons, Record, parse_record
from contextcore_install.system.machine import boot_id, start_time
from kit.stores import wait_until

SLEEP = ("/bin/sh", "-c", "echo hello; exec sleep 300")
STUBBORN = ("/bin/sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done")


@pytest.fixture
def daemons(tmp_path: Path) -> Iterator[Daemons]:
    made = Daemons(tmp_path, tmp_path)
    yield made
    for name in made.names():
        made.stop(name, term_s=1)
    for forgotten in daemons_module._children.values():
        if forgotten.poll() is None:
            os.killpg(forgotten.pid, signal.SIGKILL)
            forgotten.wait()


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    """A process that is not ours, and must never be signalled."""
    with subprocess.Popen(["sleep", "300"], start_new_session=True) as process:
        yield process
        assert process.poll() is None, "it was signalled"
        process.kill()


def daemon(tmp_path: Path, argv: tuple[str, ...] = SLEEP, fingerprint: str = "f") -> Daemon:
    return Daemon("it", argv, {"PATH": "/usr/bin:/bin"}, tmp_path, fingerprint)


def test_a_started_process_is_detached_and_found_again(daemons: Daemons, tmp_path: Path) -> None:
    record = daemons.start(daemon(tmp_path))
    again = Daemons(tmp_path, tmp_path).look("it")
    assert again.alive
    assert again.record == record
    assert os.getsid(record.pid) == record.pid
    wait_until(lambda: daemons.last_words("it", 5) == ["hello"])
    assert daemons.record_path("it").stat().st_mode & 0o777 == 0o600


def test_stopping_is_kind_first_and_takes_the_record_away(daemons: Daemons, tmp_path: Path) -> None:
    record = daemons.start(daemon(tmp_path))
    assert daemons.stop("it")
    assert start_time(record.pid) is None
    assert daemons.names() == []
    assert not daemons.stop("it")


def test_what_does_not_listen_is_killed(daemons: Daemons, tmp_path: Path) -> None:
    record = daemons.start(daemon(tmp_path, STUBBORN))
    wait_until(lambda: daemons.last_words("it", 1) == ["ready"])
    assert daemons.stop("it", term_s=0.2)
    assert start_time(record.pid) is None


def test_a_killed_process_is_dead_and_its_exit_code_known(daemons: Daemons, tmp_path: Path) -> None:
    record = daemons.start(daemon(tmp_path))
    os.kill(record.pid, signal.SIGKILL)
    wait_until(lambda: not daemons.look("it").alive)
    assert daemons.look("it").exit_code == -signal.SIGKILL


def test_starting_twice_leaves_one_process(daemons: Daemons, tmp_path: Path) -> None:
    first = daemons.start(daemon(tmp_path))
    second = daemons.start(daemon(tmp_path))
    assert start_time(first.pid) is None
    assert daemons.look("it").record == second


def test_a_pid_that_is_another_process_now_is_never_signalled(
    daemons: Daemons, tmp_path: Path, bystander: subprocess.Popen[bytes]
) -> None:
    started = start_time(bystander.pid)
    assert started is not None
    stale = Record(bystander.pid, started - 100, boot_id(), "sh", SLEEP, "f")
    daemons.record_path("it").write_text(json.dumps(asdict(stale)))
    sighting = daemons.look("it")
    assert not sighting.alive
    assert "another process's" in sighting.note
    assert not daemons.stop("it")
    daemons.start(daemon(tmp_path))


def test_after_a_restart_of_the_machine_nothing_is_alive_or_signalled(
    tmp_path: Path, bystander: subprocess.Popen[bytes]
) -> None:
    started = start_time(bystander.pid)
    assert started is not None
    # The same pid and the same start time, counted from the start of the machine: only the boot tells them apart.
    earlier = Record(bystander.pid, started, "earlier boot", "sh", SLEEP, "f")
    daemons = Daemons(tmp_path, tmp_path)
    daemons.record_path("it").write_text(json.dumps(asdict(earlier)))
    sighting = daemons.look("it")
    assert not sighting.alive
    assert sighting.rebooted
    assert not daemons.stop("it")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not json",
        "4711",
        "[1]",
        "null",
        '{"pid": 1, "started": 1.0, "argv": []}',
        '{"pid": -1, "started": 1.0, "argv": []}',
        '{"pid": true, "started": 1.0, "argv": []}',
        '{"pid": "4711", "started": 1.0, "argv": []}',
        '{"pid": 4711, "argv": []}',
        '{"pid": 4711, "started": 1.0}',
        '{"pid": 99999999999999, "started": 1.0, "argv": []}',
        "[" * 100_000,
    ],
)
def test_a_damaged_record_gets_a_sentence_and_is_not_acted_on(daemons: Daemons, tmp_path: Path, text: str) -> None:
    assert parse_record(text) is None
    daemons.record_path("it").write_text(text)
    sighting = daemons.look("it")
    assert not sighting.alive
    assert "damaged" in sighting.note
    assert not daemons.stop("it")


def test_a_record_that_is_no_text_gets_a_sentence(daemons: Daemons) -> None:
    daemons.record_path("it").write_bytes(b"\xff\xfe\x00")
    assert "cannot be read" in daemons.look("it").note


def test_the_process_of_a_lost_record_is_found_by_its_mark(daemons: Daemons, tmp_path: Path) -> None:
    record = daemons.start(daemon(tmp_path))
    for content in (None, "damaged"):
        if content is None:
            daemons.forget("it")
        else:
            daemons.record_path("it").write_text(content)
        sighting = daemons.look("it")
        assert sighting.alive
        assert sighting.record is not None
        assert sighting.record.pid == record.pid
        # What it was started with is not known any more, so nothing counts as the same.
        assert sighting.record.fingerprint == ""
    second = daemons.start(daemon(tmp_path))
    assert start_time(record.pid) is None
    assert daemons.look("it").record == second


def test_what_ends_between_two_looks_at_it_leaves_no_zombie(
    daemons: Daemons, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = daemons.start(daemon(tmp_path))
    is_alive = daemons_module._is_alive

    def ends_now(asked: Record) -> bool:
        os.kill(asked.pid, signal.SIGKILL)
        wait_until(lambda: not is_alive(asked), "it lives on")
        return False

    monkeypatch.setattr(daemons_module, "_is_alive", ends_now)
    assert daemons_module._wait_gone(record, 5, None)
    assert daemons_module._children[record.pid].returncode == -signal.SIGKILL


def test_the_children_of_a_process_are_not_taken_for_it(daemons: Daemons, tmp_path: Path) -> None:
    record = daemons.start(daemon(tmp_path, ("/bin/sh", "-c", "sleep 300 & wait")))
    daemons.forget("it")
    sighting = daemons.look("it")
    assert sighting.record is not None
    assert sighting.record.pid == record.pid


def test_an_installer_killed_right_after_the_start_leaves_a_process_that_is_found(
    daemons: Daemons, tmp_path: Path
) -> None:
    script = f"""
import os, signal
from pathlib import Path
from contextcore_install.system.daemons import Daemon, Daemons

class Killed(Daemons):
    def _write(self, name, record):
        if record.pid:
            os.kill(os.getpid(), signal.SIGKILL)
        super()._write(name, record)

folder = Path({str(tmp_path)!r})
Killed(folder, folder).start(Daemon("it", {SLEEP!r}, {{"PATH": "/usr/bin:/bin"}}, folder, "f"))
"""
    source = str(Path(daemons_module.__file__).parents[2])
    done = subprocess.run([sys.executable, "-c", script], env={"PYTHONPATH": source}, check=False)
    assert done.returncode == -signal.SIGKILL
    # Popen goes on when the pipe to its child closes, which is before the child shows its environment.
    wait_until(lambda: daemons.look("it").alive)
    sighting = daemons.look("it")
    assert "about to be started" in sighting.note
    orphan = sighting.record
    assert orphan is not None
    second = daemons.start(daemon(tmp_path))
    assert start_time(orphan.pid) is None
    assert second.pid != orphan.pid


def test_what_cannot_be_started_leaves_no_record(daemons: Daemons, tmp_path: Path) -> None:
    with pytest.raises(InstallError) as caught:
        daemons.start(daemon(tmp_path, ("/no/such/program",)))
    assert caught.value.code == "process-start"
    assert daemons.names() == []


def test_last_words_are_those_of_the_last_start(daemons: Daemons, tmp_path: Path) -> None:
    for word in ("first", "second"):
        daemons.start(daemon(tmp_path, ("/bin/sh", "-c", f"echo {word}; exit 1")))
        wait_until(lambda: not daemons.look("it").alive)
    assert daemons.last_words("it", 9) == ["second"]


def test_a_large_log_is_put_aside(daemons: Daemons, tmp_path: Path) -> None:
    daemons.log_path("it").write_bytes(b"x" * (LOG_LIMIT + 1))
    daemons.start(daemon(tmp_path))
    wait_until(lambda: daemons.last_words("it", 9) == ["hello"])
    assert (tmp_path / "it.log.1").stat().st_size == LOG_LIMIT + 1


def test_a_zombie_is_dead(daemons: Daemons, tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "300"]) as child:
        started = start_time(child.pid)
        assert started is not None
        record = Record(child.pid, started, boot_id(), "sleep", ("sleep",), "f")
        daemons.record_path("it").write_text(json.dumps(asdict(record)))
        assert daemons.look("it").alive
        child.kill()
        wait_until(lambda: not daemons.look("it").alive)


def test_the_mark_is_the_record_so_two_folders_never_mix(daemons: Daemons, tmp_path: Path) -> None:
    daemons.start(daemon(tmp_path))
    other = tmp_path / "other"
    other.mkdir()
    assert not Daemons(other, other).look("it").alive
    assert MARKER == "CONTEXTCORE_CLUSTER_COMPONENT"


def test_records_of_a_later_version_are_read(daemons: Daemons, tmp_path: Path) -> None:
    record = daemons.start(daemon(tmp_path))
    text = json.dumps({**asdict(record), "new": 1})
    assert parse_record(text) == record
    assert parse_record(json.dumps({**asdict(record), "log_start": "?"})) == replace(record, log_start=0)
