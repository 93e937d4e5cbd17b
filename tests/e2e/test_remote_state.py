"""Two homes act as two machines with the same kubeconfig: one carries on what the other began, and only one acts."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from contextcore_install.core.dataclass import dataclass
from contextcore_install.core.errors import ExitCode
from contextcore_install.engine.names import STEP_IDS
from e2e.lab import ClusterInstallation, applied, state_of
from kit.stores import wait_until

REPEATED = {"cluster_create"}
"""A home without its note of whose cluster it is writes it again, which is an attempt."""
TAKEN_AWAY = "tempo-otlp"
"""A Service whose loss is mended by applying, and by nothing else."""

#: kubectl that, while there is a gate, stops before it applies: with whoever called it at work, and holding the lease.
_KUBECTL = """\
#!/bin/sh
case "$*" in *"apply --server-side"*)
  while [ -e '{gate}' ]; do : > '{reached}'; kill -0 $PPID 2>/dev/null || exit 1; sleep 0.2; done;;
esac
exec '{kubectl}' "$@"
"""


@dataclass
class Machine(ClusterInstallation):
    """A home of its own for an installation that another one has made."""

    @property
    def gate(self) -> Path:
        return self.folder / "gate"

    @property
    def reached(self) -> Path:
        return self.folder / "reached"

    def environ(self, changes: Mapping[str, str] | None = None) -> dict[str, str]:
        kubectl = self.folder / "bin/kubectl"
        kubectl.parent.mkdir(exist_ok=True)
        real = str(shutil.which("kubectl"))
        kubectl.write_text(_KUBECTL.format(gate=self.gate, reached=self.reached, kubectl=real))
        kubectl.chmod(0o755)
        return super().environ({"PATH": f"{kubectl.parent}:{os.environ['PATH']}", **(changes or {})})

    def live(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.must("--status", "--live", "--output", "json"))
        return document


def machine(folder: Path, first: ClusterInstallation) -> Machine:
    made = Machine(folder, first.cluster, ports=first.ports)
    shutil.copy(first.kubeconfig, made.kubeconfig)
    return made


@pytest.fixture
def other(tmp_path: Path, installed: ClusterInstallation) -> Machine:
    return machine(tmp_path / "other", installed)


@pytest.fixture
def at_work(tmp_path: Path, installed: ClusterInstallation) -> Iterator[tuple[Machine, subprocess.Popen[str]]]:
    """A third machine, at work: it is about to apply what is missing."""
    place = machine(tmp_path / "at-work", installed)
    place.must("--resume")
    take_away(installed)
    place.gate.touch()
    running = place.start("--resume")
    try:
        wait_until(lambda: place.reached.exists() or running.poll() is not None, "it does not apply", limit_s=180)
        assert running.poll() is None, running.communicate()
        yield place, running
    finally:
        running.kill()
        running.communicate()


def take_away(installation: ClusterInstallation) -> None:
    installation.kubectl("delete", "service", TAKEN_AWAY)


def is_there(installation: ClusterInstallation) -> bool:
    return f"service/{TAKEN_AWAY}" in installation.kubectl("get", "services", "-o", "name")


def test_another_machine_carries_on_and_the_first_one_follows(installed: ClusterInstallation, other: Machine) -> None:
    installed.must("--resume")
    before = installed.status()
    seen = other.live()
    assert (seen["installation_id"], seen["overall"]) == (before["installation_id"], "complete")
    assert (seen["records"]["counts"], seen["records"]["file"]) == ("cluster", None)
    unlike = {check["id"] for check in seen["checks"] if not check["satisfied"]}
    assert unlike <= REPEATED, seen["checks"]
    assert "the records in the cluster count" in seen["notices"][0]
    assert not other.state.exists()

    take_away(installed)
    said = other.must("--repair", "--yes", "--output", "json")
    assert "the records in the cluster count" in said
    # Once something has changed, it is measured again how complete the installation is.
    assert set(applied(said)) <= {"manifests_apply", "metrics_seed", *REPEATED}
    assert is_there(installed)
    assert other.status()["installation_id"] == before["installation_id"]
    assert state_of(other) == dict.fromkeys(STEP_IDS, "completed")

    sides = json.loads(installed.must("--status", "--live", "--output", "json"))["records"]
    assert (sides["counts"], sides["differ"]) == ("cluster", True)
    assert sides["file"]["changed_at"] < sides["cluster"]["changed_at"]
    assert [step["id"] for step in sides["steps"]] == list(STEP_IDS)
    said = installed.must("--resume", "--output", "json")
    assert "they are newer than this machine's" in said
    assert installed.status()["run"]["outcome"] == "succeeded"


@pytest.mark.thorough
def test_of_two_machines_one_acts_and_what_a_killed_one_held_is_taken(
    installed: ClusterInstallation, other: Machine, at_work: tuple[Machine, subprocess.Popen[str]]
) -> None:
    _, running = at_work
    refused = other.run("--resume")
    assert refused.returncode == ExitCode.LOCKED, refused.stdout + refused.stderr
    assert "another machine is at work on this installation" in refused.stderr
    assert re.search(r"--status --live --cluster \S+ shows it", refused.stderr), refused.stderr
    assert other.live()["records"]["lease"]["since"]
    assert not is_there(installed)

    running.kill()
    running.wait()
    done = other.run("--resume")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "another machine has the lease" in done.stderr
    assert is_there(installed)


@pytest.mark.thorough
def test_a_machine_that_slept_while_another_took_over_does_not_act(
    installed: ClusterInstallation, other: Machine, at_work: tuple[Machine, subprocess.Popen[str]]
) -> None:
    sleeper, running = at_work
    running.send_signal(signal.SIGSTOP)
    other.must("--resume")
    assert is_there(installed)
    take_away(installed)
    running.send_signal(signal.SIGCONT)
    said = "".join(running.communicate(timeout=180))
    assert running.returncode == ExitCode.LOCKED, said
    assert "this run has lost its lease, and stops" in said
    sleeper.gate.unlink()
    assert not is_there(installed)
    installed.must("--resume")
    assert is_there(installed)


def test_records_of_one_provider_are_not_carried_on_by_another(installed: ClusterInstallation, tmp_path: Path) -> None:
    place = Machine(tmp_path / "guest", installed.cluster, context=installed.context, provider="kube-context")
    shutil.copy(installed.kubeconfig, place.kubeconfig)
    refused = place.run("--provider", "kube-context", "--context", installed.context)
    assert refused.returncode == ExitCode.USAGE, refused.stdout + refused.stderr
    assert "was made with --provider kind" in refused.stderr
