"""A cluster made, and used again."""

from __future__ import annotations

from contextcore_install.engine.names import STEP_IDS
from e2e.lab import ClusterInstallation, applied, ask, engine, state_of


def test_an_installation_ends_with_a_stack_that_works(first: ClusterInstallation) -> None:
    made = first.install()
    assert made.returncode == 0, made.stdout + made.stderr
    assert state_of(first) == dict.fromkeys(STEP_IDS, "completed")
    assert f"http://127.0.0.1:{first.ports['grafana']}" in made.stdout
    pods = first.objects("pods")
    assert len(pods) == 5
    assert all(claim["status"]["phase"] == "Bound" for claim in first.objects("pvc").values())
    first.write(1.0)
    assert first.written() == [1.0]


def test_only_this_machine_reaches_the_stack(installed: ClusterInstallation) -> None:
    shown = ask(engine(), "port", f"{installed.cluster}-control-plane")
    assert {line.split(" -> ")[1].rpartition(":")[0] for line in shown.splitlines()} == {"127.0.0.1"}


def test_a_second_run_applies_nothing(installed: ClusterInstallation) -> None:
    attempts, written = installed.attempts(), _written_at(installed)
    again = installed.run("--output", "json")
    assert again.returncode == 0, again.stdout
    assert applied(again.stdout) == []
    assert installed.attempts() == attempts
    assert _written_at(installed) == written
    assert "nothing had to be done" in installed.must()


def test_a_reset_forgets_the_records_and_the_next_run_finds_all_as_it_was(installed: ClusterInstallation) -> None:
    before = installed.identity(), installed.volumes(), installed.uids("pods")
    assert installed.run("--reset").returncode == 0
    again = installed.install("--output", "json")
    assert again.returncode == 0, again.stdout
    assert "cluster_create" not in applied(again.stdout)
    assert (installed.identity(), installed.volumes(), installed.uids("pods")) == before


def _written_at(installation: ClusterInstallation) -> dict[str, list[str]]:
    """Return when each object was last written by anyone but the cluster's own controllers."""
    found = installation.objects("statefulsets,services,configmaps,secrets")
    return {
        name: [
            str(entry.get("time"))
            for entry in item["metadata"].get("managedFields", [])
            if entry["manager"] != "kube-controller-manager"
        ]
        for name, item in found.items()
    }
