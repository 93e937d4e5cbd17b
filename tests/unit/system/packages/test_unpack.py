"""Archives of releases, also such as no upstream makes: nothing is written but what was asked for, in its place."""

from __future__ import annotations

import hashlib
import random
import resource
import tarfile
from pathlib import Path

import pytest

from contextcore_install.core.errors import InstallError
from contextcore_install.system.packages.install import install_program
from contextcore_install.system.packages.placing import take_program, take_tree
from contextcore_install.system.packages.releases import Platform, releases
from kit.fakes import Told
from kit.release_server import ReleaseServer, program, tarball, zipped

EVIL = b"#!/bin/sh\necho evil\n"


def member(name: str, kind: bytes, leads_to: str = "") -> dict[str, bytes | tarfile.TarInfo]:
    item = tarfile.TarInfo(name)
    item.type, item.linkname, item.mode = kind, leads_to, 0o755
    return {name: item}


def refusal(content: bytes, folder: Path, suffix: str, member: str = "tool") -> str:
    """Return why an archive is refused; nothing but it may be there then, outside of the folder for the tree."""
    inside = folder / "a" / "b"
    inside.mkdir(parents=True)
    archive = inside / f"tool-1{suffix}"
    archive.write_bytes(content)
    with pytest.raises(InstallError) as caught:
        take_program(archive, member, inside / "target") if member else take_tree(archive, inside / "tree")
    assert caught.value.code == "archive"
    assert not [path for path in folder.rglob("evil*") if "tree" not in path.parts]
    return caught.value.message


def test_only_the_wanted_member_of_a_zip_is_written(tmp_path: Path) -> None:
    archive = tmp_path / "x.zip"
    archive.write_bytes(zipped({"../evil": EVIL, "/evil": EVIL, "tool": b"good", "tool/../../evil": EVIL}))
    take_program(archive, "tool", tmp_path / "tool")
    assert (tmp_path / "tool").read_bytes() == b"good"
    assert {path.name for path in tmp_path.iterdir()} == {"x.zip", "tool"}


@pytest.mark.parametrize("name", ["../tool", "/tool", "a/tool", "TOOL"])
def test_a_zip_with_the_program_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    assert refusal(zipped({name: EVIL}), tmp_path, ".zip") == "tool-1.zip holds no tool."


@pytest.mark.parametrize(
    "members",
    [
        {"../tool": EVIL},
        {"/tool": EVIL},
        member("tool", tarfile.SYMTYPE, "/bin/sh"),
        member("tool", tarfile.LNKTYPE, "/bin/sh"),
        member("tool", tarfile.CHRTYPE),
        member("tool", tarfile.FIFOTYPE),
        member("tool", tarfile.DIRTYPE),
    ],
)
def test_a_tarball_whose_program_is_no_file_in_its_place_is_refused(
    tmp_path: Path, members: dict[str, bytes | tarfile.TarInfo]
) -> None:
    assert refusal(tarball(members), tmp_path, ".tar.gz") == "tool-1.tar.gz holds no tool."


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"t/../../evil": EVIL}, "leads out of its place"),
        ({"/evil": EVIL}, "leads out of its place"),
        (member("t/evil", tarfile.SYMTYPE, "/etc"), "is a link that leads out of its place"),
        (member("t/evil", tarfile.SYMTYPE, "../../etc"), "is a link that leads out of its place"),
        (member("t/evil", tarfile.SYMTYPE, "x/../../.."), "is a link that leads out of its place"),
        (member("t/evil", tarfile.LNKTYPE, "../../etc/passwd"), "is a link to what is not there"),
        (member("t/evil", tarfile.CHRTYPE), "is neither a file nor a folder"),
        (member("t/evil", tarfile.FIFOTYPE), "is neither a file nor a folder"),
    ],
)
def test_a_tree_with_what_leads_out_of_it_is_refused(
    tmp_path: Path, members: dict[str, bytes | tarfile.TarInfo], said: str
) -> None:
    message = refusal(tarball({"t/bin/tool": b"good", **members}), tmp_path, ".tar.gz", "")
    assert message.startswith("tool-1.tar.gz cannot be unpacked: ")
    assert said in message


def test_a_tree_is_laid_out_with_its_links_and_nothing_is_written_through_one(tmp_path: Path) -> None:
    archive = tmp_path / "x.tar.gz"
    links = member("t/bin/again", tarfile.SYMTYPE, "../conf/a") | member("t/data", tarfile.SYMTYPE, "conf")
    archive.write_bytes(tarball({"t/bin/tool": EVIL, **links, "t/conf/a": b"text"}))
    home = take_tree(archive, tmp_path / "tree")
    assert home == tmp_path / "tree" / "t"
    assert (home / "bin" / "again").read_text() == (home / "data" / "a").read_text() == "text"
    assert (home / "bin" / "tool").stat().st_mode & 0o777 == 0o700
    archive.write_bytes(tarball({**member("t/data", tarfile.SYMTYPE, "bin"), "t/data/evil": EVIL}))
    with pytest.raises(FileExistsError):
        take_tree(archive, tmp_path / "other")
    assert not (tmp_path / "other" / "t" / "bin").exists()


NOISE = random.Random(1).randbytes(20_000)


@pytest.mark.parametrize("content", [b"", b"<html>", zipped({"tool": NOISE})[:9_000], tarball({"tool": NOISE})[:9_000]])
@pytest.mark.parametrize(("suffix", "wanted"), [(".zip", "tool"), (".tar.gz", "other"), (".tar.gz", "")])
def test_what_is_no_archive_or_half_of_one_is_refused(tmp_path: Path, content: bytes, suffix: str, wanted: str) -> None:
    assert refusal(content, tmp_path, suffix, wanted).startswith(f"tool-1{suffix} ")


def test_a_disk_that_is_full_while_unpacking_keeps_the_download(upstream: ReleaseServer, tmp_path: Path) -> None:
    wanted = releases()["loki"].program_in_archive(Platform.here())
    content = zipped({wanted: program("this is loki", 500_000)})
    assert len(content) < 300_000
    upstream.publish("loki", content)
    source, before = upstream.source(), resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, before[1]))
        with pytest.raises(InstallError) as caught:
            install_program("loki", Told().ctx, tmp_path / "bin", {}, source=source)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "cannot be unpacked into" in caught.value.evidence
    assert list((tmp_path / "bin").iterdir()) == []
    upstream.asked.clear()
    source.digests["loki"] = hashlib.sha256(content).hexdigest()
    install_program("loki", Told().ctx, tmp_path / "bin", {}, source=source)
    assert not upstream.asked
