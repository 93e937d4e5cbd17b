"""The host provider with a real store, broken in the ways that machines and people break things."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from contextcore_install.core.dataclass import asdict, replace
from contextcore_install.core.errors import InstallError
from contextcore_install.core.provider import ClusterState
from contextcore_install.system.machine import start_time
from kit.fakes import Told
from kit.host_world import World, install_stand_in
from kit.stores import free_port, program, wait_until


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


@pytest.fixture(params=["victoria-metrics", "prometheus"])
def store(request: pytest.FixtureRequest, world: World) -> str:
    world.has(request.param)
    return str(request.param)


@pytest.fixture
def with_store(world: World) -> World:
    world.has("victoria-metrics")
    return world


def query(world: World, text: str) -> list[object]:
    found = json.loads(ask(world, "GET", f"/api/v1/query?query={text}"))["data"]["result"]
    assert isinstance(found, list)
    return found


def ask(world: World, method: str, path: str, body: str = "") -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", world.ports["mimir"], timeout=5)
    try:
        connection.request(method, path, body)
        response = connection.getresponse()
        text = response.read()
        assert response.status < 300, (response.status, text)
        return text
    finally:
        connection.close()


def write_one(world: World) -> None:
    """Put a sample in by VictoriaMetrics' own import."""
    ask(world, "POST", "/api/v1/import/prometheus", "kept 1\n")
    ask(world, "GET", "/internal/force_flush")
    # It shows samples that are a second old, whatever -search.latencyOffset says.
    wait_until(lambda: query(world, "kept"))


def test_each_store_starts_is_ready_and_ends(world: World, store: str) -> None:
    provider = world.install()
    assert [(item.name, item.condition) for item in provider.workloads()] == [("mimir", "ready")]
    pid = world.pid()
    assert store in Path(f"/proc/{pid}/cmdline").read_text() if Path("/proc").exists() else True
    assert provider.drift() == []
    assert query(world, "up") == []
    provider.remove_cluster(Told().ctx)
    assert start_time(pid) is None
    assert not world.layout().root.exists()


def test_it_listens_on_loopback_only(with_store: World) -> None:
    import psutil

    with_store.install()
    listening = [c.laddr for c in psutil.Process(with_store.pid()).net_connections("tcp") if c.status == "LISTEN"]
    assert [(address.ip, address.port) for address in listening] == [("127.0.0.1", with_store.ports["mimir"])]


def test_a_second_run_changes_nothing(with_store: World) -> None:
    with_store.install()
    before = with_store.pid()
    again = with_store.provider()
    told = Told()
    assert again.cluster().state is ClusterState.HEALTHY
    again.apply_release(told.ctx)
    again.start_workloads(told.ctx)
    assert with_store.pid() == before
    assert not told.notices


def test_a_killed_store_is_said_so_and_started_again(with_store: World) -> None:
    provider = with_store.install()
    with_store.kill()
    (workload,) = provider.workloads()
    assert workload.finding is not None
    assert workload.finding.code == "killed"
    assert workload.finding.remedy is not None
    assert workload.finding.remedy.automatic
    told = Told()
    provider.start_workloads(told.ctx)
    assert all(item.ready for item in with_store.ready(provider))
    assert "SIGKILL" in told.notices[0]


def test_death_is_seen_while_watching(with_store: World) -> None:
    provider = with_store.install()
    told = Told()
    died = 0.0

    def kill() -> None:
        nonlocal died
        died = time.monotonic()
        os.kill(with_store.pid(), signal.SIGKILL)

    threading.Timer(0.3, kill).start()
    for workloads in provider.watch_workloads(told.ctx):
        if workloads[0].finding:
            break
    assert time.monotonic() - died < 10


def test_it_is_started_once_for_each_cause(with_store: World) -> None:
    provider = with_store.install()
    for _ in range(2):
        with_store.kill()
        provider.start_workloads(Told().ctx)
    assert not provider.workloads()[0].ready
    # A new run has a try of its own.
    again = with_store.provider()
    again.start_workloads(Told().ctx)
    assert all(item.ready for item in with_store.ready(again))


def test_after_a_restart_of_the_machine_it_starts_with_its_data(with_store: World) -> None:
    provider = with_store.install()
    write_one(with_store)
    with_store.daemons().stop("mimir")
    # What was recorded before the restart, with a pid that is another process's since.
    with subprocess.Popen(["sleep", "300"], start_new_session=True) as bystander:
        provider.apply_release(Told().ctx)
        record = with_store.daemons().look("mimir").record
        assert record is not None
        with_store.daemons().stop("mimir")
        stale = replace(record, pid=bystander.pid, started=start_time(bystander.pid) or 0.0)
        with_store.daemons().record_path("mimir").write_text(json.dumps(asdict(stale)))
        with_store.boot = "boot 2"
        again = with_store.provider()
        assert again.cluster().state is ClusterState.STOPPED
        assert again.workloads()[0].condition == "not running"
        again.create_cluster(Told().ctx)
        assert again.cluster().state is ClusterState.HEALTHY
        again.start_workloads(Told().ctx)
        assert all(item.ready for item in with_store.ready(again))
        assert bystander.poll() is None
        bystander.kill()
    assert query(with_store, "kept")


def test_a_stale_record_of_another_process_is_not_acted_on(with_store: World) -> None:
    provider = with_store.install()
    record = with_store.daemons().look("mimir").record
    assert record is not None
    with_store.daemons().stop("mimir")
    with subprocess.Popen(["sleep", "300"], start_new_session=True) as bystander:
        stale = replace(record, pid=bystander.pid)
        with_store.daemons().record_path("mimir").write_text(json.dumps(asdict(stale)))
        assert not provider.workloads()[0].ready
        provider.apply_release(Told().ctx)
        with_store.ready(provider)
        provider.remove_cluster(Told().ctx)
        assert bystander.poll() is None
        bystander.kill()


def test_a_damaged_record_neither_doubles_nor_loses_the_process(with_store: World) -> None:
    provider = with_store.install()
    first = with_store.pid()
    with_store.daemons().record_path("mimir").write_text("{ torn")
    assert provider.workloads()[0].ready
    assert [item.change for item in provider.drift()] == ["runs with another configuration"]
    told = Told()
    provider.apply_release(told.ctx)
    assert "damaged" in told.notices[0]
    assert start_time(first) is None
    assert all(item.ready for item in with_store.ready(provider))
    assert provider.drift() == []


def test_a_stolen_port_is_named_before_and_after(with_store: World) -> None:
    provider = with_store.install()
    with_store.daemons().stop("mimir")
    with socket.create_server(("127.0.0.1", with_store.ports["mimir"])):
        port = next(item for item in provider.requirements() if item.id == "port-mimir")
        (finding,) = port.probe().findings
        assert finding.code == "port-in-use"
        assert f"pid {os.getpid()}" in finding.message
        assert finding.remedy is not None
        assert "--port mimir=" in finding.remedy.command
        provider.start_workloads(Told().ctx)
        wait_until(lambda: not with_store.daemons().look("mimir").alive)
        ended = provider.workloads()[0].finding
        assert ended is not None
        assert ended.code == "port-in-use"
        assert "address already in use" in ended.evidence
        provider.start_workloads(Told().ctx)
        assert not with_store.daemons().look("mimir").alive or not provider.workloads()[0].ready


def test_two_clusters_do_not_share_a_port(with_store: World) -> None:
    with_store.install()
    second = with_store.provider("second")
    port = next(item for item in second.requirements() if item.id == "port-mimir")
    (finding,) = port.probe().findings
    assert "the mimir of the cluster o11y-dev" in finding.message


def test_a_store_that_hangs_is_started_anew(world: World) -> None:
    world.stands_in("mimir")
    provider = world.install()
    hung = world.pid()
    os.kill(hung, signal.SIGUSR1)
    wait_until(lambda: provider.workloads()[0].condition == "does not answer")
    told = Told()
    provider.start_workloads(told.ctx)
    assert all(item.ready for item in world.ready(provider))
    assert start_time(hung) is None
    assert "does not answer" in told.notices[0]


def test_a_store_that_was_suspended_is_called_so_and_goes_on(with_store: World) -> None:
    provider = with_store.install()
    suspended = with_store.pid()
    os.kill(suspended, signal.SIGSTOP)  # which reaches each of its threads when that runs next
    wait_until(lambda: not provider.workloads()[0].ready)
    (workload,) = provider.workloads()
    assert "is suspended" in workload.condition
    assert workload.finding is not None
    assert workload.finding.code == "process-suspended"
    told = Told()
    provider.start_workloads(told.ctx)
    assert all(item.ready for item in with_store.ready(provider))
    assert with_store.pid() == suspended, "it is the same process: nothing of what it had in memory is lost"
    assert "is suspended" in told.notices[0]


def test_a_data_folder_that_is_not_one_is_explained(with_store: World) -> None:
    provider = with_store.provider()
    provider.create_cluster(Told().ctx)
    # Root may write anywhere, so a folder without rights would not stop it; a file in its place stops everyone.
    (with_store.layout().data / "victoria-metrics").write_text("")
    with pytest.raises(InstallError) as caught:
        provider.apply_release(Told().ctx)
    assert caught.value.code == "folder-unwritable"
    assert "victoria-metrics" in caught.value.message


def test_a_store_that_may_not_write_is_explained(world: World) -> None:
    # Root may write anywhere, so the store is one that says what another user's would.
    world.script(
        "victoria-metrics",
        '#!/bin/sh\n[ "$1" = -version ] && exit\n'
        "echo 'mkdir /data/x: permission denied password=hunter2' >&2\nexit 1\n",
    )
    provider = world.provider()
    provider.create_cluster(Told().ctx)
    provider.apply_release(Told().ctx)
    (workload,) = world.ready(provider)
    assert workload.finding is not None
    assert workload.finding.code == "permission-denied"
    assert str(world.layout().data) in workload.finding.message
    assert "hunter2" not in workload.finding.evidence


def test_a_configuration_that_was_edited_is_put_right(world: World) -> None:
    world.has("prometheus")
    provider = world.install()
    before = world.pid()
    config = world.layout().config / "mimir" / "prometheus.yaml"
    config.write_text("global: {}\n")
    (config.parent / "extra.yaml").write_text("")
    assert [(item.name, item.change) for item in provider.drift()] == [
        ("mimir/prometheus.yaml", "changed"),
        ("mimir/extra.yaml", "superfluous"),
    ]
    provider.apply_release(Told().ctx)
    assert provider.drift() == []
    # The process still runs with what it read at its start, which is what is there again.
    assert world.pid() == before


def test_another_port_starts_it_anew_with_its_data(with_store: World) -> None:
    with_store.install()
    write_one(with_store)
    before = with_store.pid()
    with_store.ports = World(with_store.folder / "other").ports
    again = with_store.provider()
    assert {item.change for item in again.drift()} == {"changed", "runs with another configuration"}
    again.apply_release(Told().ctx)
    assert all(item.ready for item in with_store.ready(again))
    assert with_store.pid() != before
    assert query(with_store, "kept")


def test_the_kind_of_store_stays_when_a_better_one_appears(world: World) -> None:
    world.has("prometheus")
    world.install()
    before = world.pid()
    world.has("victoria-metrics")
    world.stands_in("mimir")
    again = world.provider()
    assert again.drift() == []
    again.apply_release(Told().ctx)
    assert world.pid() == before
    assert "prometheus" in again.overview().programs["mimir"]


def test_the_build_that_wrote_the_data_stays_when_another_comes_first_on_path(world: World) -> None:
    (world.bin / "victoria-metrics").symlink_to(program("victoria-metrics"))
    world.install()
    before = world.pid()
    world.has("victoria-metrics")
    again = world.provider()
    assert again.drift() == []
    again.apply_release(Told().ctx)
    assert world.pid() == before
    (world.bin / "victoria-metrics").unlink()
    assert str(world.path) in world.provider().overview().programs["mimir"]


@pytest.mark.parametrize("has_program", [True, False])
def test_what_was_never_installed_is_not_called_gone_or_asked(world: World, *, has_program: bool) -> None:
    if has_program:
        world.has("victoria-metrics")
    provider = world.provider()
    (workload,) = provider.workloads()
    assert workload.finding is not None
    assert (workload.finding.code, workload.condition) == ("not-installed", "not installed")
    assert provider.endpoints() == []


def test_a_cluster_is_not_called_well_for_processes_that_do_not_run(with_store: World) -> None:
    provider = with_store.install()
    with_store.kill()
    report = provider.cluster()
    assert report.state is ClusterState.HEALTHY
    assert "process" not in report.evidence
    assert [item.component for item in provider.endpoints()] == ["mimir"], "it is still asked for"


def test_a_component_that_runs_though_its_program_is_gone_stays_part_of_the_stack(with_store: World) -> None:
    with_store.stands_in("loki", "grafana")
    provider = with_store.install()
    (with_store.path / "loki").unlink()
    provider = with_store.provider()
    assert provider.drift() == []
    with_store.kill("loki")
    changed = [drift.name for drift in with_store.provider().drift()]
    assert "grafana/provisioning/datasources/contextcore.yaml" in changed
    gone = next(item for item in with_store.provider().workloads() if item.name == "loki")
    assert gone.finding is not None
    assert gone.finding.code == "program-gone"


def test_what_runs_though_its_program_is_gone_is_not_ended_for_another_configuration(with_store: World) -> None:
    with_store.stands_in("loki")
    with_store.install()
    before = with_store.pid("loki")
    (with_store.path / "loki").unlink()
    with_store.options = {"memory": 1024}
    provider = with_store.provider()
    assert not [drift for drift in provider.drift() if drift.name.startswith("loki")]
    provider.apply_release(Told().ctx)
    assert with_store.pid("loki") == before
    assert with_store.provider().drift() == []


def test_a_store_whose_program_vanished_is_said_so_with_the_remedy(with_store: World) -> None:
    provider = with_store.install()
    with_store.kill()
    (with_store.path / "victoria-metrics").unlink()
    with_store.has("prometheus")
    (workload,) = provider.workloads()
    assert workload.finding is not None
    assert workload.finding.code == "program-gone"
    with_store.install_tools = True
    requirement = next(item for item in with_store.provider().requirements() if item.id == "metrics-store")
    (finding,) = requirement.probe().findings
    assert finding.code == "metrics-store-gone"
    assert finding.remedy is not None
    assert finding.remedy.command == "./create-cluster.sh --install-tools"
    assert finding.remedy.automatic
    assert requirement.fix is not None
    with pytest.raises(InstallError) as caught:
        provider.apply_release(Told().ctx)
    assert caught.value.code == "metrics-store-gone"


def test_without_a_store_the_exact_command_is_given(world: World) -> None:
    requirement = next(item for item in world.provider().requirements() if item.id == "metrics-store")
    assert requirement.fix is None
    (finding,) = requirement.probe().findings
    assert finding.remedy is not None
    assert finding.remedy.command == "./create-cluster.sh --install-tools"
    world.install_tools = True
    requirement = next(item for item in world.provider().requirements() if item.id == "metrics-store")
    assert requirement.fix is not None


def test_without_a_store_nothing_is_left_out_and_the_run_fails(world: World) -> None:
    world.install_tools, world.components = True, frozenset({"mimir", "loki"})
    world.mirror = f"http://127.0.0.1:{free_port()}"
    world.layout().make()
    world.layout().store_choice.write_text('{"family": "mimir"}')  # so that no other will do
    requirements = {item.id: item for item in world.provider().requirements()}
    fix = requirements["programs"].fix
    assert fix is not None
    assert fix == requirements["metrics-store"].fix, "both come at the same time"
    with pytest.raises(InstallError) as caught:
        fix(Told().ctx)
    assert caught.value.code == "metrics-store-unavailable"
    assert requirements["programs"].probe().findings, "the next try is for all of them"


@pytest.mark.parametrize("text", ["{ torn", "[]", '{"loki": 7, "nginx": null}', ""])
def test_a_damaged_note_of_what_was_left_out_is_no_obstacle(with_store: World, text: str) -> None:
    with_store.install_tools, with_store.components = True, frozenset({"mimir", "loki"})
    with_store.layout().make()
    with_store.layout().left_out.write_text(text)
    provider = with_store.install()
    assert [item.component for item in provider.overview().absent] == ["loki"]
    assert [item.name for item in provider.workloads()] == ["mimir"]


def test_another_program_on_path_does_not_hide_the_one_that_was_fetched(with_store: World) -> None:
    with_store.script("loki", "#!/bin/sh\necho 'loki 2.4.7.4 linkage analysis'\n")
    install_stand_in(with_store.bin, "loki")
    assert str(with_store.bin) in with_store.provider().overview().programs["loki"]


def test_the_rest_of_the_stack_runs_where_its_programs_are(with_store: World) -> None:
    with_store.stands_in("loki", "tempo", "alloy", "grafana")
    provider = with_store.provider()
    provider.create_cluster(Told().ctx)
    provider.apply_release(Told().ctx)
    assert len(with_store.ready(provider)) == 5
    assert all(item.ready for item in provider.workloads())
    assert provider.drift() == []
    password = with_store.layout().secrets / "grafana-admin"
    assert password.stat().st_mode & 0o777 == 0o600
    secret = password.read_text()
    assert len(secret) >= 20
    everything = [path for path in with_store.layout().root.rglob("*") if path.is_file() and path != password]
    assert not [path for path in everything if secret.encode() in path.read_bytes()]
    overview = provider.overview()
    assert not overview.absent
    assert overview.programs["grafana"].startswith("grafana 13.2.3")
    grafana = f"http://127.0.0.1:{with_store.ports['grafana']}"
    assert overview.dashboard == f"{grafana}/d/contextcore-installation?var-cluster=o11y-dev"
    provider.remove_release(Told().ctx)
    assert password.read_text() == secret
    assert not any(item.ready for item in provider.workloads())


def test_a_component_that_is_not_chosen_any_more_is_stopped_and_its_data_stays(with_store: World) -> None:
    with_store.stands_in("loki", "grafana")
    with_store.install()
    (with_store.layout().data / "loki" / "chunk").write_text("kept")
    with_store.components = frozenset({"mimir", "grafana"})
    provider = with_store.provider()
    assert "loki is not to run any more" in {f"{drift.name} {drift.change}" for drift in provider.drift()}
    told = Told()
    provider.apply_release(told.ctx)
    with_store.ready(provider)
    assert not with_store.daemons().look("loki").alive
    assert (with_store.layout().data / "loki" / "chunk").read_text() == "kept"
    assert any(str(with_store.layout().data / "loki") in text for text in told.notices)
    assert provider.drift() == []
    assert {item.name for item in provider.workloads()} == {"mimir", "grafana"}
    overview = provider.overview()
    assert overview.absent == ()
    assert overview.not_chosen == frozenset({"loki", "tempo", "alloy"})
    with_store.components = None
    assert {item.name for item in with_store.install().workloads()} == {"mimir", "loki", "grafana"}


def test_what_is_not_chosen_is_neither_looked_for_nor_missing(with_store: World) -> None:
    with_store.stands_in("loki", "tempo")
    with_store.components = frozenset({"mimir", "loki", "alloy"})
    provider = with_store.provider()
    ids = {item.id for item in provider.requirements()}
    assert {"loki", "alloy", "port-loki"} <= ids
    assert ids.isdisjoint({"tempo", "grafana", "port-tempo"})
    assert [item.component for item in provider.overview().absent] == ["alloy"]


def test_a_components_memory_is_bounded_by_us_and_not_by_the_users_environment(world: World) -> None:
    world.script("victoria-metrics", f"#!{sys.executable}\nimport os\nprint(os.environ['GOMEMLIMIT'], flush=True)\n")
    provider = world.provider()
    provider.create_cluster(Told().ctx)
    provider.apply_release(Told().ctx)
    wait_until(lambda: not world.daemons().look("mimir").alive)
    assert "256MiB" in world.daemons().log_path("mimir").read_text()


def test_other_programs_of_the_same_names_are_not_run(with_store: World) -> None:
    # `loki` is also a program for genetic linkage analysis.
    with_store.script("loki", "#!/bin/sh\necho 'loki 2.4.7.4 linkage analysis'\n")
    with_store.script("tempo", "#!/bin/sh\nexit 1\n")
    provider = with_store.provider()
    absent = {item.component: item for item in provider.overview().absent}
    assert set(absent) == {"loki", "tempo", "alloy", "grafana"}
    assert "another program" in absent["loki"].reason
    assert "no `alloy` on PATH" in absent["alloy"].reason


def test_a_component_that_does_not_come_up_names_itself(with_store: World) -> None:
    with_store.script(
        "loki",
        "#!/bin/sh\n[ \"$1\" = -version ] && echo 'loki, version 3.7.6' && exit\n"
        "echo 'failed parsing config: field frontend not found in type loki.Config'; exit 1\n",
    )
    provider = with_store.provider()
    provider.create_cluster(Told().ctx)
    provider.apply_release(Told().ctx)
    wait_until(lambda: not with_store.daemons().look("loki").alive)
    finding = {item.name: item.finding for item in provider.workloads()}["loki"]
    assert finding is not None
    assert finding.code == "bad-config"
    assert "Loki" in finding.message
