"""create-cluster.sh as people run it: real processes, an empty HOME, and no network."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from integration.first_start import INTERPRETER, ROOT, Checkout, executable

REAL = ROOT / "create-cluster.sh"
"""The program itself, which needs its packages only for what it does with them."""


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_the_program_gets_every_argument_untouched(checkout: Checkout) -> None:
    arguments = ["--cluster", "two words", "", "a\nb", "it's", '"$HOME"', "*", "-x", "--", "\\n", "ü"]

    assert checkout.start(*arguments).arguments == arguments


def test_the_programs_exit_code_is_the_launchers(checkout: Checkout) -> None:
    assert checkout.start("exit", "70").returncode == 70


def test_it_works_from_any_folder_and_through_links(checkout: Checkout, tmp_path: Path) -> None:
    elsewhere = tmp_path / "some where"
    elsewhere.mkdir()
    (elsewhere / "absolute").symlink_to(checkout.script)
    (elsewhere / "relative").symlink_to("absolute")
    (tmp_path / "folder").symlink_to(checkout.root, target_is_directory=True)

    assert checkout.start("x", cwd=elsewhere, script="../tree with spaces/create-cluster.sh").arguments == ["x"]
    assert checkout.start("x", cwd=elsewhere, script="./relative").arguments == ["x"]
    assert checkout.start("x", cwd=Path("/"), script=tmp_path / "folder/create-cluster.sh").arguments == ["x"]
    assert checkout.start("x", cwd=checkout.root, script=["sh", "create-cluster.sh"]).arguments == ["x"]


def test_the_program_knows_the_command_that_was_typed(checkout: Checkout) -> None:
    started = checkout.start(cwd=checkout.root, script="./create-cluster.sh")

    assert started.program == "./create-cluster.sh"


@pytest.mark.parametrize("umask", [0o022, 0])
def test_everything_is_kept_in_private_folders(checkout: Checkout, umask: int) -> None:
    for _ in range(2):  # bytecode is cached from the second start on
        checkout.start(umask=umask)

    everything = [checkout.home, *checkout.home.rglob("*")]
    assert [path for path in everything if path.stat().st_mode & 0o022] == []
    assert [path for path in everything if path.is_dir() and path.stat().st_mode & 0o777 != 0o700] == []
    assert not list(checkout.root.rglob("__pycache__"))


@pytest.mark.parametrize("home", [None, ""])
def test_without_home_it_says_what_to_type(checkout: Checkout, home: str | None) -> None:
    started = checkout.start("--status", script=REAL, HOME=home, CONTEXTCORE_HOME=None)

    assert started.returncode == 4
    assert "HOME is not set" in started.stderr
    assert "Traceback" not in started.stderr


def test_contextcore_home_is_enough(checkout: Checkout, tmp_path: Path) -> None:
    assert checkout.start("x", HOME=None, CONTEXTCORE_HOME=str(tmp_path / "own")).arguments == ["x"]
    assert (tmp_path / "own" / "runtime" / "python").exists()


def test_a_tilde_that_no_shell_expanded_is_the_users_home(checkout: Checkout) -> None:
    assert checkout.start("x", CONTEXTCORE_HOME="~/.contextcore").arguments == ["x"]
    assert checkout.remembered()[0] == INTERPRETER


def test_a_home_that_follows_the_working_directory_is_refused_with_one_that_does_not(
    checkout: Checkout, tmp_path: Path
) -> None:
    folder = tmp_path / "it's here"
    folder.mkdir()

    started = checkout.start("--status", script=REAL, CONTEXTCORE_HOME="own", cwd=folder)

    assert started.returncode == 4
    assert f"export CONTEXTCORE_HOME={shlex.quote(str(folder / 'own'))}" in started.stderr
    assert list(folder.iterdir()) == []


HELP = [["--help"], ["-h"], ["--version"], ["logs", "--help"], ["--cluster", "two", "state", "-h"]]


@pytest.mark.parametrize("words", HELP, ids=" ".join)
@pytest.mark.parametrize(
    "home", [None, "/nonexistent/home", "/proc", "relative"], ids=["none", "gone", "read-only", "relative"]
)
def test_help_and_version_need_no_packages_no_network_and_no_home(
    checkout: Checkout, words: list[str], home: str | None
) -> None:
    (checkout.bin / "uv").unlink()
    started = checkout.start(*words, script=REAL, HOME=home, PIP_FIND_LINKS="", SUDO_USER="joe")

    assert (started.returncode, started.stderr) == (0, "")
    assert ("usage: " in started.stdout) == ("--version" not in words)
    assert not checkout.runtimes.exists()


def test_help_is_given_in_a_folder_that_was_deleted(checkout: Checkout, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    command = ["sh", "-c", 'cd "$1" && rmdir "$1" && exec "$2" --help', "sh", str(gone), str(REAL)]
    done = subprocess.run(command, env=checkout.environment(), capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout[:6]) == (0, "usage:")
    assert "Traceback" not in done.stderr  # some shells say themselves that they cannot tell where they are


def test_a_word_that_only_looks_like_help_is_no_reason_to_go_without_packages(checkout: Checkout) -> None:
    assert checkout.start("--", "--help").arguments == ["--", "--help"]
    assert checkout.start("x", "--help").arguments == ["x", "--help"]


def test_a_shim_is_looked_through_once_and_the_interpreter_remembered(checkout: Checkout) -> None:
    calls = checkout.base / "calls"
    shim = f'#!/bin/sh\necho called >>{shlex.quote(str(calls))}\nexec {shlex.quote(INTERPRETER)} "$@"\n'
    executable(checkout.bin / "python3", shim)

    assert checkout.start("first").arguments == ["first"]
    before = calls.read_text()
    assert checkout.start("second").arguments == ["second"]

    assert calls.read_text() == before
    assert checkout.remembered()[0] == INTERPRETER


@pytest.mark.parametrize("line", [0, 1], ids=["interpreter", "its standard library"])
def test_a_remembered_interpreter_that_has_gone_is_searched_for_again(checkout: Checkout, line: int) -> None:
    checkout.start()
    lines = checkout.remembered()
    lines[line] = "/nonexistent/python"
    (checkout.runtimes / "python").write_text("".join(f"{text}\n" for text in lines))

    assert checkout.start("x").arguments == ["x"]
    assert checkout.remembered()[0] == INTERPRETER


@pytest.mark.parametrize(
    "content", ["", "\n", "\0\0", "/\n", "x" * 100_000, "/bin/true\n", f"/bin/true\n{os.__file__}\n"]
)
def test_a_spoilt_memory_is_replaced(checkout: Checkout, content: str) -> None:
    checkout.start()
    (checkout.runtimes / "python").write_text(content)

    assert checkout.start("x").arguments == ["x"]
    assert checkout.remembered()[0] == INTERPRETER


def fake_python(checkout: Checkout, version: str) -> None:
    """Put a `python3` of another version on the path: it answers the question for its version and no other."""
    executable(checkout.bin / "python3", f"#!/bin/sh\necho '{version} {checkout.bin}/python3'\n")


@pytest.mark.parametrize("version", ["3.9", "3.10", "2.7"])
def test_a_python_that_is_too_old_is_named(checkout: Checkout, version: str) -> None:
    fake_python(checkout, version)
    checkout.hide_other_pythons()

    started = checkout.start()

    assert started.returncode == 3
    assert f"Python 3.11 or newer is needed and only Python {version} (" in started.stderr
    assert started.stderr.count("\n") == 1
    assert not checkout.home.exists()


def test_without_any_python_it_says_what_to_type(checkout: Checkout) -> None:
    (checkout.bin / "python3").unlink()
    checkout.hide_other_pythons()

    started = checkout.start()

    assert started.returncode == 3
    assert "Python 3.11 or newer is needed and no Python was found; type: " in started.stderr


def test_an_old_python_that_comes_first_does_not_hide_a_newer_one(checkout: Checkout) -> None:
    fake_python(checkout, "3.9")
    (checkout.bin / "python3.11").symlink_to(INTERPRETER)

    assert checkout.start("x").arguments == ["x"]


def test_a_shim_for_a_version_that_is_not_installed_is_passed_over(checkout: Checkout) -> None:
    executable(checkout.bin / "python3", "#!/bin/sh\necho 'python3: command not found' >&2\nexit 127\n")
    (checkout.bin / "python3.13").symlink_to(INTERPRETER)

    assert checkout.start("x").arguments == ["x"]


def test_a_home_of_another_user_under_sudo_is_refused_and_nothing_written(checkout: Checkout) -> None:
    home = checkout.base / "of another user"
    home.mkdir()
    if os.geteuid() == 0:
        os.chown(home, 12345, 12345)
    else:
        home = Path("/")

    started = checkout.start("--yes", HOME=str(home), CONTEXTCORE_HOME=None, SUDO_USER="joe")

    assert started.returncode == 3
    assert f"the owner of HOME ({home}); type it without sudo: {checkout.script} --yes" in started.stderr.replace(
        "'", ""
    )
    assert os.geteuid() or not list(home.iterdir())


def test_a_later_start_uses_no_installer_and_no_network(checkout: Checkout) -> None:
    checkout.start()
    (checkout.bin / "uv").unlink()
    closed: dict[str, Any] = {
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "PIP_INDEX_URL": "http://127.0.0.1:9",
        "PIP_FIND_LINKS": "",
    }

    started = checkout.start("x", **closed)

    assert (started.arguments, started.stderr) == (["x"], "")


def test_signals_reach_the_program_itself(checkout: Checkout) -> None:
    checkout.start()
    with subprocess.Popen([checkout.script, "sleep"], env=checkout.environment(), stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == -signal.SIGTERM


def test_the_interpreters_environment_variables_change_nothing(checkout: Checkout) -> None:
    (checkout.base / "os.py").write_text("raise SystemExit('shadowed')")
    misleading: dict[str, Any] = {
        "PYTHONPATH": str(checkout.base),
        "PYTHONHOME": "/nonexistent",
        "PYTHONSTARTUP": "/nonexistent",
    }

    assert checkout.start("x", cwd=checkout.base, **misleading).arguments == ["x"]


@pytest.mark.skipif(sys.platform != "linux", reason="a console without UTF-8 is told by LC_ALL=C")
def test_it_runs_in_the_c_locale(checkout: Checkout) -> None:
    assert checkout.start("ü", LC_ALL="C").arguments == ["ü"]
