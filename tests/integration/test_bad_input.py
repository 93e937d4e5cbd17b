"""Whatever is in the way gets one sentence and its exit code, and nothing is lost."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from kit.installation import LAUNCHER, Installation

pytestmark = pytest.mark.slow

needs_mounts = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("mount") or os.uname().sysname != "Linux",
    reason="a small or read-only filesystem is mounted, which needs root on Linux",
)

BROKEN: dict[str, Callable[[Path], object]] = {
    "torn": lambda path: path.write_bytes(b'{"version": "1.0", "steps": {"pre'),
    "empty": lambda path: path.write_bytes(b""),
    "binary": lambda path: path.write_bytes(bytes(range(256)) * 40),
    "deeply nested": lambda path: path.write_bytes(b'{"a":' * 100_000),
    "huge": lambda path: os.truncate(os.open(path, os.O_CREAT | os.O_RDWR, 0o600), 10**11),
    "foreign": lambda path: path.write_bytes(b'{"kind": "Deployment"}'),
    "a wrong status": lambda path: path.write_bytes(b'{"version": "1.0", "steps": {"preflight": {"status": 7}}}'),
    "a folder": lambda path: path.mkdir(),
    "a pipe": os.mkfifo,
}


@pytest.fixture
def recorded(installation: Installation) -> Installation:
    """Return an installation of which only preflight was done: enough to have records."""
    answer = installation.run("--provider", "host", "--timeout", "20s", *installation.port_flags(), "--skip-wait")
    assert answer.returncode == 0, answer.stdout
    return installation


@pytest.mark.parametrize("what", BROKEN)
def test_a_spoilt_state_file_is_told_of_kept_and_made_good(recorded: Installation, what: str) -> None:
    before = [step["status"] for step in recorded.status()["steps"]]
    recorded.state.unlink()
    BROKEN[what](recorded.state)
    shown = recorded.run("--status")
    assert shown.returncode == 0
    assert "holds no state" in shown.stderr
    assert "Traceback" not in shown.stderr
    assert [step["status"] for step in recorded.status()["steps"]] == before
    resumed = recorded.run("--resume")
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert len(list(recorded.files.glob("install-state.json.unreadable-*"))) == 1
    assert json.loads(recorded.state.read_text())["steps"]["preflight"]["status"] == "completed"


@pytest.mark.parametrize(
    "words", [("state", "set", "preflight", "completed", "--output", "json"), ("state", "send"), ("verify",)]
)
def test_what_is_mended_outside_of_a_run_is_told_and_on_record(recorded: Installation, words: tuple[str, ...]) -> None:
    BROKEN["torn"](recorded.state)
    told = recorded.run(*words)
    (aside,) = recorded.files.glob("install-state.json.unreadable-*")
    assert f"note: {recorded.state} holds no state" in told.stderr
    assert f"it is kept as {aside.name}" in told.stderr
    events = [json.loads(line) for line in (recorded.files / "journal.jsonl").read_text().splitlines()]
    assert [event for event in events if event["kind"] == "notice" and aside.name in event["text"]]
    assert recorded.run("state", "get", "preflight").stdout == "completed\n", "standard output is for answers"


@pytest.mark.parametrize("output", ["human", "json"])
def test_what_a_restore_mends_is_told(recorded: Installation, output: str) -> None:
    kept = recorded.folder / "kept.tar.gz"
    assert recorded.run("backup", "-o", str(kept)).returncode == 0
    BROKEN["torn"](recorded.state)
    restored = recorded.run("restore", str(kept), "--yes", "--cluster", "test", "--output", output)
    assert restored.returncode == 0, restored.stderr
    told = restored.stderr if output == "json" else restored.stdout
    assert told.count("holds no state") == 1


def test_a_newer_state_is_refused_and_left_alone_until_it_is_reset(recorded: Installation) -> None:
    document = json.loads(recorded.state.read_text()) | {"version": "9.0"}
    recorded.state.write_text(json.dumps(document))
    for words in (["--resume"], ["--status"], ["--repair"]):
        refused = recorded.run(*words)
        assert refused.returncode == 4
        assert "newer version" in refused.stderr
        assert "--reset" in refused.stderr
    assert json.loads(recorded.state.read_text()) == document
    assert recorded.run("--reset").returncode == 0
    assert recorded.run("--status").returncode == 0


def test_a_newer_state_at_the_plans_path_does_not_take_the_place_of_a_good_one(recorded: Installation) -> None:
    latest_link = recorded.home / "install-state.json"
    before = recorded.state.read_bytes()
    newer = json.dumps(json.loads(before) | {"version": "9.0"})
    latest_link.unlink()
    latest_link.write_text(newer)
    assert recorded.run("--resume").returncode == 4
    assert (latest_link.read_text(), recorded.state.read_bytes()) == (newer, before)
    assert recorded.run("--reset").returncode == 0
    (archived,) = (recorded.home / "archive").iterdir()
    assert (archived / "plan-path-install-state.json").read_text() == newer


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--resume", "--repair"], "--repair: cannot be combined with --resume"),
        (["--status", "--reset"], "--reset: cannot be combined with --status"),
        (["--resume", "delete"], "--resume cannot be combined with delete"),
        (["--status", "--skip-wait"], "--skip-wait cannot be combined with --status"),
        (["--live"], "--live cannot be combined with"),
        (["--port", "mimir=99999"], "from 1 to 65535; one below 1024 works only"),
        (["--port", "mimir=0"], "out of range"),
        (["--port", "mimir"], "no COMPONENT=PORT"),
        (["--port", "nobody=4000"], "nobody"),
        (["--port", "mimir=4000", "--port", "loki=4000"], "--port loki=4000"),
        (["--cluster", "Not_A_Name"], "no cluster name"),
        (["--cluster", "../../etc"], "no cluster name"),
        (["--cluster", ""], "no cluster name"),
        (["--timeout", "soon"], "no time"),
        (["--timeout", "0s"], "more than nothing"),
        (["logs", "nothing_like_it"], "there is no step nothing_like_it; choose from preflight, "),
        (["logs", "pod_ready"], "there is no step pod_ready: did you mean pods_ready?"),
        (["frobnicate"], "there is no command frobnicate; choose from plan, "),
        (["status"], "there is no command status: did you mean --status?"),
        (["stauts", "--cluster", "two"], "there is no command stauts: did you mean --status?"),
        (["--frobnicate"], "there is no flag --frobnicate"),
        (["--clsuter", "two"], "there is no flag --clsuter: did you mean --cluster?"),
        (["--delete", "two"], "there is no flag --delete: did you mean delete?"),
        (["--page-port", "80"], "--page-port belongs to dashboard"),
        (["--provider", "cloud"], "--provider cannot be cloud; choose from auto, "),
        (["--provider", "knid"], "--provider cannot be knid: did you mean kind?"),
        (["--workers", "2", "--provider", "host"], "--workers cannot be combined with --provider host"),
    ],
)
def test_a_wrong_command_line_is_refused_before_anything_is_touched(
    installation: Installation, words: list[str], said: str
) -> None:
    refused = installation.run(*words)
    assert refused.returncode == 2
    assert said in refused.stderr.replace("\n  ", " ")
    assert refused.stdout == ""
    leftover = installation.home / "clusters" / installation.cluster / "install-state.json"
    assert not leftover.exists()


def test_errors_are_json_where_json_was_asked_for(installation: Installation) -> None:
    refused = installation.run("--output", "json", "--resume", "--repair")
    assert refused.returncode == 2
    document = json.loads(refused.stdout)
    assert (document["schema"], document["code"]) == ("contextcore-install/error/v1", "usage")
    assert refused.stderr == ""


def foreign_step(place: Installation, step: str) -> None:
    """Leave a state file with a step that is none of ours."""
    place.files.mkdir(parents=True)
    document = {"version": "1.0", "cluster_name": place.cluster, "started_at": "2026-01-01T00:00:00Z"}
    place.state.write_text(json.dumps(document | {"steps": {step: {"status": "completed"}}}))


@pytest.mark.parametrize("command", [("state", "get"), ("--status",), ("--reset",)])
def test_json_is_json_whatever_the_output_is_encoded_in(installation: Installation, command: tuple[str, ...]) -> None:
    foreign_step(installation, "schöner 😀")
    home = installation.home.rename(installation.folder / "jü😀")
    for folder in (home, *home.rglob("*/")):
        folder.chmod(0o700)
    environ = {"CONTEXTCORE_HOME": str(home), "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "1"}
    told = installation.run(*command, "--output", "json", environ=environ)
    assert told.returncode == 0, told.stderr
    assert "😀" in str(json.loads(told.stdout))


def test_a_step_of_others_does_nothing_to_a_terminal(installation: Installation) -> None:
    foreign_step(installation, "pre\x1b[31mX\nY")
    assert installation.run("state", "get").stdout.splitlines()[-1] == "preX Y completed"


def test_a_contact_point_that_is_no_text_is_refused(installation: Installation) -> None:
    refused = subprocess.run(
        installation.command("notify", "set"),
        env=installation.environ({"PYTHONIOENCODING": "utf-8"}),
        input=b"https\xff://example.org\n",
        capture_output=True,
        check=False,
    )
    assert refused.returncode == 1
    assert b"contact point 1 of 1 is no URL" in refused.stderr


def test_a_wrong_cluster_name_in_the_environment_names_the_variable(installation: Installation) -> None:
    refused = installation.run("--status", environ={"CONTEXTCORE_CLUSTER": "", "CLUSTER_NAME": "a b"})
    assert refused.returncode == 2
    assert "CLUSTER_NAME" in refused.stderr


@pytest.mark.parametrize(("home", "said"), [("", "HOME is not set"), ("/nonexistent/home", "/nonexistent/home")])
def test_a_home_that_is_none_is_named(installation: Installation, home: str, said: str) -> None:
    refused = installation.run("--status", environ={"CONTEXTCORE_HOME": "", "HOME": home})
    assert refused.returncode == 4
    assert said in refused.stderr


def test_folders_that_are_not_ours_alone_are_not_used(installation: Installation, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    installation.home.symlink_to(elsewhere)
    refused = installation.install()
    assert refused.returncode == 4
    assert "it is a link" in refused.stderr
    assert list(elsewhere.iterdir()) == []
    installation.home.unlink()
    installation.home.mkdir()
    installation.home.chmod(0o777)
    for refused in (installation.run("plan", "--provider", "host"), installation.install()):
        assert refused.returncode == 4
        assert "chmod 700" in refused.stderr


CLOSED = """\
import os

def refusing(call):
    def called(path, *more, **named):
        if str(path).startswith(os.environ["CONTEXTCORE_HOME"] + "/"):
            raise PermissionError(13, "Permission denied", str(path))
        return call(path, *more, **named)
    return called

for name in ("stat", "lstat", "open", "scandir", "listdir", "mkdir"):
    setattr(os, name, refusing(getattr(os, name)))
"""


@pytest.mark.parametrize(
    "words",
    [
        "rollback --yes",
        "backup",
        "restore nothing --yes --cluster test",
        "delete --yes --cluster test",
        "watch",
        "watch --install",
        "--resume",
        "--reset",
        "history",
        "logs",
        "clusters",
        "state get",
    ],
)
def test_a_home_that_may_not_be_entered_is_named_and_not_taken_for_an_empty_one(
    installation: Installation, words: str
) -> None:
    installation.home.mkdir(mode=0o700)
    (installation.folder / "create-cluster.sh").write_text(CLOSED + LAUNCHER)
    refused = installation.run(*words.split())
    assert (refused.returncode, refused.stdout) == (4, ""), refused.stderr
    assert "cannot be used: permission denied" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_folder_in_the_place_of_the_cursors_is_put_aside(installation: Installation) -> None:
    (installation.files / "cursors.json").mkdir(parents=True)
    for folder in (installation.home, installation.files.parent, installation.files):
        folder.chmod(0o700)
    done = installation.run("state", "set", "preflight", "completed")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(list(installation.files.glob("cursors.json.unreadable-*"))) == 1


def test_a_link_at_the_plans_path_that_is_not_ours_is_not_followed(installation: Installation, tmp_path: Path) -> None:
    target = tmp_path / "precious.json"
    target.write_text('{"version": "1.0", "steps": {}}')
    installation.home.mkdir(mode=0o700)
    (installation.home / "install-state.json").symlink_to(target)
    assert installation.install().returncode == 4
    assert target.read_text() == '{"version": "1.0", "steps": {}}'
    assert installation.run("--status").returncode == 0


def test_a_port_in_use_is_said_with_who_has_it(installation: Installation) -> None:
    with socket.create_server(("127.0.0.1", installation.ports["mimir"])):
        refused = installation.install()
    assert refused.returncode == 3
    assert str(installation.ports["mimir"]) in refused.stdout
    assert str(os.getpid()) in refused.stdout
    assert installation.processes() == []
    assert installation.run("--resume").returncode == 0


@contextmanager
def mounted(folder: Path, *options: str) -> Iterator[None]:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", *options, "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@needs_mounts
def test_a_full_disk_is_named_and_nothing_is_torn(installation: Installation) -> None:
    with mounted(installation.home, "-o", "size=20m,mode=700"):
        too_small = installation.install("--skip-wait")
        assert too_small.returncode == 3
        filler = installation.home / "filler"
        fill(filler)
        journal = installation.files / "journal.jsonl"
        before = journal.read_bytes()
        refused = installation.run("--resume")
        assert refused.returncode == 4, refused.stdout + refused.stderr
        assert "no space left" in refused.stderr
        assert "Traceback" not in refused.stderr
        assert journal.read_bytes().startswith(before)
        assert installation.run("--status").returncode == 0
        filler.unlink()
        assert installation.run("--resume", "--skip-wait").returncode == 3
        numbers = [json.loads(line)["number"] for line in journal.read_text().splitlines()]
        assert numbers == list(range(1, len(numbers) + 1))


def fill(path: Path) -> None:
    """Write until the disk is full, to the last byte."""
    with path.open("wb", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            with suppress(OSError):
                while True:
                    file.write(b"x" * size)


@needs_mounts
def test_a_read_only_disk_is_named_and_the_status_still_shown(installation: Installation) -> None:
    with mounted(installation.home, "-o", "mode=700"):
        assert installation.install("--skip-wait").returncode == 0
        installation.remove()
        subprocess.run(["mount", "-o", "remount,ro", str(installation.home)], check=True)
        refused = installation.run("--resume")
        assert refused.returncode == 4
        assert "read-only" in refused.stderr
        assert installation.run("--status").returncode == 0
