"""Whose a cluster is, by the note that was made before it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from contextcore_install.core.dataclass import replace
from contextcore_install.providers.kind.cluster import Owner, OwnerFile, mapped_ports
from contextcore_install.providers.kind.engine_info import Node
from contextcore_install.stack.catalogue import resolve_ports

PORTS = resolve_ports({})
BOUND = {inside: ("127.0.0.1", here) for inside, (_, here) in mapped_ports(PORTS).items()}
NODE = Node("id1", "demo-control-plane", "control-plane", "running", "2026-01-01T10:00:05.1Z", "", "image", BOUND)
BEGAN = 1767261600.0  # 2026-01-01T10:00:00Z
OWNER = Owner("abc", "demo", BEGAN, tuple(port for _, port in BOUND.values()), ("id1",), complete=True)


@pytest.mark.parametrize(
    ("owner", "node", "ours"),
    [
        (OWNER, NODE, True),
        (OWNER, replace(NODE, id="another"), False),
        (replace(OWNER, nodes=()), NODE, True),
        (replace(OWNER, nodes=()), replace(NODE, created="2026-01-01T09:00:00Z"), False),
        (replace(OWNER, nodes=()), replace(NODE, ports={}), False),
        (replace(OWNER, nodes=()), replace(NODE, created="nonsense"), False),
        (replace(OWNER, nodes=()), replace(NODE, role="worker", ports={}), True),
    ],
)
def test_a_cluster_is_ours_by_its_containers_or_by_when_and_how_they_were_made(
    owner: Owner, node: Node, *, ours: bool
) -> None:
    assert owner.owns([node]) is ours


def test_the_note_survives_and_a_damaged_or_foreign_one_is_none(tmp_path: Path) -> None:
    file = OwnerFile(tmp_path / "new" / "owner.json", "demo")
    assert file.read() is None
    owner = file.begin([3000, 9009], "docker")
    assert not owner.complete
    assert file.read() == owner
    assert file.finish(owner, [NODE]).complete
    assert OwnerFile(tmp_path / "new" / "owner.json", "another").read() is None
    for text in ("", "[]", '{"id": 1}', '{"nodes": 3}'):
        (tmp_path / "new" / "owner.json").write_text(text)
        assert file.read() is None


@pytest.mark.parametrize("node", [3, None, ["x"], "", "--format", "a\0b"])
def test_a_note_whose_nodes_are_no_ids_is_none(tmp_path: Path, node: object) -> None:
    file = OwnerFile(tmp_path / "owner.json", "demo")
    file.finish(file.begin([3000], "docker"), [NODE])
    document = json.loads((tmp_path / "owner.json").read_text())
    (tmp_path / "owner.json").write_text(json.dumps(document | {"nodes": [node]}))
    assert file.read() is None


@pytest.mark.parametrize("name", ["id", "cluster", "began", "ports", "nodes", "complete"])
def test_a_note_that_lacks_what_every_note_has_is_none(tmp_path: Path, name: str) -> None:
    file = OwnerFile(tmp_path / "owner.json", "demo")
    file.finish(file.begin([3000], "docker"), [NODE])
    document = json.loads((tmp_path / "owner.json").read_text())
    del document[name]
    (tmp_path / "owner.json").write_text(json.dumps(document))
    assert file.read() is None
