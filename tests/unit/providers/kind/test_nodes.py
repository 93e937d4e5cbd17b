"""A cluster's containers, as the engine tells of them: what it does not tell is not taken for gone."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from contextcore_install.core.dataclass import dataclass, field
from contextcore_install.core.errors import InstallError
from contextcore_install.core.interfaces import StepContext
from contextcore_install.providers.kind.cluster import Owner
from contextcore_install.providers.kind.engine import ContainerEngine
from contextcore_install.providers.kind.engine_info import read_node
from contextcore_install.providers.kubernetes.objects import moment
from contextcore_install.system.process import Captured

ONE = json.dumps([{"Id": "id1", "Name": "/demo-control-plane"}])
GONE = "Error: No such container: id2"


@dataclass
class Answering(ContainerEngine):
    """An engine with two containers, and how it answers when it is asked what they are."""

    exit_code: int
    stdout: str
    stderr: str = ""
    name: str = "docker"
    environ: Mapping[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def ask(self, *arguments: str, timeout_s: float = 0, ctx: StepContext | None = None) -> Captured:
        self.asked.append(arguments[0])
        if arguments[0] == "ps":
            return Captured(arguments, 0, "id1\nid2\n", "")
        return Captured(arguments, self.exit_code, self.stdout, self.stderr)


@pytest.mark.parametrize("said", [GONE, "Error response from daemon: no such container: id2", f"{GONE}\n\n"])
def test_one_that_has_just_gone_is_no_node(said: str) -> None:
    (node,) = Answering(1, ONE, said).nodes("demo")
    assert node.id == "id1"


def test_those_that_are_noted_are_not_looked_for_while_all_of_them_are_there() -> None:
    engine = Answering(0, ONE)
    assert [node.id for node in engine.nodes("demo", noted=["id1"])] == ["id1"]
    assert engine.asked == ["inspect"]


@pytest.mark.parametrize(("exit_code", "noted"), [(0, ["id1", "id3"]), (1, ["id1"])])
def test_all_are_looked_for_when_one_that_is_noted_has_gone(exit_code: int, noted: list[str]) -> None:
    engine = Answering(exit_code, ONE, GONE if exit_code else "")
    assert [node.id for node in engine.nodes("demo", noted)] == ["id1"]
    assert engine.asked == ["inspect", "ps", "inspect"]


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


@pytest.mark.parametrize(
    ("told", "instant"),
    [
        ("2025-05-05T16:15:56.740123456Z", 1746461756.740123),
        ("2025-05-05T18:15:56.74+02:00", 1746461756.74),
        ("2025-05-05T20:15:56-05:30", 1746495956.0),
        ("0001-01-01T00:00:00+02:00", -62135604000.0),
        ("nonsense", 0.0),
    ],
)
def test_times_are_understood_whichever_engine_tells_them(told: str, instant: float) -> None:
    node = read_node({"Created": told, "State": {"StartedAt": told}})
    assert (moment(node.created), moment(node.started)) == (instant, instant)


def test_a_container_that_podman_made_before_ours_was_begun_is_not_ours() -> None:
    began = 1746461756.0  # 2025-05-05T16:15:56Z
    node = read_node({"Created": "2025-05-05T17:15:56.74+02:00"})
    assert not Owner("abc", "demo", began, ()).owns([node])
