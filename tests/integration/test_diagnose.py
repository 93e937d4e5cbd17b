"""Bundles as users get them: of a run that failed, and by `diagnose` in whatever state things are."""

from __future__ import annotations

import getpass
import json
import os
import signal
import socket
import stat
from pathlib import Path

import pytest

from kit.archives import read_bundle
from kit.host_world import VERSIONS, install_stand_in
from kit.installation import Installation, read_until
from kit.stores import wait_until

MARKER = "pl4nt3dM4rk3r"

CRASHING = """\
#!/bin/sh
case "$*" in *-version*) echo "{version}"; exit 0;; esac
echo "api_key: pl4nt3dM4rk3r-key"
exit 1
"""


@pytest.fixture
def crashing(installation: Installation) -> Installation:
    """Return an installation whose metrics store ends as soon as it is started."""
    programs = installation.folder / "programs"
    programs.mkdir()
    version = "victoria-metrics-20250101-000000-v1.112.0"
    (programs / "victoria-metrics").write_text(CRASHING.format(version=version))
    (programs / "victoria-metrics").chmod(0o755)
    installation.path = (str(programs),)
    return installation


def bundles(installation: Installation) -> list[Path]:
    return sorted((installation.files / "bundles").glob("*"))


def diagnosed(installation: Installation, *words: str) -> dict[str, str]:
    answer = installation.run("diagnose", *words)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return read_bundle(bundles(installation)[-1])


def first_line(members: dict[str, str]) -> str:
    assert next(iter(members)) == "diagnosis.txt"
    return members["diagnosis.txt"].splitlines()[0]


def test_a_run_that_fails_leaves_a_bundle_and_names_it(crashing: Installation) -> None:
    failed = crashing.install()
    assert failed.returncode == 1
    (path,) = bundles(crashing)
    lines = [line.strip() for line in failed.stdout.splitlines()]
    assert str(path) in lines
    assert "--resume" in failed.stdout.partition(str(path))[2]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    members = read_bundle(path)
    assert first_line(members).startswith("pods_ready failed: ")
    assert "pods_ready" in json.loads(members["findings.json"])["failed"]
    assert json.loads(members["records/journal.jsonl"].splitlines()[-1])["kind"] == "run_finished"
    assert json.loads(members["host/processes.json"])["mimir"]["alive"] is False
    assert "api_key: <hidden>" in members["host/logs/mimir.log"]
    assert json.loads(members["machine.json"])["processors"]["count"]


def test_who_wants_none_gets_none_and_json_tells_of_it_on_standard_error(crashing: Installation) -> None:
    words = ("--provider", "host", *crashing.port_flags(), "--output", "json")
    without = crashing.run(*words, environ={"CONTEXTCORE_NO_BUNDLE": "1"})
    assert (without.returncode, without.stderr, bundles(crashing)) == (1, "", [])
    told = crashing.run(*words)
    assert told.returncode == 1
    assert json.loads(told.stdout.splitlines()[-1])["kind"] == "run_finished"
    assert str(bundles(crashing)[0]) in told.stderr


def test_a_bundle_that_cannot_be_written_changes_nothing(crashing: Installation) -> None:
    crashing.files.mkdir(mode=0o700, parents=True)
    (crashing.files / "bundles").write_text("in the way")
    failed = crashing.install()
    assert failed.returncode == 1
    assert "Traceback" not in failed.stdout + failed.stderr
    assert "--resume" in failed.stdout
    refused = crashing.run("diagnose")
    assert refused.returncode == 4
    assert "bundles is not used" in refused.stderr


def test_an_interrupted_run_leaves_none(stuck: Installation) -> None:
    running = stuck.start("--provider", "host", *stuck.port_flags())
    read_until(running, "step_started", "pods_ready")
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=120)
    assert running.returncode == 130
    assert bundles(stuck) == []


def test_ctrl_c_does_not_wait_for_the_bundle_of_a_run_that_failed(crashing: Installation) -> None:
    asked = crashing.folder / "asked"
    hanging = crashing.folder / "programs" / "docker"
    hanging.write_text(f"#!/bin/sh\ntouch {asked}\nexec sleep 300\n")
    hanging.chmod(0o755)
    running = crashing.start("--provider", "host", *crashing.port_flags())
    wait_until(asked.exists, "the bundle was not begun", limit_s=120)
    running.send_signal(signal.SIGINT)
    told, _ = running.communicate(timeout=120)
    assert running.returncode == 1
    assert json.loads(told.splitlines()[-1])["exit_code"] == 1
    assert bundles(crashing) == []


def test_what_is_fine_broken_and_torn_is_diagnosed(installation: Installation) -> None:
    assert installation.install("--skip-wait").returncode == 0
    assert installation.run("--resume").returncode == 0
    assert first_line(diagnosed(installation)).startswith("Nothing is found wrong")
    for process in installation.processes():
        process.kill()
        process.wait(60)
    members = diagnosed(installation)
    assert first_line(members).startswith("pods_ready is not as it should be: ")
    assert json.loads(members["findings.json"])["checks"]
    installation.state.write_bytes(b'{"version": "1.0", "steps": {"pre')
    (installation.files / "journal.jsonl").write_bytes(b"\0garbage")
    torn = diagnosed(installation)
    assert torn["records/install-state.json.unreadable.txt"] == '{"version": "1.0", "steps": {"pre'
    assert "garbage" in torn["records/journal.jsonl"]
    assert installation.state.read_bytes() == b'{"version": "1.0", "steps": {"pre', "it was only to be read"
    installation.state.write_text('{"version": "9.0", "steps": {}}')
    assert "newer version" in first_line(diagnosed(installation))
    installation.state.unlink()
    os.mkfifo(installation.state)
    assert "the state: install-state.json cannot be read" in diagnosed(installation)["not-collected.txt"]
    assert len(bundles(installation)) == 5


def test_where_nothing_is_installed_it_says_so_and_goes_where_it_is_told(
    installation: Installation, tmp_path: Path
) -> None:
    target = tmp_path / "out" / "bundle.tar.gz"
    missing = installation.run("diagnose", str(target))
    assert missing.returncode == 1
    assert "mkdir -p" in missing.stderr
    target.parent.mkdir()
    answer = installation.run("diagnose", "--output", "json", str(target))
    document = json.loads(answer.stdout)
    assert (document["schema"], document["path"]) == ("contextcore-install/diagnose/v1", str(target))
    assert document["diagnosis"] == "There is no installation test: nothing is recorded of one."
    assert document["members"] == list(read_bundle(target))
    assert not installation.home.exists()
    before = target.read_bytes()
    again = installation.run("diagnose", str(target))
    assert (again.returncode, target.read_bytes()) == (2, before)


@pytest.mark.parametrize("by", ["diagnose", "failure"])
def test_no_planted_secret_and_no_name_is_in_it(installation: Installation, by: str) -> None:
    programs = installation.folder / "programs"
    for name in ("grafana", "loki"):
        install_stand_in(programs, name)
    installation.path = (str(programs),)
    webhook = f"https://example.com/hook/{MARKER}-hook"
    assert (
        installation.run("notify", "set", stdin=f"{webhook}\nmailto://joe:{MARKER}-mail@example.com\n").returncode == 0
    )
    environ = {
        "HTTPS_PROXY": f"http://joe:{MARKER}-proxy@127.0.0.1:9",
        "CONTEXTCORE_NOTIFY": f"ntfys://{MARKER}-topic",
        "CONTEXTCORE_NOTIFY_SECONDS": "1",
        "A_TOKEN": f"{MARKER}-token",
    }
    made = installation.run("--provider", "host", *installation.port_flags(), "--timeout", "3m", environ=environ)
    assert made.returncode == 0, made.stdout + made.stderr
    password = (installation.files / "host/data/secrets/grafana-admin").read_text()
    log = installation.files / "host" / "logs" / "loki.log"
    host, user = socket.gethostname(), getpass.getuser()
    with log.open("a") as file:
        file.write(
            f"POST {webhook}\npassword={MARKER}-said\nadmin logs in with {password}\ntold {MARKER}-token\n"
            f"in {installation.folder}/x by {user} of {host}\n"
        )
    if by == "failure":
        (programs / "loki").write_text(CRASHING.format(version=VERSIONS["loki"][0]))
        for process in installation.processes():
            process.kill()
            process.wait(60)
        failed = installation.run("--resume", environ=environ)
        assert failed.returncode == 1, failed.stdout
        (path,) = bundles(installation)
    else:
        assert installation.run("diagnose", environ=environ).returncode == 0
        (path,) = bundles(installation)
    members = read_bundle(path)
    said = members["host/logs/loki.log"]
    assert "POST <hidden>\npassword=<hidden>\nadmin logs in with <hidden>\ntold <hidden>\nin ~/x by" in said
    everything = "\n".join([*members, *members.values()])
    for secret in (MARKER, password, str(installation.folder), "mailto://"):
        assert secret not in everything
    if len(host) > 2:
        assert f" of {host}" not in everything
    assert f" by {user} of" not in everything
    assert "A_TOKEN" not in members["machine.json"]
    assert '"HTTPS_PROXY": "http://<hidden>@127.0.0.1:9"' in members["machine.json"]
