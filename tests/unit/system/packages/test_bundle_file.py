"""An offline bundle is read as it was written, or refused in one sentence."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contextcore_install.core.dataclass import replace
from contextcore_install.core.errors import InstallError
from contextcore_install.system.packages import bundle_format
from contextcore_install.system.packages.bundle_file import BundleFile
from contextcore_install.system.packages.bundle_format import BundleManifest, Part, sums, write_bundle
from kit.archives import ABSURD
from kit.offline_bundles import ABOUT, CONTENTS, small_bundle


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("bundle") / "b.tar"
    small_bundle(path, sign=lambda _: b"untrusted comment: none\n")
    return path.read_bytes()


def refusal(path: Path, *, read: bool = True) -> str:
    def attempt() -> None:
        bundle = BundleFile.open(path)
        if read:
            bundle.verify()

    with pytest.raises(InstallError) as caught:
        attempt()
    assert caught.value.code == "bundle-unusable"
    assert caught.value.message.startswith(f"{path} is no offline bundle that can be used: ")
    return caught.value.message.partition(": ")[2]


def test_a_bundle_is_read_as_it_was_written(tmp_path: Path) -> None:
    written = small_bundle(tmp_path / "b.tar")
    bundle = BundleFile.open(tmp_path / "b.tar")
    assert bundle.manifest == written
    assert (bundle.signature, json.loads(bundle.manifest_bytes)) == ("", written.document())
    for entry in written.entries:
        with bundle.open_member(entry) as member:
            assert member.read() == CONTENTS[entry.path]
            assert member.read(1) == b""
    seen: list[int] = []
    bundle.verify(seen.append)
    assert seen[-1] == written.bytes == sum(map(len, CONTENTS.values()))
    assert [entry.path for entry in bundle.entries("wheel")] == ["wheels/a-1.0-py3-none-any.whl"]


def test_any_tar_unpacks_it_and_any_sha256sum_checks_its_manifest(tmp_path: Path) -> None:
    small_bundle(tmp_path / "b.tar", sign=lambda content: b"untrusted comment: %d\n" % len(content))
    subprocess.run(["tar", "-xf", "b.tar", "program"], cwd=tmp_path, check=True)
    assert {path.name for path in tmp_path.iterdir()} == {"b.tar", "program"}
    launcher = tmp_path / "program" / "create-cluster.sh"
    assert launcher.read_bytes() == CONTENTS["program/create-cluster.sh"]
    assert launcher.stat().st_mode & 0o700 == 0o700
    subprocess.run(["tar", "-xf", "b.tar"], cwd=tmp_path, check=True)
    said = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert said.stdout == "manifest.json: OK\nmanifest.json.minisig: OK\n"
    with tarfile.open(tmp_path / "b.tar") as tar:
        assert tar.getnames() == ["manifest.json", "manifest.json.minisig", "SHA256SUMS", *CONTENTS]


def test_a_member_is_copied_whole_or_not_at_all(tmp_path: Path) -> None:
    path, target = tmp_path / "b.tar", tmp_path / "copy"
    entry = small_bundle(path).entries[2]
    bundle = BundleFile.open(path)
    bundle.copy_checked(entry, target)
    assert target.read_bytes() == CONTENTS[entry.path]
    target.unlink()
    path.write_bytes(path.read_bytes().replace(b"PKPK", b"PKpK", 1))
    with pytest.raises(InstallError, match="its checksum differs"):
        bundle.copy_checked(entry, target)
    assert list(tmp_path.iterdir()) == [path]


def test_a_bundle_that_is_cut_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "b.tar"
    last = small_bundle(path).entries[-1]
    bundle = BundleFile.open(path)
    path.write_bytes(path.read_bytes()[: bundle.positions[last.path] + 10])
    with pytest.raises(InstallError, match="it is cut short"):
        bundle.copy_checked(last, tmp_path / "copy")
    path.unlink()
    with pytest.raises(InstallError, match="no such file"):
        list(bundle.chunks(last))


def test_a_bundle_may_be_named_by_a_link_and_is_else_a_regular_file(tmp_path: Path) -> None:
    small_bundle(tmp_path / "b.tar")
    (tmp_path / "link").symlink_to("b.tar")
    BundleFile.open(tmp_path / "link").verify()
    with pytest.raises(InstallError, match="there is no file") as caught:
        BundleFile.open(tmp_path / "none")
    assert caught.value.code == "bundle-missing"
    assert refusal(tmp_path) == "it is not a regular file"


@pytest.mark.parametrize(
    ("version", "machine", "code", "hint"),
    [
        ("0.9.0", "arm64", "bundle-platform", "--platform linux/arm64"),
        ("0.9.1", "amd64", "bundle-version", "program/create-cluster.sh"),
    ],
)
def test_a_bundle_for_something_else_says_both_and_what_to_type(
    tmp_path: Path, version: str, machine: str, code: str, hint: str
) -> None:
    small_bundle(tmp_path / "b.tar")
    bundle = BundleFile.open(tmp_path / "b.tar")
    bundle.require("0.9.0", "linux", "amd64")
    with pytest.raises(InstallError) as caught:
        bundle.require(version, "linux", machine)
    assert caught.value.code == code
    assert hint in caught.value.hint


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_any_flipped_bit_is_noticed(whole: bytes, tmp_path: Path, place: float, bit: int) -> None:
    damaged = bytearray(whole)
    damaged[int(place * len(whole))] ^= 1 << bit
    (tmp_path / "b.tar").write_bytes(damaged)
    assert refusal(tmp_path / "b.tar")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True))
def test_any_cut_is_noticed_when_it_is_opened(whole: bytes, tmp_path: Path, place: float) -> None:
    (tmp_path / "b.tar").write_bytes(whole[: int(place * len(whole))])
    assert refusal(tmp_path / "b.tar", read=False)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=4096))
def test_what_is_something_else_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "b.tar").write_bytes(content)
    assert refusal(tmp_path / "b.tar", read=False)


def forged(path: Path, change: Callable[[dict[str, Any]], object], contents: dict[str, bytes] = CONTENTS) -> Path:
    """Write a bundle whose manifest was changed, with all headers and checksums as they would then have to be."""

    class Forged(BundleManifest):
        def document(self) -> dict[str, Any]:
            document = super().document()
            change(document)
            return document

    small_bundle(path, contents, about=Forged(**{name: getattr(ABOUT, name) for name in BundleManifest.__slots__}))
    return path


def entry(**fields: object) -> Callable[[dict[str, Any]], object]:
    return lambda document: document["entries"][0].update(fields)


@pytest.mark.parametrize(
    "change",
    [
        entry(path="../evil"),
        entry(path="program/../../evil"),
        entry(path="/etc/passwd"),
        entry(path="program/.hidden"),
        entry(path="program//a"),
        entry(path="program/a\n"),
        entry(path="program/src/a.py"),
        entry(path="program/SRC/A.py"),
        entry(path=7),
        entry(kind="tool"),
        entry(kind="other"),
        entry(kind=["program"]),
        entry(name="\x1b[2J"),
        entry(name=""),
        entry(version=None),
        entry(sha256="0" * 63),
        entry(sha256="0" * 64),
        entry(size=-1),
        entry(size=True),
        entry(size=1.5),
        entry(size=2**70),
        entry(size=9),
        lambda document: document.update(entries=[]),
        lambda document: document.update(entries=None),
        lambda document: document.update(entries=document["entries"][:-1]),
        lambda document: document.update(entries=document["entries"][::-1]),
        lambda document: document.update(format=2),
        lambda document: document.update(created="yesterday"),
        lambda document: document.update(created="1900-01-01T00:00:00Z"),
        lambda document: document.update(version="1\n2"),
        lambda document: document.update(platform="linux"),
        lambda document: document.update(providers=[1]),
        dict.clear,
    ],
)
def test_a_forged_manifest_is_refused(tmp_path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    assert "\x1b" not in refusal(forged(tmp_path / "b.tar", change))


def test_a_manifest_may_say_more_than_this_program_knows(tmp_path: Path) -> None:
    path = forged(tmp_path / "b.tar", lambda document: document["entries"][0].update(mirror="x"))
    BundleFile.open(path).verify()


def test_a_format_that_is_not_known_is_named(tmp_path: Path) -> None:
    path = forged(tmp_path / "b.tar", lambda document: document.update(format=2))
    assert refusal(path) == "it has the format 2, and this program reads 1"


def insert(path: Path, place: int, content: bytes) -> Path:
    whole = path.read_bytes()
    path.write_bytes(whole[:place] + content + whole[place:])
    return path


@pytest.mark.parametrize("name", ABSURD)
@pytest.mark.parametrize("where", ["first", "between", "last", "behind"])
def test_a_surplus_member_is_refused_wherever_it_is(tmp_path: Path, name: str, where: str) -> None:
    path = tmp_path / "b.tar"
    small_bundle(path)
    bundle, size = BundleFile.open(path), path.stat().st_size
    between = bundle.positions["program/src/a.py"] - bundle_format.BLOCK
    places = {"first": 0, "between": between, "last": size - len(bundle_format.END), "behind": size}
    refusal(insert(path, places[where], ABSURD[name]), read=False)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_a_member_that_is_no_plain_file_is_refused(tmp_path: Path, kind: bytes) -> None:
    path = tmp_path / "b.tar"
    small_bundle(path)
    whole = bytearray(path.read_bytes())
    place = BundleFile.open(path).positions["program/src/a.py"] - bundle_format.BLOCK
    member = tarfile.TarInfo.frombuf(bytes(whole[place : place + bundle_format.BLOCK]), "ascii", "strict")
    member.type, member.linkname = kind, "/etc/passwd"
    whole[place : place + bundle_format.BLOCK] = member.tobuf(tarfile.GNU_FORMAT)
    path.write_bytes(whole)
    assert refusal(path, read=False) == "it has something else where program/src/a.py should be"


def test_a_manifest_without_end_is_not_read(tmp_path: Path) -> None:
    member = tarfile.TarInfo(bundle_format.MANIFEST)
    member.size = 0o77777777777
    (tmp_path / "b.tar").write_bytes(member.tobuf(tarfile.GNU_FORMAT))
    assert refusal(tmp_path / "b.tar") == "it has no manifest.json in its place"


def test_a_manifest_that_is_nested_without_end_is_refused(tmp_path: Path) -> None:
    content = b"[" * 100_000
    parts = {bundle_format.MANIFEST: content, bundle_format.SUMS: sums({bundle_format.MANIFEST: content})}
    sink = io.BytesIO()
    for name, text in parts.items():
        sink.write(bundle_format.member_header(name, len(text), 0) + text + bytes(bundle_format.padding(len(text))))
    (tmp_path / "b.tar").write_bytes(sink.getvalue() + bundle_format.END)
    assert refusal(tmp_path / "b.tar")


def test_an_interrupted_part_ends_the_writing(tmp_path: Path) -> None:
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_bundle(tmp_path / "b.tar", ABOUT, [Part("tools/kind", "tool", "kind", "1", interrupted)])
    refusal(tmp_path / "b.tar")


def test_nothing_that_is_there_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "b.tar").write_text("mine")
    with pytest.raises(FileExistsError):
        small_bundle(tmp_path / "b.tar")
    assert (tmp_path / "b.tar").read_text() == "mine"


def test_the_longest_names_and_an_empty_bundle_are_written_and_read(tmp_path: Path) -> None:
    small_bundle(tmp_path / "empty.tar", {}, about=replace(ABOUT, providers=()))
    BundleFile.open(tmp_path / "empty.tar").verify()
    small_bundle(tmp_path / "long.tar", {f"wheels/{'w' * 230}.whl": b"x", f"program/{'d' * 100}/{'f' * 99}": b"y"})
    BundleFile.open(tmp_path / "long.tar").verify()
    subprocess.run(["tar", "-xf", "long.tar"], cwd=tmp_path, check=True)
    assert (tmp_path / "wheels" / f"{'w' * 230}.whl").read_bytes() == b"x"
