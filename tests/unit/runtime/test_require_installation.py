"""What carries on is refused for a name of which nothing is known, and for no other."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from contextcore_install.__main__ import command_named
from contextcore_install.cli.settings import parse
from contextcore_install.core.errors import ExitCode, InstallError
from contextcore_install.runtime import recovery
from contextcore_install.runtime.app import App
from contextcore_install.runtime.recovery import known_records, require_installation
from contextcore_install.storage.home import Home
from contextcore_install.system.clock import SystemClock


def app(folder: Path, *words: str) -> App:
    return app_of(folder, "--resume", *words)


def app_of(folder: Path, *words: str) -> App:
    streams = io.StringIO(), io.StringIO(), io.StringIO()
    environ = {"HOME": str(folder), "PATH": str(folder)}
    settings = parse(list(words), {}, "./create-cluster.sh")
    return App(settings, environ, Home(folder / "home"), *streams, SystemClock())


def installed(folder: Path, *names: str) -> None:
    for name in names:
        (folder / "home" / "clusters" / name).mkdir(parents=True)


@pytest.mark.parametrize("words", [("--cluster", "nosuch"), ()])
def test_a_name_without_an_installation_is_refused_beside_others(tmp_path: Path, words: tuple[str, ...]) -> None:
    installed(tmp_path, "two", "three")
    with pytest.raises(InstallError) as caught:
        require_installation(app(tmp_path, "--provider", "host", *words), "resume")
    assert caught.value.exit_code == ExitCode.USAGE
    assert caught.value.message.endswith("to resume; installed: three, two")
    assert sorted(path.name for path in (tmp_path / "home" / "clusters").iterdir()) == ["three", "two"]


def test_a_name_that_was_typed_is_refused_where_nothing_is_installed(tmp_path: Path) -> None:
    with pytest.raises(InstallError) as caught:
        require_installation(app(tmp_path, "--provider", "host", "--cluster", "nosuch"), "repair")
    assert caught.value.message == "there is no installation nosuch to repair; nothing is installed"
    assert caught.value.hint == "to install it: ./create-cluster.sh --provider host --cluster nosuch"


def test_the_name_that_was_probably_meant_is_to_be_typed(tmp_path: Path) -> None:
    installed(tmp_path, "o11y-dev")
    for verb, expected in (("resume", "--resume"), ("watch", "watch")):
        with pytest.raises(InstallError) as caught:
            require_installation(app(tmp_path, "--provider", "host", "--cluster", "o11y-dve"), verb)
        assert caught.value.hint == f"./create-cluster.sh {expected} --cluster o11y-dev"


def test_on_a_machine_without_installations_the_usual_name_is_begun(tmp_path: Path) -> None:
    require_installation(app(tmp_path), "resume")


def test_whatever_is_there_of_an_installation_is_carried_on(tmp_path: Path) -> None:
    installed(tmp_path, "other", "lost")
    require_installation(app(tmp_path, "--cluster", "lost"), "resume")
    written = {"version": "1.0", "cluster_name": "by-hand", "steps": {"preflight": {"status": "pending"}}}
    (tmp_path / "home" / "install-state.json").write_text(json.dumps(written))
    require_installation(app(tmp_path, "--cluster", "by-hand"), "resume")


def test_a_cluster_that_cannot_be_asked_may_hold_the_records(tmp_path: Path) -> None:
    installed(tmp_path, "other")
    require_installation(app(tmp_path, "--provider", "kube-context", "--context", "far"), "resume")


@pytest.mark.parametrize(
    "words", [["verify"], ["diagnose"], ["plan", "--repair"], ["history"], ["logs"], ["logs", "pods_ready"]]
)
def test_a_command_about_an_installation_names_those_there_are_and_leaves_nothing_behind(
    tmp_path: Path, words: list[str]
) -> None:
    installed(tmp_path, "demo")
    before = sorted((tmp_path / "home").rglob("*"))
    with pytest.raises(InstallError, match=r"no installation dmo to .*; installed: demo") as caught:
        command_named(words[0])(app_of(tmp_path, *words, "--cluster", "dmo"))
    assert caught.value.exit_code == ExitCode.USAGE
    assert caught.value.hint == f"./create-cluster.sh {' '.join(words[: 1 + (words[0] == 'plan')])} --cluster demo"
    assert sorted((tmp_path / "home").rglob("*")) == before


def test_sending_for_a_name_that_was_mistyped_makes_nothing(tmp_path: Path) -> None:
    installed(tmp_path, "demo")
    sent = command_named("state")(app_of(tmp_path, "state", "send", "--cluster", "typo"))
    assert sent == ExitCode.DONE
    assert not (tmp_path / "home" / "clusters" / "typo").exists()


def test_whatever_breaks_while_records_are_looked_for_elsewhere_there_are_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ValueError("a bug")

    monkeypatch.setattr(recovery, "_from_cluster", broken)
    monkeypatch.setattr(recovery, "_from_store", broken)
    assert not known_records(app(tmp_path, "--provider", "host")).state.exists
