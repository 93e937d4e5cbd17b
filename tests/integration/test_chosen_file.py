"""A file that a command is told to write: each command refuses the same, in the same words, and offers the same."""

from __future__ import annotations

import subprocess
import tarfile
from pathlib import Path

import pytest

from kit.installation import Installation

WRITERS = {"report": ("report", "-o"), "diagnose": ("diagnose",)}
"""Those that write a file whatever is installed; `backup` is tried with what it saves."""


@pytest.mark.parametrize("words", WRITERS.values(), ids=WRITERS)
def test_a_file_that_exists_is_replaced_only_with_yes(
    installation: Installation, tmp_path: Path, words: tuple[str, ...]
) -> None:
    target = tmp_path / "it's there"
    target.write_text("mine")
    refused = installation.run(*words, str(target))
    assert (refused.returncode, target.read_text()) == (2, "mine")
    assert f"{target} exists" in refused.stderr
    assert "choose another name, or add --yes to replace it" in refused.stderr
    replaced = installation.run(*words, str(target), "--yes")
    assert replaced.returncode == 0, replaced.stderr
    assert target.read_bytes() != b"mine"


@pytest.mark.parametrize("words", WRITERS.values(), ids=WRITERS)
def test_the_folder_that_is_missing_is_made_by_what_is_offered(
    installation: Installation, tmp_path: Path, words: tuple[str, ...]
) -> None:
    target = tmp_path / "it's not there" / "file"
    refused = installation.run(*words, str(target))
    assert refused.returncode == 1
    offered = next(line for line in refused.stderr.splitlines() if "mkdir" in line).removeprefix("  Do    ")
    subprocess.run(["sh", "-c", offered], check=True)
    assert installation.run(*words, str(target)).returncode == 0
    assert target.exists()


@pytest.mark.parametrize("words", WRITERS.values(), ids=WRITERS)
def test_in_a_working_directory_that_was_deleted_one_sentence_says_so(
    installation: Installation, tmp_path: Path, words: tuple[str, ...]
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    line = 'cd "$1" && rmdir "$1" && shift && exec "$@"'
    asked = subprocess.run(
        ["sh", "-c", line, "sh", str(gone), *installation.command(*words, "file")],
        env=installation.environ(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (asked.returncode, "Traceback" in asked.stderr) == (2, False)
    assert "the working directory was deleted" in asked.stderr


def test_a_bundle_goes_to_standard_output(installation: Installation, tmp_path: Path) -> None:
    with (tmp_path / "bundle.tar.gz").open("wb") as file:
        printed = subprocess.run(
            installation.command("diagnose", "-"),
            env=installation.environ(),
            stdout=file,
            stderr=subprocess.PIPE,
            timeout=120,
            check=False,
        )
    assert printed.returncode == 0, printed.stderr
    with tarfile.open(tmp_path / "bundle.tar.gz") as tar:
        assert tar.getnames()[0] == "diagnosis.txt"
    both = installation.run("diagnose", "-", "--output", "json")
    assert both.returncode == 2
