"""A cluster's containers, as the engine tells of them: what it does not tell is not taken for gone."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from contextcore_install.core.errors import InstallError
from contextcore_install.core.ports import StepContext
from contextcore_install.providers.kind.engine import Engine
from contextcore_install.tools.capture import Captured

ONE = json.dumps([{"Id": "id1", "Name": "/demo-control-plane"}])
GONE = "Error: No such container: id2"


@dataclass
class Answering(Engine):
    """An engine with two containers, and how it answers when it is asked what they are."""

    exit_code: int
    stdout: str
    stderr: str = ""
    name: str = "docker"

    def ask(self, *arguments: str, timeout_s: float = 0, ctx: StepContext | None = None) -> Captured:
        if arguments[0] == "ps":
            return Captured(arguments, 0, "id1\nid2\n", "")
        return Captured(arguments, self.exit_code, self.stdout, self.stderr)


@pytest.mark.parametrize("said", [GONE, "Error response from daemon: no such container: id2", f"{GONE}\n\n"])
def test_one_that_has_just_gone_is_no_node(said: str) -> None:
    (node,) = Answering(1, ONE, said).nodes("demo")
    assert node.id == "id1"


@pytest.mark.parametrize(
    ("exit_code", "stdout", "stderr", "code"),
    [
        (1, "", "Cannot connect to the Docker daemon", "engine-down"),
        (1, ONE, f"{GONE}\nError: i/o timeout", "engine-error"),
        (1, ONE, "", "engine-error"),
        (1, "[]", GONE, "engine-error"),
        (0, "not json", "", "engine-error"),
        (0, "[]", "", "engine-error"),
        (-9, "", "", "engine-error"),
    ],
)
def test_an_answer_that_says_nothing_of_them_is_an_error_and_worth_another_try(
    exit_code: int, stdout: str, stderr: str, code: str
) -> None:
    with pytest.raises(InstallError) as caught:
        Answering(exit_code, stdout, stderr).nodes("demo")
    assert (caught.value.code, caught.value.retryable) == (code, True)
