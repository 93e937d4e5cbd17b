"""Whatever stands in our files: every command ends in time with what it could tell, or with one sentence."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.quick_plan import CLUSTER, World
from contextcore_install.core.errors import InstallError
from contextcore_install.storage.contact_file import load_contact_points
from contextcore_install.storage.cursors import CursorFile
from contextcore_install.storage.home import Home
from contextcore_install.storage.journal.journal import JournalReader
from contextcore_install.storage.lock import Lock as RunLock
from contextcore_install.system.lock import owner_of
from contextcore_install.telemetry.cursors import BatchReader, JournalReplacedError, SharedCursors
from contextcore_install.telemetry.exporters.loki import LogFold
from contextcore_install.telemetry.folds.metrics import MetricsFold, Sample
from contextcore_install.telemetry.folds.traces import TraceFold
from contextcore_install.telemetry.shipper import Shipper
from fuzz.hostile import assert_harmless, changed, examples, invoke, texts, values

pytestmark = pytest.mark.slow

READING = (["--status"], ["--status", "--output", "json"], ["history"], ["clusters"], ["logs", "preflight"])


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return the files of an installation that went well."""
    world = World(tmp_path_factory.mktemp("recorded"))
    assert world.run() == 0
    return {path.name: path.read_bytes() for path in world.files.iterdir() if path.is_file()}


@contextmanager
def standing(files: dict[str, bytes]) -> Iterator[World]:
    """Within the block, have a home with these files of the cluster."""
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder))
        world.files.mkdir(parents=True)
        for place in (world.home, world.home / "clusters", world.files):
            place.chmod(0o700)
        for name, content in files.items():
            (world.files / name).write_bytes(content)
        yield world


def look_at(world: World) -> None:
    """Have everything shown that can be shown of the records, and see that this changes nothing."""
    before = {path: path.read_bytes() for path in world.files.iterdir() if path.is_file()}
    for words in READING:
        shown = invoke(world.home, ["--cluster", CLUSTER, *words])
        assert_harmless(shown.err)
        if "json" not in words:
            assert_harmless(shown.out)
        elif shown.code == 0:
            json.loads(shown.out)
    assert before == {path: path.read_bytes() for path in world.files.iterdir() if path.is_file()}


def carry_on(world: World) -> None:
    """Have the next run carry on with the records."""
    code = world.run()
    assert code in (0, 2, 4), f"exit code {code}: {world.shown.read_text()[-3000:]}"
    assert {path.name for path in world.home.parent.iterdir()} <= {"home", "effects", "shown"}


@given(st.data())
@examples
def test_any_state_file(recorded: dict[str, bytes], data: st.DataObject) -> None:
    document = data.draw(changed(json.loads(recorded["install-state.json"])))
    content = json.dumps(document).encode()
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content)))]
    kept = recorded if data.draw(st.booleans()) else {}
    with standing({**kept, "install-state.json": content}) as world:
        look_at(world)
        carry_on(world)


@given(st.data())
@examples
def test_any_journal(recorded: dict[str, bytes], data: st.DataObject) -> None:
    lines = recorded["journal.jsonl"].splitlines()
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(lines) - 1))
        if data.draw(st.booleans()):
            document = data.draw(
                changed(json.loads(data.draw(st.sampled_from(recorded["journal.jsonl"].splitlines()))))
            )
            lines[at] = json.dumps(document).encode()
        else:
            lines.insert(at, data.draw(st.binary(max_size=60)))
    content = b"\n".join(lines) + (b"\n" if data.draw(st.booleans()) else b"")
    kept = recorded if data.draw(st.booleans()) else {}
    with standing({**kept, "journal.jsonl": content}) as world:
        look_at(world)
        fold_all(world)
        carry_on(world)


def fold_all(world: World) -> None:
    """Have all that is made of the journal made of it."""
    folds = [kind(CLUSTER) for kind in (MetricsFold, TraceFold, LogFold)]
    for _, event in JournalReader(Home(world.home).cluster(CLUSTER).journal).read():
        for fold in folds:
            fold.take(event)
    for fold in folds:
        type(fold).restore(CLUSTER, json.loads(json.dumps(fold.snapshot())))


@given(st.data())
@examples
def test_any_cursors(recorded: dict[str, bytes], data: st.DataObject) -> None:
    point = {"number": 3, "at_us": 1, "position": 400, "fold": MetricsFold(CLUSTER).snapshot()}
    sample = {"name": "contextcore_install_info", "labels": {"cluster": "c"}, "value": 1.0, "at_ms": 1}
    real = {"prometheus http://127.0.0.1:9": {"sent": point, "base": point, "mark": sample, "refused_ms": 0}}
    with standing({**recorded, "cursors.json": json.dumps(data.draw(changed(real))).encode()}) as world:
        files = Home(world.home).cluster(CLUSTER)
        shipper = Shipper(
            JournalReader(files.journal), CursorFile(files.cursors), CLUSTER, lambda: None, lambda _: None
        )
        shipper.unsent()
        shipper.measured()
        for cursor in SharedCursors(CursorFile(files.cursors), Lock()).of_kind("prometheus"):
            batch(BatchReader(JournalReader(files.journal), CLUSTER, MetricsFold, cursor.sent))
        carry_on(world)


def batch(reader: BatchReader[Sample]) -> None:
    """Have the next samples made; a cursor of another journal is told apart."""
    with suppress(JournalReplacedError):
        reader.batch(1000, lambda _: 1)


@given(st.data())
@examples
def test_any_description_of_the_locks_holder(data: st.DataObject) -> None:
    owner = {"pid": 1, "host": "h", "boot_id": "b", "since": "2024-01-01T00:00:00Z", "command": "create-cluster.sh"}
    content = data.draw(st.binary(max_size=50) | changed(owner).map(lambda document: json.dumps(document).encode()))
    with standing({}) as world:
        path = world.files / "lock"
        held = RunLock(path, {})
        try:
            path.write_bytes(content)
            assert isinstance(owner_of(path), dict)
            for words in (["--status"], ["--resume", "--provider", "host"]):
                shown = invoke(world.home, ["--cluster", CLUSTER, *words])
                assert_harmless(shown.out + shown.err)
                assert shown.code == (5 if words[0] == "--resume" else shown.code)
        finally:
            held.release()


@given(changed({"version": 1, "contact_points": ["json://127.0.0.1/x"]}) | values, st.booleans())
@examples
def test_any_contact_points(document: Any, cut: bool) -> None:
    content = json.dumps(document).encode()
    with standing({}) as world:
        path = world.home / "notify.json"
        path.write_bytes(content[: len(content) // 2] if cut else content)
        path.chmod(0o600)
        with suppress(InstallError):
            load_contact_points(path)
        assert_harmless("".join(invoke(world.home, ["notify", "show"]).out))


@given(texts, texts)
@examples
def test_any_log(name: str, content: str) -> None:
    with standing({}) as world:
        folder = world.files / "logs" / "20240101T000000.000Z-aaaa"
        folder.mkdir(parents=True)
        (folder / "preflight.log").write_bytes(content.encode("utf-8", "surrogatepass"))
        shown = invoke(world.home, ["--cluster", CLUSTER, "logs", "preflight"])
        wrong = set(shown.out) & {"\x1b", "\x9b", "\x07", "\x08"}
        assert not wrong, f"{wrong}"
        assert "\0" in name or invoke(world.home, ["--cluster", CLUSTER, "logs", name]).code in (0, 1, 2)
