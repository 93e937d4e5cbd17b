"""Questions on a terminal: what is not agreed to is not done, said in words, and ends with 130."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.installation import Installation, end
from kit.stores import wait_until

LIMIT_S = 120.0
CTRL_C, CTRL_D = b"\x03", b"\x04"


def answered(place: Installation, answer: bytes, *words: str) -> tuple[int, str]:
    """Run the program on a terminal of its own, type the answer when it asks, and return its exit code and output."""
    code, _, after = conversation(place, answer, *words)
    return code, after


def conversation(place: Installation, answer: bytes, *words: str) -> tuple[int, str, str]:
    """Do as `answered`, and return what was said before the answer as well."""
    process, ours = _on_terminal(place, words)
    try:
        said = ""
        while not said.rstrip().endswith(("[Y/n]", "[y/N]", "go on:")):
            said += _read(ours)
        os.write(ours, answer)
        after = ""
        while piece := _read(ours):
            after += piece
        return process.wait(LIMIT_S), said, after
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def _on_terminal(place: Installation, words: tuple[str, ...]) -> tuple[subprocess.Popen[bytes], int]:
    """Start the program with a new terminal as its controlling one, so that Ctrl-C typed there is a signal to it."""
    ours, theirs = pty.openpty()
    name = os.ttyname(theirs)
    shell = ["sh", "-c", f'exec "$@" <{name} >{name} 2>&1', "sh", *place.command(*words)]
    process = subprocess.Popen(shell, env=place.environ(), start_new_session=True)
    wait_until(lambda: process.poll() is not None or os.tcgetpgrp(ours) == process.pid, "no terminal")
    os.close(theirs)
    return process, ours


def _read(descriptor: int) -> str:
    end_at = time.monotonic() + LIMIT_S
    ready, _, _ = select.select([descriptor], [], [], end_at - time.monotonic())
    assert ready, "nothing is said any more"
    try:
        return os.read(descriptor, 65536).decode(errors="replace")
    except OSError:  # the other side is closed
        return ""


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation whose store has ended, with a backup in `kept.tar.gz`; no test here changes it."""
    place = Installation(tmp_path_factory.mktemp("questions"))
    try:
        done = place.install()
        assert done.returncode == 0, done.stdout + done.stderr
        made = place.run("backup", "-o", str(place.folder / "kept.tar.gz"))
        assert made.returncode == 0, made.stderr
        for process in place.processes():
            end(process)
        yield place
    finally:
        place.remove()


ASKING = {"--repair": b"n\n", "rollback": b"n\n", "delete": b"another\n", "restore": b"another\n"}


def words_of(place: Installation, command: str) -> tuple[str, ...]:
    return (command, str(Path(place.folder, "kept.tar.gz"))) if command == "restore" else (command,)


@pytest.mark.parametrize("command", ASKING)
def test_what_is_declined_is_not_done_and_said(broken: Installation, command: str) -> None:
    before = broken.state.read_bytes()
    for answer in (ASKING[command], CTRL_C, CTRL_D):
        code, after = answered(broken, answer, *words_of(broken, command))
        assert code == 130, (answer, after)
        assert "nothing was changed" in after
        if answer in (CTRL_C, CTRL_D):
            # A terminal may show the question once more behind ^C, where the signal met its writing.
            assert re.search(r"(^|: |\] )(\^C)?\r\n✗ ", after), "what follows has a line of its own"
    assert broken.state.read_bytes() == before
    assert not (broken.files / "restore").exists()


def test_delete_shows_the_folder_and_its_size_before_it_asks(broken: Installation) -> None:
    _, said, _ = conversation(broken, b"another\n", "delete")
    assert re.search(rf"\d [KM]iB in {re.escape(str(broken.files))}\. Type its name", said), said


def test_enter_alone_takes_nothing_away(broken: Installation) -> None:
    before = broken.state.read_bytes()
    code, after = answered(broken, b"\n", "rollback")
    assert (code, "nothing was changed" in after) == (130, True)
    assert broken.state.read_bytes() == before


@pytest.mark.parametrize("command", ASKING)
def test_where_nobody_can_be_asked_the_command_that_says_it_is_told(broken: Installation, command: str) -> None:
    refused = broken.run(*words_of(broken, command))
    assert refused.returncode == (1 if command == "--repair" else 2)
    assert f"{command} --" in refused.stdout + refused.stderr
    assert "--yes" in refused.stdout + refused.stderr
