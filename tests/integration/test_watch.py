"""A watch over a real installation: what dies is healed and told, and what dies again and again is given up on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from contextcore_install.core.events import Event, Kind
from contextcore_install.storage.journal.journal import JournalReader
from contextcore_install.telemetry.exporters.backends import probe
from contextcore_install.telemetry.exporters.client import Client
from integration.test_notify import Hook
from kit.installation import Installation
from kit.stores import TIMEOUTS, Misbehaving, wait_until

pytestmark = pytest.mark.slow

PATIENT = {"CONTEXTCORE_NOTIFY_SECONDS": "60"}


@pytest.fixture
def installed(installation: Installation) -> Installation:
    done = installation.install()
    assert done.returncode == 0, done.stdout + done.stderr
    return installation


class Watching:
    """`watch` as a process; what it says is read as it comes."""

    def __init__(self, place: Installation, *more: str) -> None:
        self.place = place
        self.process = subprocess.Popen(
            place.command("watch", "--every", "1s", *more, "--output", "json"),
            env=place.environ(PATIENT),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def until(self, field: str, value: str) -> dict[str, Any]:
        """Read on until it says something."""
        assert self.process.stdout
        for line in self.process.stdout:
            document: dict[str, Any] = json.loads(line)
            if document.get(field) == value:
                return document
        raise AssertionError(f"it ended without {field} {value}")

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        self.process.communicate(timeout=60)
        return self.process.returncode


@pytest.fixture
def watch(installed: Installation) -> Iterator[Callable[..., Watching]]:
    started: list[Watching] = []

    def start(*more: str) -> Watching:
        started.append(Watching(installed, *more))
        started[-1].until("state", "well")
        return started[-1]

    yield start
    for watching in started:
        watching.process.kill()
        watching.process.communicate()


def kill_store(place: Installation) -> int:
    (store,) = place.processes()
    os.kill(store.pid, signal.SIGKILL)
    return store.pid


def events(place: Installation, kind: Kind) -> list[Event]:
    found = [event for _, event in JournalReader(place.files / "journal.jsonl").read()]
    return [event for event in found if event.kind is kind]


def remedies_in_store(place: Installation) -> list[float]:
    client = Client(f"http://127.0.0.1:{place.ports['mimir']}", lambda: TIMEOUTS)
    backend = probe(client)
    backend.show_recent()
    name = 'contextcore_install_watch_remedies_total{outcome="succeeded"}[2h]'
    found = backend.query(name, int(time.time() * 1000) + 5000)
    client.close()
    return [float(value) for series in found for _, value in series["values"]]


def test_what_dies_is_healed_and_told_until_the_budget_is_spent(
    installed: Installation, watch: Callable[..., Watching], misbehaving: Callable[..., Misbehaving]
) -> None:
    hook = Hook(misbehaving)
    assert installed.run("notify", "set", stdin=hook.url).returncode == 0
    watching = watch("--budget", "1")
    killed = kill_store(installed)
    told = watching.until("kind", "watch_remedied")
    assert told["outcome"] == "succeeded"
    assert told["problems"]
    watching.until("state", "well")
    assert [process.pid for process in installed.processes()] != [killed]
    assert len(events(installed, Kind.WATCH_REMEDIED)) == 1
    assert {step["status"] for step in installed.steps().values()} == {"completed"}
    wait_until(lambda: remedies_in_store(installed) == [1.0], "the remedies are in the metrics")
    kill_store(installed)
    out, err = watching.process.communicate(timeout=90)
    assert watching.process.returncode == 1
    error = json.loads((out + err).splitlines()[-1])
    assert error["code"] == "watch-gave-up"
    assert "--repair" in error["hint"]
    assert len(events(installed, Kind.WATCH_GAVE_UP)) == 1
    assert not installed.processes(), "it does no more"
    assert hook.titles() == ["healed by the watch", "the watch has given up"]

    again = Watching(installed, "--budget", "1")
    told = again.until("kind", "watch_remedied")
    assert told["outcome"] == "succeeded", "what was healed before is no reason not to try"
    assert again.end(signal.SIGTERM) == 0


def test_what_dies_again_of_the_same_cause_is_healed_again(
    installed: Installation, watch: Callable[..., Watching]
) -> None:
    watching = watch()
    for _ in range(3):
        kill_store(installed)
        assert watching.until("kind", "watch_remedied")["outcome"] == "succeeded"
        watching.until("state", "well")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_when_it_is_told_to_and_lets_others_work(
    installed: Installation, watch: Callable[..., Watching], number: signal.Signals
) -> None:
    watching = watch()
    (store,) = installed.processes()
    assert installed.run("--resume").returncode == 0, "the lock is free while nothing is healed"
    assert watching.end(number) == 0
    assert [process.pid for process in installed.processes()] == [store.pid]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_while_it_ends_changes_nothing(
    installed: Installation, watch: Callable[..., Watching], number: signal.Signals
) -> None:
    for pause_s in (0.0, 0.02, 0.05, 0.1, 0.2):
        watching = watch()
        watching.process.send_signal(number)
        time.sleep(pause_s)
        watching.process.send_signal(number)
        _, err = watching.process.communicate(timeout=60)
        assert (watching.process.returncode, err) == (0, ""), f"after {pause_s} s"

        watching = watch()
        watching.process.send_signal(number)
        watching.until("state", "ends")
        time.sleep(pause_s / 10)
        watching.process.send_signal(number)
        _, err = watching.process.communicate(timeout=60)
        assert (watching.process.returncode, err) == (0, ""), f"{pause_s / 10} s after its last word"
    assert installed.processes(), "what is watched goes on"


def test_what_was_taken_back_or_deleted_is_not_healed(installed: Installation, watch: Callable[..., Watching]) -> None:
    watching = watch()
    # A machine that is busy elsewhere may have made the watch heal something just now, with the lock.
    wait_until(lambda: installed.run("rollback", "--yes").returncode == 0, "the watch never let go")
    watching.until("state", "not installed")
    assert not installed.processes()
    deleted = installed.run("delete", "--yes", "--cluster", "test")
    assert deleted.returncode == 0, deleted.stderr
    watching.process.communicate(timeout=60)
    assert watching.process.returncode == 1
    assert not installed.files.exists(), "a watch makes nothing anew"


def test_nothing_installed_is_nothing_to_watch(installation: Installation) -> None:
    answer = installation.run("watch")
    assert answer.returncode == 1
    assert "no installation test to watch" in answer.stderr
    assert not installation.files.exists()


SYSTEMCTL = """\
#!/bin/sh
echo "$*" >>{log}
[ "$*" != "--user is-active --quiet contextcore-install-watch-test.service" ] || grep -q restart {log}
"""


@pytest.mark.skipif(sys.platform == "darwin", reason="launchd is there; its files are tested beside it")
def test_the_service_is_shown_installed_once_and_goes_with_the_installation(installed: Installation) -> None:
    log, programs = installed.folder / "systemctl.log", installed.folder / "programs"
    programs.mkdir()
    (programs / "systemctl").write_text(SYSTEMCTL.format(log=log))
    (programs / "systemctl").chmod(0o755)
    installed.path = (str(programs),)
    unit = installed.folder / ".config/systemd/user/contextcore-install-watch-test.service"
    done = installed.run("watch", "--install", "--every", "90s")
    assert done.returncode == 0, done.stderr
    shown = [line.strip() for line in done.stdout.splitlines()]
    assert all(line in shown for line in unit.read_text().splitlines())
    assert '"watch" "--cluster" "test" "--every" "90s" "--budget" "6"' in unit.read_text()
    assert "restart" in log.read_text()
    log.write_text(log.read_text() + "--\n")
    again = installed.run("watch", "--install", "--every", "90s")
    assert "as it was already" in again.stdout
    assert "enable" not in log.read_text().partition("--\n")[2]
    assert installed.run("rollback", "--to", "manifests_apply", "--yes").returncode == 0
    assert unit.exists(), "what is taken back in part is still watched"
    assert installed.run("rollback", "--yes").returncode == 0
    assert not unit.exists()
    assert "disable --now" in log.read_text()
