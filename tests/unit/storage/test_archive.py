"""A backup's file: whole or not there, and refused with nothing touched where anything about it is wrong."""

from __future__ import annotations

import copy
import gzip
import hashlib
import io
import itertools
import json
import os
import shutil
import stat
import tarfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from contextcore_install.core.errors import InstallError
from contextcore_install.core.interfaces import StepContext
from contextcore_install.storage.backup.archive import SCHEMA, Manifest, pack, require_room, unpack
from kit.archives import ABSURD, END
from kit.fakes import Told

VOLUME = tarfile.TarInfo("part")
ABOUT = {
    "cluster": "o11y-dev",
    "provider": "host",
    "created_at": "2026-01-01T12:00:00Z",
    "volumes": [{"name": "mimir"}],
}


def a_tree(*members: tarfile.TarInfo) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for member in members:
            tar.addfile(member, io.BytesIO(b"x" * member.size) if member.isreg() else None)
    return file.getvalue()


FILES = {"records/journal.jsonl": b"{}\n" * 50_000, "volumes/mimir.tar": a_tree(VOLUME)}


def staged(folder: Path) -> Path:
    for name, content in FILES.items():
        (folder / "staged" / name).parent.mkdir(parents=True)
        (folder / "staged" / name).write_bytes(content)
    return folder / "staged"


def packed(folder: Path) -> Path:
    pack(staged(folder), folder / "backup.tar.gz", ABOUT, Told().ctx)
    return folder / "backup.tar.gz"


def accept(_: Manifest) -> None:
    pass


def test_what_is_packed_is_unpacked(tmp_path: Path) -> None:
    source = packed(tmp_path)
    assert stat.S_IMODE(source.stat().st_mode) == 0o600
    with tarfile.open(source) as tar:
        assert tar.getnames() == ["manifest.json", *FILES]
    manifest = unpack(source, tmp_path / "out", accept, Told().ctx)
    assert (manifest.cluster, manifest.volumes) == ("o11y-dev", ("mimir",))
    assert {name: (tmp_path / "out" / name).read_bytes() for name in FILES} == FILES
    assert manifest.bytes == sum(map(len, FILES.values()))


def test_no_file_is_replaced_and_nothing_half_written_stays(tmp_path: Path) -> None:
    (tmp_path / "backup.tar.gz").write_text("mine")
    with pytest.raises(InstallError, match="exists"):
        packed(tmp_path)
    assert (tmp_path / "backup.tar.gz").read_text() == "mine"
    assert {path.name for path in tmp_path.iterdir()} == {"staged", "backup.tar.gz"}


def crafted(
    change: Callable[[dict[str, Any]], None] = lambda _: None,
    contents: Mapping[str, bytes | tarfile.TarInfo] = MappingProxyType({}),
) -> bytes:
    """Return an archive with checksums that are right, whatever it holds."""
    files = {**FILES, **contents}
    plain = {name: item if isinstance(item, bytes) else b"" for name, item in files.items()}
    document: dict[str, Any] = {
        "schema": SCHEMA,
        **copy.deepcopy(ABOUT),
        "files": [
            {"name": name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            for name, content in plain.items()
        ],
    }
    change(document)
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        content = json.dumps(document).encode()
        for name, item in {"manifest.json": content, **files}.items():
            member = item if isinstance(item, tarfile.TarInfo) else tarfile.TarInfo(name)
            member.size = len(item) if isinstance(item, bytes) else 0
            tar.addfile(member, io.BytesIO(item) if isinstance(item, bytes) else None)
    return file.getvalue()


def named(name: str) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        document["files"][0]["name"] = name

    return change


def sized(count: int) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        document["files"][0]["bytes"] = count

    return change


def link(name: str, kind: bytes, target: str = "/etc/passwd") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, target
    return made


def wrong_sum() -> bytes:
    return crafted(lambda document: document["files"][1].update(sha256="0" * 64))


def bomb() -> bytes:
    """Return megabytes of nothing in a few bytes, behind a manifest that names a few bytes."""
    head = gzip.decompress(crafted())[:-10240]
    return gzip.compress(head, 1) + gzip.compress(b"\1" * 20_000_000, 9)


def with_volume(content: bytes) -> bytes:
    return crafted(contents={"volumes/mimir.tar": content})


HOSTILE: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "text": lambda: b"hello\n" * 1000,
    "no tar inside": lambda: gzip.compress(b"hello\n" * 1000),
    "cut short": lambda: crafted()[: len(crafted()) // 2],
    "last byte gone": lambda: crafted()[:-1],
    "a bit is wrong": lambda: bytes(b ^ (i == len(crafted()) - 6) for i, b in enumerate(crafted())),
    "wrong checksum": wrong_sum,
    "no manifest": lambda: gzip.compress(a_tree(tarfile.TarInfo("records/x"))),
    "another format": lambda: crafted(lambda document: document.update(schema="else/v9")),
    "no object": lambda: crafted(lambda document: document.update(files=7)),
    "leads upwards": lambda: crafted(named("records/../../../x")),
    "the lock": lambda: crafted(contents={"records/lock": b"{}"}),
    "another restore": lambda: crafted(contents={"records/restore": b""}),
    "a compressed part": lambda: crafted(contents={"records/journal": b""}),
    "absolute": lambda: crafted(named("/etc/cron.d/x")),
    "dots": lambda: crafted(named("records/..")),
    "too small": lambda: crafted(sized(10)),
    "negative": lambda: crafted(sized(-1)),
    "symlink": lambda: crafted(contents={"grafana/a": link("grafana/a", tarfile.SYMTYPE)}),
    "hard link": lambda: crafted(contents={"grafana/a": link("grafana/a", tarfile.LNKTYPE)}),
    "device": lambda: crafted(contents={"grafana/a": link("grafana/a", tarfile.CHRTYPE)}),
    "a volume not named": lambda: crafted(contents={"volumes/other.tar": a_tree()}),
    "a volume missing": lambda: crafted(lambda document: document["volumes"].append({"name": "loki"})),
    "a link in a volume": lambda: crafted(contents={"volumes/mimir.tar": a_tree(link("a", tarfile.SYMTYPE))}),
    "a volume leads out": lambda: crafted(contents={"volumes/mimir.tar": a_tree(tarfile.TarInfo("../x"))}),
    "a bomb": bomb,
    **{kind: partial(gzip.compress, headers + END) for kind, headers in ABSURD.items()},
    **{f"{kind}, in a volume": partial(with_volume, headers + END) for kind, headers in ABSURD.items()},
}


def test_what_the_hostile_ones_are_made_from_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "given.tar.gz").write_bytes(crafted())
    assert unpack(tmp_path / "given.tar.gz", tmp_path / "out", accept, Told().ctx).cluster == "o11y-dev"


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_is_damaged_or_hostile_is_refused_in_a_sentence(kind: str, tmp_path: Path) -> None:
    source = tmp_path / "given.tar.gz"
    source.write_bytes(HOSTILE[kind]())
    with pytest.raises(InstallError) as caught:
        unpack(source, tmp_path / "out", accept, Told().ctx)
    assert caught.value.code == "backup-unusable"
    assert "\n" not in caught.value.message
    assert [path.name for path in tmp_path.iterdir()] == ["given.tar.gz"]


def test_what_is_not_wanted_is_not_unpacked(tmp_path: Path) -> None:
    def refuse(manifest: Manifest) -> None:
        raise InstallError("other-cluster", f"not {manifest.cluster}")

    with pytest.raises(InstallError, match="not o11y-dev"):
        unpack(packed(tmp_path), tmp_path / "out", refuse, Told().ctx)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("/etc/passwd")])
def test_what_is_no_file_is_no_backup(make: Callable[[Path], None], tmp_path: Path) -> None:
    make(tmp_path / "given")
    with pytest.raises(InstallError):
        unpack(tmp_path / "given", tmp_path / "out", accept, Told().ctx)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InstallError, match="there is no file"):
        unpack(tmp_path / "given", tmp_path / "out", accept, Told().ctx)


def test_room_is_asked_for_before(tmp_path: Path) -> None:
    require_room(tmp_path, 1)
    with pytest.raises(InstallError) as caught:
        require_room(tmp_path, 2**60)
    assert caught.value.code == "disk-full"


def test_packing_and_unpacking_end_at_any_moment_and_leave_nothing(tmp_path: Path) -> None:
    source = packed(tmp_path)
    wanted, there = tmp_path / "wanted.tar.gz", sorted(tmp_path.iterdir())

    def ends(work: Callable[[StepContext], object]) -> int:
        """Return after how many looks whether to go on the work was ended; each ends it."""
        for looks in itertools.count(1):
            left, ctx = itertools.repeat(None, looks - 1), Told().ctx
            vars(ctx)["raise_if_cancelled"] = partial(next, left)
            try:
                work(ctx)
            except StopIteration:
                assert sorted(tmp_path.iterdir()) == there
            else:
                return looks - 1
        raise AssertionError

    assert ends(lambda ctx: unpack(source, tmp_path / "out", accept, ctx)) >= len(FILES)
    shutil.rmtree(tmp_path / "out")
    assert ends(lambda ctx: pack(tmp_path / "staged", wanted, ABOUT, ctx)) > 2 * len(FILES)
