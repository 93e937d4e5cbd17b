"""What apt takes from archives on disk: signed or trusted by the machine, whole, and nothing else."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

from contextcore_install.core.dataclass import dataclass
from contextcore_install.core.errors import InstallError
from contextcore_install.system.packages import apt

NAME = "contextcore-sample"
CONTROL = f"Package: {NAME}\nVersion: 1.0\nArchitecture: all\nMaintainer: nobody\nDescription: a sample\n"


@dataclass
class Archive:
    """An archive without a signature, and the /etc/apt of a machine that uses it."""

    folder: Path
    etc: Path

    def trusted(self, *, by_the_user: bool) -> None:
        option = "[trusted=yes] " if by_the_user else ""
        (self.etc / "sources.list").write_text(f"deb {option}file:{self.folder} ./\n")

    def get(self) -> Path:
        place = self.folder.parent
        run = apt.runner()
        return apt.download_and_unpack(NAME, place / "unpacked", workdir=place / "work", run=run, etc=self.etc)


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    if missing := [name for name in ("apt-get", "dpkg-deb") if shutil.which(name) is None]:
        pytest.skip(f"no {missing[0]} here")
    source, folder, etc = tmp_path / "source", tmp_path / "archive", tmp_path / "etc"
    for place in (source / "DEBIAN", source / "usr" / "bin", folder, etc):
        place.mkdir(parents=True)
    (source / "DEBIAN" / "control").write_text(CONTROL)
    (source / "usr" / "bin" / "sample").write_text("#!/bin/sh\n")
    deb = folder / "sample.deb"
    subprocess.run(["dpkg-deb", "--build", str(source), str(deb)], check=True, capture_output=True)
    digest = hashlib.sha256(deb.read_bytes()).hexdigest()
    facts = f"Filename: ./sample.deb\nSize: {deb.stat().st_size}\nSHA256: {digest}\n"
    (folder / "Packages").write_text(CONTROL + facts)
    return Archive(folder, etc)


def test_a_whole_package_of_a_trusted_archive_is_unpacked(archive: Archive) -> None:
    archive.trusted(by_the_user=True)
    assert (archive.get() / "usr" / "bin" / "sample").is_file()


def test_an_archive_without_a_signature_is_refused(archive: Archive) -> None:
    archive.trusted(by_the_user=False)
    with pytest.raises(InstallError, match="could not be downloaded"):
        archive.get()
    assert not (archive.folder.parent / "unpacked").exists()


def test_a_package_of_other_bytes_than_the_archive_lists_is_refused(archive: Archive) -> None:
    archive.trusted(by_the_user=True)
    deb = archive.folder / "sample.deb"
    deb.write_bytes(deb.read_bytes()[:-1] + b"x")
    with pytest.raises(InstallError, match="could not be downloaded") as caught:
        archive.get()
    assert "Hash" in caught.value.evidence
    assert not (archive.folder.parent / "unpacked").exists()
