"""The main job, on this machine, with a real metrics store: install, run again, kill, resume, repair, delete."""

from __future__ import annotations

import json
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import time
from pathlib import Path

import pytest

from contextcore_install.engine.names import STEP_IDS
from kit.installation import STUCK, Installation, end, kill, read_until
from kit.stores import free_port, wait_until


def test_an_installation_completes_and_a_second_run_has_nothing_to_do(installation: Installation) -> None:
    first = installation.install()
    assert first.returncode == 0, first.stdout + first.stderr
    assert f"http://127.0.0.1:{installation.ports['mimir']}" in first.stdout
    assert {step["status"] for step in installation.steps().values()} == {"completed"}
    attempts = installation.attempts()
    second = installation.run()
    assert second.returncode == 0
    assert "nothing had to be done" in second.stdout, second.stdout
    assert installation.attempts() == attempts


def test_the_files_are_private_and_where_the_plan_wants_them(installation: Installation) -> None:
    installation.install()
    installation.remove()  # its store would go on renaming files
    latest_link = installation.home / "install-state.json"
    assert str(latest_link.readlink()) == "clusters/test/install-state.json"
    assert json.loads(latest_link.read_text())["version"] == "1.0"
    for path in [installation.home, *installation.home.rglob("*")]:
        if not path.is_symlink() and "runtime" not in path.parts:
            open_to_others = stat.S_IMODE(path.stat().st_mode) & 0o022
            assert not open_to_others, path
    assert stat.S_IMODE(installation.home.stat().st_mode) == 0o700
    assert stat.S_IMODE(installation.state.stat().st_mode) == 0o600


@pytest.mark.parametrize("step", STEP_IDS)
def test_a_run_killed_in_any_step_is_carried_on_and_repeats_nothing(installation: Installation, step: str) -> None:
    running = installation.start("--provider", "host", *installation.port_flags())
    read_until(running, "step_checking", step)
    kill(running)
    before = installation.steps()
    assert installation.status()["overall"] == "interrupted"
    resumed = installation.run("--resume")
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    after = installation.steps()
    assert {known["status"] for known in after.values()} == {"completed"}
    for step_id, known in before.items():
        if known["status"] == "completed":
            assert after[step_id]["attempts"] == known["attempts"], f"{step_id} was applied again"
    assert len(installation.processes()) == 1


def test_ctrl_c_saves_the_state_ends_with_130_and_says_how_to_go_on(stuck: Installation) -> None:
    running = stuck.start("--provider", "host", *stuck.port_flags())
    read_until(running, "step_started", "pods_ready")
    running.send_signal(signal.SIGINT)
    finished = read_until(running, "run_finished")
    assert (finished["outcome"], finished["exit_code"]) == ("interrupted", 130)
    running.communicate(timeout=60)
    assert running.returncode == 130
    assert stuck.steps()["pods_ready"]["status"] == "in_progress"
    shown = stuck.run("--status").stdout
    assert "--resume" in shown


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_other_ways_to_be_told_to_end_are_the_same(stuck: Installation, number: signal.Signals) -> None:
    running = stuck.start("--provider", "host", *stuck.port_flags())
    read_until(running, "step_started", "pods_ready")
    running.send_signal(number)
    running.communicate(timeout=60)
    assert running.returncode == 130
    assert stuck.status()["run"]["outcome"] == "interrupted"


def test_the_interrupted_user_is_told_what_to_type_and_it_works(installation: Installation) -> None:
    programs = installation.folder / "programs"
    programs.mkdir()
    (programs / "victoria-metrics").write_text(STUCK)
    (programs / "victoria-metrics").chmod(0o755)
    installation.path = (str(programs),)
    running = subprocess.Popen(
        installation.command("--provider", "host", *installation.port_flags()),
        env=installation.environ(),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert running.stdout
    for line in running.stdout:
        if "pods_ready" in line and "▸" in line:
            break
    running.send_signal(signal.SIGINT)
    rest, _ = running.communicate(timeout=60)
    assert running.returncode == 130
    (command,) = [line for line in rest.splitlines() if "--resume" in line]
    (programs / "victoria-metrics").unlink()
    installation.path = ()
    for process in installation.processes():
        end(process)
    words = command.split("Next")[-1].split("  ")
    home, program, *typed = next(word for word in words if word.strip()).split()
    assert home == f"CONTEXTCORE_HOME={installation.home}"
    assert program == str(installation.folder / "create-cluster.sh")
    resumed = installation.run(*typed)
    assert resumed.returncode in (0, 3), resumed.stdout + resumed.stderr


def test_a_second_ctrl_c_ends_at_once(stuck: Installation) -> None:
    running = stuck.start("--provider", "host", *stuck.port_flags())
    read_until(running, "step_started", "pods_ready")
    running.send_signal(signal.SIGSTOP)
    running.send_signal(signal.SIGINT)
    running.send_signal(signal.SIGTERM)
    running.send_signal(signal.SIGCONT)
    began = time.monotonic()
    running.communicate(timeout=60)
    assert running.returncode == 130
    assert time.monotonic() - began < 5


def test_a_second_run_at_the_same_time_is_told_who_is_at_work(stuck: Installation) -> None:
    running = stuck.start("--provider", "host", *stuck.port_flags())
    read_until(running, "step_started", "pods_ready")
    second = stuck.run("--resume")
    assert second.returncode == 5
    assert f"process {running.pid} " in second.stderr
    assert stuck.status()["overall"] == "running"
    kill(running)


def test_a_time_limit_ends_the_run_and_says_what_it_waited_for(stuck: Installation) -> None:
    ended = stuck.install("--timeout", "3s")
    assert ended.returncode == 1
    error = stuck.steps()["pods_ready"]["error"]
    assert error["code"] == "timeout"
    assert "mimir" in error["evidence"]


def test_repair_starts_what_was_killed_and_keeps_the_data(installation: Installation) -> None:
    installation.install()
    (process,) = installation.processes()
    end(process)
    assert installation.run("verify").returncode == 1
    repaired = installation.run("--repair", "--yes")
    assert repaired.returncode == 0, repaired.stdout + repaired.stderr
    assert "mimir" in repaired.stdout or "metrics store" in repaired.stdout
    assert installation.run("verify").returncode == 0
    assert len(installation.processes()) == 1


def test_a_step_that_is_done_is_run_again_when_its_check_fails(installation: Installation) -> None:
    installation.install()
    (process,) = installation.processes()
    end(process)
    resumed = installation.run("--resume")
    assert resumed.returncode == 0
    assert len(installation.processes()) == 1


def test_a_changed_port_is_kept_moves_the_service_and_says_which_steps_are_stale(installation: Installation) -> None:
    installation.install()
    port = free_port()
    moved = installation.run("--port", f"mimir={port}", "--output", "json")
    assert moved.returncode == 0, moved.stdout + moved.stderr
    stale = [json.loads(line) for line in moved.stdout.splitlines() if '"step_invalidated"' in line]
    assert "manifests_apply" in {event["step"] for event in stale}
    again = installation.run()
    assert f"http://127.0.0.1:{port}" in again.stdout
    assert "nothing had to be done" in again.stdout
    assert len(installation.processes()) == 1


def test_reset_puts_the_records_aside_and_leaves_the_cluster_alone(installation: Installation) -> None:
    installation.install()
    (before,) = installation.processes()
    reset = installation.run("--reset")
    assert reset.returncode == 0
    (archived,) = (installation.home / "archive").iterdir()
    assert {"install-state.json", "journal.jsonl", "logs"} <= {path.name for path in archived.iterdir()}
    assert installation.status()["overall"] == "not_installed"
    assert [process.pid for process in installation.processes()] == [before.pid]
    assert "its files are in" in reset_status(installation)
    planned = json.loads(installation.run("plan", "--output", "json").stdout)
    assert planned["ports"] == installation.ports  # as noted beside the processes
    assert installation.run("--resume").returncode == 0
    assert [process.pid for process in installation.processes()] == [before.pid]
    assert installation.status()["settings"]["ports"] == installation.ports


def reset_status(installation: Installation) -> str:
    return installation.run("--status").stderr


def test_a_store_whose_data_was_deleted_is_told_everything_again(installation: Installation) -> None:
    installation.install()
    installation.remove()
    shutil.rmtree(installation.files / "host" / "data" / "victoria-metrics")
    resumed = installation.run("--resume")
    assert resumed.returncode == 0, resumed.stdout
    assert installation.run("verify").returncode == 0


def test_a_data_folder_that_was_emptied_is_said_until_somebody_accepts_it(installation: Installation) -> None:
    installation.install()
    (seen,) = installation.state_document()["data"]
    assert seen == "victoria-metrics"
    assert "data of" not in installation.run("plan").stdout
    installation.remove()
    for path in (installation.files / "host" / "data" / seen).iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for words in (["plan"], ["--resume"], ["plan"], ["--repair"]):
        shown = installation.run(*words)
        assert "The data of mimir is gone" in shown.stdout, words
    verified = json.loads(installation.run("verify", "--output", "json").stdout)
    assert "data_is_the_same" in {each["id"] for each in verified["requirements"] if each["status"] == "unmet"}
    assert installation.run("--repair", "--yes").returncode == 0
    assert "data of" not in installation.run("plan").stdout


@pytest.mark.parametrize("moment", [("run_started",), ("step_completed", "manifests_apply")])
def test_data_that_is_replaced_while_a_repair_runs_is_named_and_not_accepted(
    installation: Installation, moment: tuple[str, ...]
) -> None:
    installation.install()
    noted = installation.state_document()["data"]
    installation.remove()
    running = installation.start("--repair", "--yes")
    read_until(running, *moment)
    mark = installation.files / "host" / "data" / "victoria-metrics" / "contextcore-data.json"
    mark.write_text(json.dumps({**json.loads(mark.read_text()), "id": "another"}))
    output, errors = running.communicate(timeout=120)
    assert running.returncode == 0, errors
    told = [event for event in map(json.loads, output.splitlines()) if event.get("code") == "data-replaced"]
    assert len(told) == 1, told
    assert installation.state_document()["data"] == noted
    assert "The data of mimir is gone" in installation.run("verify").stdout
    assert "The data of mimir is gone" in installation.run("--repair", "--yes").stdout
    assert installation.state_document()["data"] == {"victoria-metrics": "another"}


@pytest.mark.parametrize("closing", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_standard_stream_changes_nothing(installation: Installation, closing: str) -> None:
    words = installation.command("--provider", "host", *installation.port_flags())
    ended = subprocess.run(
        ["/bin/sh", "-c", f'exec "$@" {closing}', "sh", *words],
        env=installation.environ(),
        check=False,
        capture_output=True,
    )
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert installation.status()["overall"] == "complete"


def test_output_that_cannot_be_written_is_told_of_in_one_sentence(installation: Installation) -> None:
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            installation.command("--status"),
            env=installation.environ(),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
    assert "standard output cannot be written: No space left on device" in ended.stderr


def test_reset_of_what_was_never_installed_says_so_and_makes_nothing(installation: Installation) -> None:
    installation.install()
    other = installation.run("--reset", "--cluster", "another")
    assert (other.returncode, "nothing is recorded of another" in other.stdout) == (0, True)
    assert not (installation.home / "clusters" / "another").exists()
    installation.run("--reset")
    assert "nothing is recorded" in installation.run("--reset").stdout
    assert len(list((installation.home / "archive").iterdir())) == 1


def test_delete_wants_the_name_and_then_removes_all_but_the_records(installation: Installation) -> None:
    installation.install()
    for words in (["delete"], ["delete", "--yes"]):
        refused = installation.run(*words)
        assert refused.returncode == 2
        assert "delete --yes --cluster test" in refused.stderr
    assert len(installation.processes()) == 1
    deleted = installation.run("delete", "--yes", "--cluster", "test")
    assert deleted.returncode == 0, deleted.stderr
    assert installation.processes() == []
    assert not installation.files.exists()
    assert not (installation.home / "install-state.json").is_symlink()
    assert len(list((installation.home / "archive").iterdir())) == 1
    assert installation.run("delete", "--yes", "--cluster", "test").returncode == 0


def test_delete_removes_what_a_mistyped_context_has_left(installation: Installation) -> None:
    kubectl = installation.folder / "bin" / "kubectl"
    kubectl.parent.mkdir(parents=True)
    kubectl.write_text("#!/bin/sh\necho 'error: context \"typo\" does not exist' >&2\nexit 1\n")
    kubectl.chmod(0o755)
    installation.path = (str(kubectl.parent),)
    assert installation.run("--provider", "kube-context", "--context", "typo").returncode == 3
    deleted = installation.run("delete", "--yes", "--cluster", "test")
    assert deleted.returncode == 0, deleted.stderr
    assert not installation.files.exists()


def test_delete_that_cannot_keep_the_records_ends_nothing(installation: Installation) -> None:
    installation.install()
    (installation.home / "archive").write_text("in the way")
    refused = installation.run("delete", "--yes", "--cluster", "test")
    assert refused.returncode == 4, refused.stdout + refused.stderr
    assert len(installation.processes()) == 1
    assert (installation.files / "host").is_dir()
    (installation.home / "archive").unlink()
    assert installation.run("delete", "--yes", "--cluster", "test").returncode == 0


def test_without_waiting_the_rest_is_left_to_resume(installation: Installation) -> None:
    started = installation.install("--skip-wait")
    assert started.returncode == 0
    statuses = [step["status"] for step in installation.steps().values()]
    assert statuses == ["completed"] * 3 + ["pending"] * 3
    assert installation.run("--resume").returncode == 0
    assert {step["status"] for step in installation.steps().values()} == {"completed"}


def test_json_output_is_one_event_a_line_and_nothing_else(installation: Installation) -> None:
    answer = installation.run("--provider", "host", *installation.port_flags(), "--output", "json")
    events = [json.loads(line) for line in answer.stdout.splitlines()]
    assert {event["schema"] for event in events} == {"contextcore-install/event/v1"}
    assert (events[-1]["kind"], events[-1]["outcome"]) == ("run_finished", "succeeded")
    assert answer.stderr == ""


def test_the_tutorial_explains_each_step_and_its_commands_work(installation: Installation) -> None:
    told = installation.install("--tutorial").stdout
    assert told.count("By hand:") == len(STEP_IDS)
    lines = [line.strip() for line in told.splitlines()]
    for command in [line for line in lines if line.startswith("curl ")]:
        # Stores show a sample only a moment after they took it, which a reader of the lesson does not notice.
        wait_until(lambda command=command: _answers(command), f"{command} shows nothing", limit_s=60)  # type: ignore[misc]
    assert installation.run("--tutorial", "--output", "json").returncode == 2


def _answers(command: str) -> bool:
    answer = subprocess.run(shlex.split(command), capture_output=True, text=True, timeout=60, check=True)
    return "contextcore_install_step_status" in answer.stdout or " 200 " in answer.stdout


@pytest.mark.parametrize(("code", "said"), [(0, "verify passed: 7 of 7"), (3, "verify ended with 3: 7 of 7")])
def test_contextcores_own_verification_is_run_and_its_result_told(
    installation: Installation, code: int, said: str
) -> None:
    programs = installation.folder / "programs"
    programs.mkdir()
    (programs / "contextcore").write_text(f'#!/bin/sh\n[ "$*" = "install verify" ] && echo 7 of 7\nexit {code}\n')
    (programs / "contextcore").chmod(0o755)
    installation.path = (str(programs),)
    told = installation.install()
    assert told.returncode == 0
    assert said in told.stdout


def test_history_and_logs_tell_of_earlier_runs(installation: Installation) -> None:
    installation.install()
    installation.run("--resume")
    runs = json.loads(installation.run("history", "--output", "json").stdout)["runs"]
    assert [(run["mode"], run["outcome"]) for run in runs] == [("install", "succeeded"), ("resume", "succeeded")]
    assert "manifests_apply" in runs[0]["applied"]
    assert runs[1]["applied"] == []
    one = installation.run("logs", "manifests_apply").stdout
    assert "begins" in one
    assert one.startswith(
        f"run {runs[0]['run_id']} (the last that left this; the latest is {runs[1]['run_id']}; times are UTC)\n"
    )
    assert runs[1]["run_id"] in installation.run("logs", "--output", "json").stdout


def test_a_plan_changes_nothing(installation: Installation) -> None:
    planned = installation.run("plan", "--output", "json", "--provider", "host")
    assert planned.returncode == 0, planned.stderr
    document = json.loads(planned.stdout)
    assert [step["id"] for step in document["steps"]] == list(STEP_IDS)
    assert not installation.home.exists()


def test_the_plans_own_file_is_taken_over_and_carried_on(installation: Installation) -> None:
    installation.home.mkdir(mode=0o700)
    latest_link = installation.home / "install-state.json"
    latest_link.write_text(
        json.dumps(
            {
                "version": "1.0",
                "cluster_name": "test",
                "started_at": "2024-01-22T15:30:00Z",
                "updated_at": "2024-01-22T15:35:00Z",
                "steps": {"preflight": {"status": "completed", "completed_at": "2024-01-22T15:30:05Z"}},
            }
        )
    )
    assert installation.steps()["preflight"]["status"] == "completed"
    resumed = installation.run("--resume", "--provider", "host", *installation.port_flags())
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert latest_link.is_symlink()
    assert installation.status()["started_at"] == "2024-01-22T15:30:00Z"


def test_commands_in_json_are_those_that_this_user_types(installation: Installation, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    alone = {"PATH": str(tmp_path / "empty"), "CONTEXTCORE_CLUSTER": ""}
    words = ["--provider", "host", "--cluster", "two", "--output", "json"]
    refused = installation.run(*words, environ=alone)
    program = f"CONTEXTCORE_HOME={installation.home} {installation.folder / 'create-cluster.sh'}"
    expected = f"{program} --install-tools --cluster two"
    events = [json.loads(line) for line in refused.stdout.splitlines()]
    assert {event["error"]["hint"] for event in events if event["kind"] == "step_failed"} == {expected}
    planned = json.loads(installation.run("plan", *words, environ=alone).stdout)
    command = planned["steps"][0]["findings"][0]["remedy"]["command"]
    assert command == f"{program} --install-tools --provider host --cluster two", "no run keeps the provider"


def test_a_missing_store_is_told_with_the_exact_command(installation: Installation, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    refused = installation.run("--provider", "host", environ={"PATH": str(empty)})
    assert refused.returncode == 3
    assert "--install-tools" in refused.stdout


def test_later_runs_may_get_tools_where_an_earlier_one_could(installation: Installation) -> None:
    alone = {"PATH": "/usr/bin:/bin"}
    with socket.socket() as other:
        other.bind(("127.0.0.1", installation.ports["mimir"]))
        other.listen()
        assert installation.install("--install-tools").returncode == 3
    planned = json.loads(installation.run("plan", "--repair", "--output", "json", environ=alone).stdout)
    (missing,) = [item for item in planned["checks"][0]["findings"] if item["code"] == "metrics-store-missing"]
    assert missing["remedy"]["automatic"]


def test_where_kind_is_too_old_another_provider_is_named_and_may_be_chosen(installation: Installation) -> None:
    programs = installation.folder / "programs"
    programs.mkdir()
    for name, said in (("docker", "{}"), ("kind", "kind v0.1.0 go1.12 linux/amd64")):
        (programs / name).write_text(f"#!/bin/sh\necho '{said}'\n")
        (programs / name).chmod(0o755)
    installation.path = (str(programs),)
    refused = installation.run(*installation.port_flags())
    assert refused.returncode == 3, refused.stdout + refused.stderr
    assert "preflight failed" in refused.stdout
    assert f"{installation.command()[-1]} --provider host" in refused.stdout
    installed = installation.install()
    assert installed.returncode == 0, installed.stdout + installed.stderr
    contradicting = installation.run("--provider", "kind")
    assert contradicting.returncode == 2
    assert "was made with --provider host" in contradicting.stderr
