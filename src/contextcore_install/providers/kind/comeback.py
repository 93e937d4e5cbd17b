"""Whether nodes that were started again are back: what they said of themselves before is history."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from contextcore_install.providers.kind.engine import Node

#: Seconds for which a node has been started lately, and in which one that is made is started first.
LATELY_S, FIRST_START_WITHIN_S = 120.0, 30.0
MANAGER = "kube-controller-manager"
"""The Lease by which it leads, in kube-system."""


def has_come_back(nodes: Sequence[Node], renewed: Callable[[], Mapping[str, str]]) -> bool:
    """Tell whether every node has told of itself since its container started: what it said before is history.

    One at its first start has none, and is not asked about. The controller manager must have told of itself, too: until
    it leads again, and that takes it some 20 seconds, nobody counts pods or tells Services where they are now.
    """
    if not any(_has_history(node) for node in nodes):
        return True
    told = renewed()
    started = {node.name: _seconds(node.started) for node in nodes if node.is_member}
    managed = max(_seconds(node.started) for node in nodes if node.is_control_plane)
    return all(_seconds(told.get(name, "")) >= began for name, began in started.items()) and (
        MANAGER not in told or _seconds(told[MANAGER]) >= managed
    )


def came_back_lately(node: Node, now: float) -> bool:
    """Tell whether a node was started in the last `LATELY_S` seconds, and not for the first time."""
    return now - _seconds(node.started) < LATELY_S and _has_history(node)


def _has_history(node: Node) -> bool:
    return _seconds(node.started) - _seconds(node.created) > FIRST_START_WITHIN_S


def _seconds(moment: str) -> float:
    try:
        return datetime.fromisoformat(moment[:19] + "+00:00").timestamp()
    except ValueError:
        return 0.0
