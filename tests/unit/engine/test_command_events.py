"""Which commands of a step become events, and what of them is kept."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from contextcore_install.core.errors import InstallError
from contextcore_install.core.events import Kind
from contextcore_install.core.redaction import LONGEST, command_line
from contextcore_install.core.threads import CancelToken
from contextcore_install.engine.context import LONG_S, Context
from contextcore_install.system import process
from contextcore_install.system.process import capture
from kit.fakes import RealClock

MARKER = "s3cr3t-m4rk3r"


class Heard:
    """A context of a step, and the commands it was told of."""

    def __init__(self, *, applies: bool = True) -> None:
        self.commands: list[dict[str, Any]] = []
        self.ctx = Context("step", CancelToken(), self._tell, RealClock(), time.monotonic() + 60, applies=applies)

    def _tell(self, kind: Kind, step: str, data: dict[str, Any]) -> None:
        if kind is Kind.COMMAND_FINISHED:
            assert step == "step"
            self.commands.append(data)


def test_a_command_is_recorded_with_how_it_ended() -> None:
    heard = Heard()
    process.run(["sh", "-c", "exit 3"], heard.ctx, check=False)
    capture(["sh", "-c", "kill -9 $$"], environ={}, timeout_s=10, ctx=heard.ctx)
    assert [(item["command"], item["exit_code"]) for item in heard.commands] == [
        ("sh -c 'exit 3'", 3),
        ("sh -c 'kill -9 $$'", -9),
    ]
    assert all(0 <= item["duration_seconds"] < 10 for item in heard.commands)


def test_a_command_that_is_cut_off_is_recorded() -> None:
    heard = Heard()
    with pytest.raises(InstallError, match="did not end"):
        process.run(["sleep", "30"], heard.ctx, timeout_s=0.1)
    with pytest.raises(InstallError, match="did not end"):
        capture(["sleep", "30"], environ={"PATH": "/usr/bin:/bin"}, timeout_s=0.1, ctx=heard.ctx)
    assert [item["exit_code"] < 0 for item in heard.commands] == [True, True]


def test_a_command_without_a_step_is_nobodys() -> None:
    assert process.run(["true"]).exit_code == 0


def test_checks_tell_of_long_commands_only() -> None:
    heard = Heard(applies=False)
    heard.ctx.command(["true"], 0, LONG_S / 2)
    heard.ctx.command(["false"], 1, LONG_S / 2)
    heard.ctx.command(["slow"], 0, LONG_S)
    assert [item["command"] for item in heard.commands] == ["slow"]


def test_a_command_belongs_to_the_part_of_its_thread() -> None:
    heard = Heard()
    inside = threading.Event()

    def other() -> None:
        with heard.ctx.part("other"):
            inside.wait(10)
            heard.ctx.command(["b"], 0, 0.0)

    thread = threading.Thread(target=other)
    thread.start()
    with heard.ctx.part("outer"):
        with heard.ctx.part("inner"):
            heard.ctx.command(["a"], 0, 0.0)
        heard.ctx.command(["c"], 0, 0.0)
    heard.ctx.command(["d"], 0, 0.0)
    inside.set()
    thread.join(10)
    assert {item["command"]: item.get("part", "") for item in heard.commands} == {
        "a": "inner",
        "b": "other",
        "c": "outer",
        "d": "",
    }


@pytest.mark.parametrize(
    "argv",
    [
        ["tool", "--password", MARKER],
        ["tool", "--password", f"it's {MARKER}"],
        ["tool", f"--token={MARKER}"],
        ["kubectl", "create", "secret", f"--from-literal=password=two words {MARKER}"],
        ["curl", "-H", f"Authorization: Bearer {MARKER}", "http://127.0.0.1"],
        ["git", "clone", f"https://user:{MARKER}@example.org/x"],
        ["sh", "-c", f"API_KEY={MARKER} tool"],
    ],
)
def test_secrets_are_not_kept(argv: list[str]) -> None:
    assert MARKER not in command_line(argv)
    assert command_line(argv).startswith(argv[0])


def test_what_is_no_secret_is_kept_as_a_shell_takes_it() -> None:
    assert command_line(["kind", "create", "cluster", "--name", "a b"]) == "kind create cluster --name 'a b'"
    assert len(command_line(["x" * 10_000])) == LONGEST
