"""Whose the ports are that should lead into our nodes."""

from __future__ import annotations

import pytest

from contextcore_install.core.dataclass import replace
from contextcore_install.core.errors import InstallError
from contextcore_install.providers.kind.cluster import Owner, PortHolders
from contextcore_install.providers.kind.engine_info import Node

NODE = Node("id1", "demo-control-plane", "control-plane", "running", "", "", "image", {30009: ("127.0.0.1", 9009)})
OWNER = Owner("abc", "demo", 0.0, (9009,), ("id1",), complete=True)


@pytest.mark.parametrize(
    ("node", "owner", "is_ours"),
    [
        (NODE, OWNER, True),
        (NODE, None, True),
        (replace(NODE, state="paused"), OWNER, True),
        (replace(NODE, state="exited"), OWNER, False),
        (replace(NODE, id="another"), OWNER, False),
        (replace(NODE, ports={30009: ("127.0.0.1", 9109)}), OWNER, False),
    ],
)
def test_a_port_is_ours_while_a_node_of_ours_has_it(node: Node, owner: Owner | None, *, is_ours: bool) -> None:
    holders = PortHolders(lambda: [node], lambda: owner, lambda _: True)
    assert (not holders.stranger(9009)) is is_ours


def test_where_nobody_listens_there_is_no_stranger_and_the_engine_is_not_asked() -> None:
    def unasked() -> list[Node]:
        raise AssertionError("the engine was asked")

    assert not PortHolders(unasked, lambda: OWNER, lambda _: False).stranger(9009)


def test_what_the_engine_does_not_tell_is_held_against_nobody() -> None:
    def silent() -> list[Node]:
        raise InstallError("engine-away", "no answer")

    assert not PortHolders(silent, lambda: OWNER, lambda _: True).stranger(9009)


def test_a_port_that_was_our_nodes_is_asked_about_every_few_seconds_only() -> None:
    asked, now = [0], [100.0]

    def nodes() -> list[Node]:
        asked[0] += 1
        return [NODE]

    holders = PortHolders(nodes, lambda: OWNER, lambda _: True, lambda: now[0])
    for second in range(20):
        now[0] = 100.0 + second
        assert not holders.stranger(9009)
    assert asked == [2]
    assert holders.stranger(9010), "another port is asked about"
    assert asked == [3]
