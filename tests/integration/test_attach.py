"""A run that is at work can be watched from another terminal."""

from __future__ import annotations

import json
import signal
import subprocess

from kit.installation import Installation, kill, read_until


def begin(installation: Installation) -> subprocess.Popen[str]:
    running = installation.start("--provider", "host", *installation.port_flags())
    read_until(running, "step_started", "pods_ready")
    return running


def test_what_is_watched_is_the_run_from_its_first_event_to_its_last(stuck: Installation) -> None:
    running = begin(stuck)
    watching = stuck.start("--attach")
    read_until(watching, "step_started", "pods_ready")
    refused = stuck.run("--resume")
    assert refused.returncode == 5
    assert "at pods_ready" in refused.stderr
    assert "--attach" in refused.stderr
    running.send_signal(signal.SIGTERM)
    running.communicate(timeout=120)
    assert running.returncode == 130
    rest, _ = watching.communicate(timeout=120)
    assert watching.returncode == 130
    assert json.loads(rest.splitlines()[-1])["kind"] == "run_finished"


def test_ctrl_c_leaves_the_run_at_work(stuck: Installation) -> None:
    running = begin(stuck)
    watching = stuck.start("--attach")
    read_until(watching, "step_started", "pods_ready")
    watching.send_signal(signal.SIGINT)
    watching.communicate(timeout=120)
    assert watching.returncode == 0
    assert running.poll() is None
    kill(running)


def test_a_run_that_is_killed_is_told(stuck: Installation) -> None:
    running = begin(stuck)
    watching = stuck.start("--attach")
    read_until(watching, "step_started", "pods_ready")
    kill(running)
    told, _ = watching.communicate(timeout=120)
    assert watching.returncode == 1
    assert json.loads(told.splitlines()[-1])["code"] == "ended-silently"


def test_nothing_at_work_is_told(installation: Installation) -> None:
    told = installation.run("--attach")
    assert told.returncode == 1
    assert "no run is at work on test" in told.stderr
    other = installation.run("--attach", "--cluster", "two", "--output", "json")
    assert json.loads(other.stdout)["hint"].endswith(" --status --cluster two")
