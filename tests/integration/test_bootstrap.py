"""The first start: interrupted, doubled, cut off from its packages; and what is left behind each time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from integration.first_start import INTERPRETER, ROOT, Checkout
from kit.stores import wait_until

pytestmark = pytest.mark.slow

CLOSED = "http://127.0.0.1:9/simple"


#: Debian's python3 comes without; the tests then cover uv, and what happens without either.
HAS_PIP = (
    subprocess.run([INTERPRETER, "-m", "pip", "--version"], capture_output=True, env={}, check=False).returncode == 0
)
needs_pip = pytest.mark.skipif(not HAS_PIP, reason="this interpreter has no pip")


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def begin(checkout: Checkout, *arguments: str, **changes: str) -> subprocess.Popen[str]:
    """Start without waiting for the end."""
    return subprocess.Popen(
        [checkout.script, *arguments],
        env=checkout.environment(**changes),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def slow_uv(checkout: Checkout, seconds: float) -> Path:
    """Make uv leave something half-made, note that it runs, and take its time; return the file of its notes.

    It takes so many seconds, or until the file `uv.go` is beside that of its notes.
    """
    notes = checkout.base / "uv.notes"
    half = 'while [ $# -gt 0 ]; do [ "$1" = --target ] && echo half >"$2/half-made"; shift; done'
    ticks = round(10 * seconds)
    pause = f'i=0; while [ $i -lt {ticks} ] && [ ! -e "{checkout.base}/uv.go" ]; do sleep 0.1; i=$((i + 1)); done'
    checkout.wrap_uv(f'(set -- "$@"; {half})\necho $$ >>"{notes}"\n{pause}\nexec "$UV" "$@"')
    return notes


def test_it_says_what_it_does_once_and_then_nothing(checkout: Checkout) -> None:
    first, second = checkout.start(), checkout.start()

    assert f"Preparing once: 1 packages into {checkout.runtimes}" in first.stderr
    assert second.stderr == ""
    assert (checkout.runtime() / "wheelhouse_package.py").exists()


def test_two_first_starts_at_once_prepare_one_runtime(checkout: Checkout) -> None:
    notes = slow_uv(checkout, 6)
    starts = [begin(checkout, str(number)) for number in range(3)]
    ends = [start.communicate(timeout=90) for start in starts]

    assert [start.returncode for start in starts] == [0, 0, 0]
    assert len(notes.read_text().splitlines()) == 1
    assert sum("waiting" in stderr for _, stderr in ends) == 2
    assert checkout.half_made() == []


def test_killed_in_the_middle_it_starts_as_if_nothing_had_been(checkout: Checkout) -> None:
    notes = slow_uv(checkout, 120)
    killed = begin(checkout)
    wait_until(notes.exists)
    killed.kill()
    killed.communicate()

    again = begin(checkout, "x")
    assert again.stderr
    assert any("waiting" in line for line in again.stderr)  # for the installer that outlived its parent
    (checkout.base / "uv.go").touch()
    again.communicate(timeout=120)

    assert again.returncode == 0
    assert checkout.half_made() == []
    assert len(notes.read_text().splitlines()) == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted_it_clears_up_and_says_how_to_carry_on(checkout: Checkout, number: signal.Signals) -> None:
    notes = slow_uv(checkout, 30)
    started = begin(checkout, "two words")
    wait_until(lambda: notes.exists() and notes.read_text().strip())
    started.send_signal(number)
    _, stderr = started.communicate(timeout=60)

    assert started.returncode == 130
    assert f"type again: '{checkout.script}' 'two words'" in stderr
    assert "Traceback" not in stderr
    assert checkout.half_made() == []
    wait_until(lambda: has_ended(int(notes.read_text())))


def has_ended(pid: int) -> bool:
    """Whether a process is gone, or waits for nothing but somebody to ask how it ended."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_there_is_a_sign_of_life_every_five_seconds(checkout: Checkout) -> None:
    slow_uv(checkout, 5)

    assert "still preparing (4 s)" in checkout.start().stderr


def test_a_torn_runtime_is_prepared_again(checkout: Checkout) -> None:
    checkout.start()
    runtime = checkout.runtime()
    (runtime / ".complete").unlink()
    (runtime / "wheelhouse_package.py").unlink()

    assert checkout.start("x").arguments == ["x"]
    assert checkout.half_made() == []


def test_a_runtime_that_has_lost_a_file_is_prepared_again(checkout: Checkout) -> None:
    checkout.start()
    (checkout.runtime() / "wheelhouse_package.py").unlink()

    started = checkout.start("two words")

    assert started.arguments == ["two words"]
    assert "wheelhouse_package.py is missing or damaged; preparing the packages again." in started.stderr


def test_a_lost_file_that_only_a_step_missed_is_replaced_and_the_run_begun_anew(checkout: Checkout) -> None:
    checkout.start()
    program = checkout.root / "src/contextcore_install/__main__.py"
    program.write_text(
        "from importlib.util import find_spec\n\n\n"
        "def main(argv):\n    print('begun')\n    return 0 if find_spec('wheelhouse_package') else 70\n"
    )
    (checkout.runtime() / "wheelhouse_package.py").unlink()

    started = checkout.start()

    assert (started.returncode, started.stdout.count("begun")) == (0, 1)
    assert "wheelhouse_package.py is missing or damaged; preparing the packages again." in started.stderr


def test_a_missing_module_of_our_own_is_no_reason_to_prepare_again(checkout: Checkout) -> None:
    checkout.start()
    (checkout.root / "src/contextcore_install/__main__.py").write_text("import nothing_like_it\n")

    started = checkout.start()

    assert "No module named 'nothing_like_it'" in started.stderr
    assert "preparing" not in started.stderr


def test_other_pins_get_a_runtime_of_their_own_and_old_ones_are_thinned(checkout: Checkout) -> None:
    checkout.start()
    used_today = checkout.runtime()
    old = [checkout.runtimes / name for name in ("oldest", "older", "previous")]
    for age, folder in zip((90, 80, 70), old, strict=True):
        folder.mkdir()
        (folder / ".complete").touch()
        stamp = time.time() - age * 86_400
        os.utime(folder / ".complete", (stamp, stamp))
    checkout.lock.write_text("# moved\n" + checkout.lock.read_text())

    assert checkout.start("x").arguments == ["x"]
    assert used_today.exists()
    assert [folder.exists() for folder in old] == [False, False, False]


def test_a_file_in_the_place_of_the_home_is_named(checkout: Checkout) -> None:
    checkout.home.write_text("mine")

    started = checkout.start()

    assert started.returncode == 3
    assert str(checkout.home) in started.stderr
    assert "Traceback" not in started.stderr
    assert checkout.home.read_text() == "mine"


def test_a_file_in_the_place_of_the_runtimes_is_put_aside(checkout: Checkout) -> None:
    checkout.home.mkdir()
    checkout.runtimes.write_text("mine")

    assert checkout.start("x").arguments == ["x"]
    assert checkout.runtimes.with_name("runtime.aside").read_text() == "mine"


@pytest.mark.parametrize("name", ["lock", "python"])
@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo, lambda path: path.symlink_to("nothing")])
def test_what_is_no_file_in_the_place_of_a_file_of_ours_gives_way(
    checkout: Checkout, name: str, make: Callable[[Path], None]
) -> None:
    checkout.runtimes.mkdir(parents=True)
    make(checkout.runtimes / name)

    assert checkout.start("x").arguments == ["x"]
    assert checkout.remembered()[0] == INTERPRETER
    assert (checkout.runtimes / name).is_file()


@needs_pip
def test_a_package_that_is_not_the_pinned_one_is_refused(checkout: Checkout) -> None:
    checkout.lock.write_text(f"wheelhouse-package==1.0 --hash=sha256:{'0' * 64}\n")

    started = checkout.start()

    assert started.returncode == 3
    assert checkout.half_made() == []
    assert "not the one that was pinned" in started.stderr


@needs_pip
def test_a_uv_that_fails_is_no_obstacle(checkout: Checkout) -> None:
    checkout.wrap_uv("echo 'error: no index of mine' >&2; exit 2")

    started = checkout.start("x")

    assert started.arguments == ["x"]


@needs_pip
@pytest.mark.parametrize(
    ("index", "sentence"),
    [
        ({"PIP_NO_INDEX": "0", "PIP_INDEX_URL": CLOSED}, "The server that packages come from cannot be reached."),
        ({"PIP_NO_INDEX": "1"}, "The package index in use does not hold a package"),
    ],
    ids=["closed port", "empty index"],
)
def test_an_index_that_cannot_serve_is_told_in_one_sentence(
    checkout: Checkout, index: dict[str, str], sentence: str
) -> None:
    (checkout.bin / "uv").unlink()

    changes: dict[str, Any] = {"PIP_FIND_LINKS": "", "PIP_RETRIES": "0", **index}
    started = checkout.start("two words", **changes)

    assert started.returncode == 3
    assert sentence in started.stderr
    assert "  seen: pip said: " in started.stderr
    assert started.stderr.rstrip().endswith(f"type again: '{checkout.script}' 'two words'")
    assert [path.name for path in checkout.runtimes.iterdir()] == ["lock"]


@needs_pip
def test_pip_installs_the_same_as_uv(checkout: Checkout) -> None:
    (checkout.bin / "uv").unlink()
    hostile: dict[str, Any] = {"PIP_USER": "1", "PIP_REQUIRE_VIRTUALENV": "1", "PYTHONPATH": "/nonexistent"}

    assert checkout.start("x", **hostile).arguments == ["x"]


@pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="mounting a full disk needs root")
def test_a_full_disk_is_named(checkout: Checkout) -> None:
    checkout.home.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(checkout.home)]
    if subprocess.run(["unshare", "-m", *mount], capture_output=True, check=False).returncode != 0:
        pytest.skip("no mounts here")
    fill = 'mkdir "$0/runtime" && dd if=/dev/zero of="$0/runtime/filler" 2>/dev/null; exec "$1"'
    script = f'{" ".join(mount[:-1])} "$0" && {fill}'
    command = ["unshare", "-m", "sh", "-c", script, str(checkout.home), str(checkout.script)]
    done = subprocess.run(command, env=checkout.environment(), capture_output=True, text=True, check=False)

    assert (done.returncode, "The disk is full." in done.stderr) == (3, True), done.stderr


def test_the_developers_tools_are_prepared_by_the_same_code(checkout: Checkout, tmp_path: Path) -> None:
    command = [INTERPRETER, "-S", "-m", "contextcore_install.system.packages.runtime", str(checkout.lock), "tools"]
    env = checkout.environment(PYTHONPATH=str(checkout.root / "src"))
    first, second = (
        subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=True) for _ in range(2)
    )

    assert first.stdout == second.stdout
    assert (Path(first.stdout.rstrip("\n")) / "wheelhouse_package.py").exists()
    assert second.stderr == ""


def test_lock_files_name_no_index_and_no_path() -> None:
    for lock in sorted(ROOT.glob("requirements*.lock")):
        text = lock.read_text()
        assert "--hash=sha256:" in text
        assert "://" not in text
        assert "--find-links" not in text
