"""Whatever is damaged in the folder of the program's packages and bytecode is made again before it shows."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from contextcore_install.system.packages import packages
from contextcore_install.system.packages.runtime_folder import MARKER, is_touched
from integration.first_start import ROOT, Checkout, digest
from kit.installation import Installation, end

pytestmark = pytest.mark.slow

TOOLS = Path(next(folder for folder in sys.path if (Path(folder) / MARKER).exists()))
"""The developers' packages, among which are the program's own."""

WRITTEN = {*packages.OF_THE_INSTALLER, "RECORD"}


def pins_of_wheels(folder: Path, lock: Path) -> str:
    """Pack the installed packages that `lock` pins into wheels again; return the lines that pin those."""
    installed = {packages.spelled_alike(path.name): path for path in TOOLS.glob("*.dist-info")}
    lines = []
    for name, version in packages.pins(lock):
        wheel = packed(installed[packages.spelled_alike(f"{name}-{version}.dist-info")], folder)
        lines.append(f"{name}=={version} --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n")
    return "".join(lines)


def packed(info: Path, folder: Path) -> Path:
    """Pack an installed package into a wheel again."""
    wheel = folder / f"{info.name.removesuffix('.dist-info')}-py3-none-any.whl"
    names = [line.split(",", 1)[0] for line in (info / "RECORD").read_text().splitlines()]
    unpacked = [name for name in names if not name.startswith("..") and Path(name).name not in WRITTEN]
    files = {name: (TOOLS / name).read_bytes() for name in unpacked}
    record = "".join(f"{name},sha256={digest(content)},{len(content)}\n" for name, content in files.items())
    files[f"{info.name}/RECORD"] = f"{record}{info.name}/RECORD,,\n".encode()
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return wheel


class Prepared(Checkout):
    """A checkout of the whole program, with its packages prepared and an installation on `host`."""

    def __init__(self, base: Path) -> None:
        super().__init__(base)
        ours = ROOT / "src" / "contextcore_install"
        package = self.root / "src" / "contextcore_install"
        shutil.rmtree(package)
        shutil.copytree(ours, package, ignore=shutil.ignore_patterns("__pycache__"))
        self.lock.write_text(pins_of_wheels(self.wheels, ROOT / "requirements.lock"))
        self.installation = Installation(base, cluster="damaged")
        self.arguments = ("--provider", "host", "--cluster", "damaged", *self.installation.port_flags())
        self.path = f"{self.bin}:{self.installation.environ()['PATH']}"

    def damaged(self) -> list[Path]:
        return list(packages.damaged_files(self.lock, self.runtime()))

    def look_and_act(self) -> None:
        """Look at the installation and carry it on; nothing may show of what is damaged."""
        for words in (("--status",), ("--resume",)):
            done = self.start(*words, "--cluster", "damaged", PATH=self.path)
            assert done.returncode == 0, done.stdout + done.stderr
            assert "Traceback" not in done.stdout + done.stderr


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prepared]:
    base = tmp_path_factory.mktemp("damaged")
    made = Prepared(base)
    done = made.start(*made.arguments, PATH=made.path)
    assert done.returncode == 0, done.stdout + done.stderr
    made.look_and_act()
    yield made
    for process in psutil.process_iter(["cmdline"]):
        if any(str(base) in word for word in process.info["cmdline"] or []):
            end(process)


def scrambled(content: bytes) -> bytes:
    """Return other bytes of the same length."""
    return bytes(byte ^ 0x5A for byte in content) or b"Z"


def replaced_by_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGE: dict[str, Callable[[Path], object]] = {
    "truncated": lambda path: os.truncate(path, path.stat().st_size // 2),
    "emptied": lambda path: os.truncate(path, 0),
    "scrambled": lambda path: path.write_bytes(scrambled(path.read_bytes())),
    "scrambled in the middle": lambda path: path.write_bytes(
        path.read_bytes()[:-20] + scrambled(path.read_bytes()[-20:])
    ),
    "gone": Path.unlink,
    "closed": lambda path: path.chmod(0),
    "a folder": replaced_by_a_folder,
}


def sample(folder: Path) -> list[Path]:
    """Return two files of each kind that there is below a folder, always the same ones."""
    kinds: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.stat().st_size and path.name not in {"RECORD", *packages.OF_THE_INSTALLER}:
            kinds.setdefault(path.suffix, []).append(path)
    return [paths[place] for paths in kinds.values() for place in {0, len(paths) // 2}]


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_file_of_a_package_is_noticed_whatever_its_kind(prepared: Prepared, how: str) -> None:
    runtime = prepared.runtime()
    listed = {
        runtime / line.split(",")[0]
        for record in runtime.glob("*.dist-info/RECORD")
        for line in record.read_text().splitlines()
    }
    for path in listed.intersection(sample(runtime)):
        kept = path.with_name("kept")
        shutil.copy2(path, kept)
        (runtime / MARKER).touch()
        DAMAGE[how](path)
        noticed = is_touched(str(runtime))
        found = prepared.damaged()
        if path.is_dir():
            path.rmdir()
        kept.replace(path)
        assert noticed, path
        assert found == [path] or (how == "closed" and os.geteuid() == 0)
    (runtime / MARKER).touch()


@pytest.mark.parametrize("how", ["truncated", "scrambled", "gone"])
def test_packages_that_are_damaged_are_made_again_before_it_shows(prepared: Prepared, how: str) -> None:
    for pattern in ("psutil/*.so", "urllib3/*.py", "*.dist-info/RECORD"):
        for path in prepared.runtime().glob(pattern):
            DAMAGE[how](path)
    prepared.look_and_act()
    assert prepared.damaged() == []


@pytest.mark.parametrize("how", ["truncated", "scrambled in the middle", "a folder"])
def test_bytecode_that_is_damaged_is_made_again_before_it_shows(prepared: Prepared, how: str) -> None:
    cached = sorted((prepared.runtimes / "pycache").rglob("*.pyc"))
    before = {path: path.read_bytes() for path in cached}
    for path in cached:
        DAMAGE[how](path)
    prepared.look_and_act()
    if how == "a folder":  # whose places are free only then
        prepared.look_and_act()
    again = [path for path in cached if path.is_file() and path.read_bytes() == before[path]]
    assert len(again) > len(cached) / 2, "what these commands use"


PLACES = {
    "everything": [""],
    "the runtime": ["RUNTIME"],
    "folders of packages": ["RUNTIME/urllib3", "RUNTIME/psutil"],
    "what is beside the packages": ["RUNTIME/.complete", "python", "pycache", "lock"],
}


@pytest.mark.parametrize("places", PLACES)
@pytest.mark.parametrize("how", ["gone", "closed", "the other kind"])
def test_files_and_folders_that_are_not_what_they_were_are_made_again(
    prepared: Prepared, places: str, how: str
) -> None:
    runtime = prepared.runtime().name
    paths = [prepared.runtimes / place.replace("RUNTIME", runtime) for place in PLACES[places]]
    were_folders = [path.is_dir() for path in paths]
    for path, was_folder in zip(paths, were_folders, strict=True):
        if how == "closed":
            path.chmod(0)
        else:
            shutil.rmtree(path) if was_folder else path.unlink()
        if how == "the other kind":
            path.touch() if was_folder else path.mkdir()
    prepared.look_and_act()
    assert prepared.damaged() == []
    assert len(prepared.remembered()) == 3
    assert [path.is_dir() for path in paths] == were_folders
