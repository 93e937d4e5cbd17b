"""Output that nobody can take, and a working directory that is gone: one answer of all commands."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import IO

import pytest

from kit.installation import Installation

pytestmark = pytest.mark.slow

NOTHING_TO_SAY = ["state", "set", "preflight", "completed"]
FULL: list[tuple[list[str], int]] = [
    *((words.split(), 1) for words in ("--help", "logs --help", "--version", "--status", "clusters", "history")),
    *((words.split(), 1) for words in ("completion bash", "plan", "report -o -", "diagnose", "notify show")),
    *(([*words.split(), "--output", "json"], 1) for words in ("--status", "plan", "clusters")),
    (["--resume", "--repair"], 2),
    (["--output", "json", "--frob"], 2),
    (NOTHING_TO_SAY, 0),
]
SAID = "standard output cannot be written: No space left on device"


def printed_to(
    installation: Installation, words: list[str], stdout: IO[str], stderr: IO[str] | int
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        installation.command(*words),
        env=installation.environ(),
        stdout=stdout,
        stderr=stderr,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux'")
@pytest.mark.parametrize(("words", "code"), FULL, ids=[" ".join(words) for words, _ in FULL])
def test_where_nothing_can_be_printed_every_command_says_so_and_ends_alike(
    installation: Installation, words: list[str], code: int
) -> None:
    with Path("/dev/full").open("w") as full:
        told = printed_to(installation, words, full, subprocess.PIPE)
        prints = words not in (NOTHING_TO_SAY, ["--resume", "--repair"])
        assert (told.returncode, SAID in told.stderr) == (code, prints), told.stderr
        assert "Traceback" not in told.stderr
        assert printed_to(installation, words, full, full).returncode == code


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux'")
def test_a_run_whose_output_is_lost_goes_on_and_says_so_at_its_end(installation: Installation) -> None:
    with Path("/dev/full").open("w") as full:
        words = ["--provider", "host", *installation.port_flags(), "--skip-wait"]
        told = printed_to(installation, words, full, subprocess.PIPE)
    assert (told.returncode, SAID in told.stderr) == (1, True)
    assert installation.status()["steps"][0]["status"] == "completed"


@pytest.mark.parametrize("words", ["--help", "--version", "--status", "completion bash", "report -o -"])
def test_a_reader_that_has_gone_is_no_error(installation: Installation, words: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as pipe:
        done = printed_to(installation, words.split(), pipe, subprocess.PIPE)
    assert (done.returncode, done.stderr) == (0, "")


RELATIVE = ["backup -o x", "restore x --yes --cluster test", "--manifests d", "report -o x", "diagnose x"]
"""What takes a path; the library behind `notify` asks for the folder too."""


@pytest.mark.parametrize("words", ["--status", "clusters", "plan", "--help", "notify show", *RELATIVE])
def test_in_a_folder_that_was_deleted_commands_work_or_say_so(installation: Installation, words: str) -> None:
    installation.run(*NOTHING_TO_SAY)
    gone = installation.folder / "gone"
    gone.mkdir()
    script = 'cd "$0" && rmdir "$0" && exec "$@"'
    done = subprocess.run(
        ["sh", "-c", script, str(gone), *installation.command(*words.split())],
        env=installation.environ(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stdout + done.stderr
    refused = words in RELATIVE or words == "notify show"
    assert done.returncode == (2 if refused else 0), done.stderr
    assert ("the working directory was deleted" in done.stderr) == refused


def test_a_reader_that_goes_away_does_not_break_a_run(installation: Installation) -> None:
    command = installation.command("--provider", "host", *installation.port_flags())
    with subprocess.Popen(command, env=installation.environ(), stdout=subprocess.PIPE) as running:
        assert running.stdout
        running.stdout.readline()
        running.stdout.close()
        assert running.wait(120) == 0
    assert installation.status()["overall"] == "complete"
