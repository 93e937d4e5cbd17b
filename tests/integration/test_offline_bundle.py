"""`bundle` as it is typed: from a server of releases and a folder of wheels on this machine, into one file."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from contextcore_install.core.dataclass import dataclass
from contextcore_install.system.packages.bundle_file import BundleFile
from contextcore_install.system.packages.releases import releases
from integration.first_start import INTERPRETER, ROOT, make_wheel
from kit.release_server import ReleaseServer, release_server
from kit.signing_keys import SigningPair
from kit.stores import wait_until

NAMES = ("mimir", "loki", "tempo", "alloy", "grafana")
BESIDE = ("create-cluster.sh", "scripts/find-python.sh", "scripts/install-state.sh", "README.md", "LICENSE")
HAS_PIP = subprocess.run([INTERPRETER, "-m", "pip", "--version"], capture_output=True, check=False).returncode == 0
pytestmark = pytest.mark.skipif(not HAS_PIP, reason="this interpreter has no pip")


@dataclass
class Maker:
    """A machine with a network: a checkout whose releases have no committed digests, and what it downloads from."""

    base: Path
    server: ReleaseServer

    @property
    def downloads(self) -> Path:
        return self.base / "home" / "downloads" / "bundles"

    @property
    def bundle(self) -> Path:
        return self.base / "out" / "stack.tar"

    def made(self) -> list[str]:
        """Return the names of all that is where the bundle is to be."""
        return [path.name for path in self.bundle.parent.iterdir()]

    def prepare(self) -> None:
        checkout = self.base / "checkout"
        ours = ROOT / "src" / "contextcore_install"
        package = checkout / "src" / "contextcore_install"
        shutil.copytree(ours, package, ignore=shutil.ignore_patterns("__pycache__"))
        (package / "system" / "packages" / "digests.toml").write_text("")
        (checkout / "docs").mkdir()
        (checkout / "docs" / "install.md").write_text("# Install\n")
        (package / ".DS_Store").write_text("of a desktop")
        (package / "launch.py~").write_text("of an editor")
        for name in BESIDE:
            (checkout / name).parent.mkdir(exist_ok=True)
            shutil.copy(ROOT / name, checkout / name)
        wheels = self.base / "wheels"
        wheels.mkdir()
        pin = f"wheelhouse-package==1.0 --hash=sha256:{make_wheel(wheels)}\n"
        (checkout / "requirements.lock").write_text(pin)
        self.bundle.parent.mkdir()
        for number, name in enumerate(NAMES):
            self.server.publish(name, f"{name}\n".encode() * (20_000 + number))

    def start(self, *words: str) -> subprocess.Popen[str]:
        environ = {
            "HOME": str(self.base),
            "CONTEXTCORE_HOME": str(self.base / "home"),
            "CONTEXTCORE_MIRROR": self.server.url,
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": os.pathsep.join([str(self.base / "checkout" / "src"), *filter(None, sys.path)]),
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(self.base / "wheels"),
            "PIP_CONFIG_FILE": "/dev/null",
        }
        return subprocess.Popen(
            [INTERPRETER, "-S", "-m", "contextcore_install", "bundle", *words],
            env=environ,
            cwd=self.bundle.parent,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str) -> tuple[int, str, str]:
        started = self.start(*words)
        out, err = started.communicate(timeout=120)
        return started.returncode, out, err

    def make(self, *words: str) -> tuple[int, str, str]:
        return self.run("-o", self.bundle.name, "--provider", "host", *words)


@pytest.fixture
def maker(tmp_path: Path) -> Iterator[Maker]:
    with release_server() as server:
        made = Maker(tmp_path, server)
        made.prepare()
        yield made


@pytest.mark.slow
def test_a_bundle_holds_all_that_host_needs_and_its_program_starts(maker: Maker) -> None:
    code, out, err = maker.make("--output", "json")
    assert (code, [line for line in err.splitlines() if not line.startswith("note:")]) == (0, [])
    said = json.loads(out)
    assert (said["path"], said["bytes"]) == (str(maker.bundle), maker.bundle.stat().st_size)
    assert maker.made() == [maker.bundle.name]
    assert maker.bundle.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in maker.downloads.iterdir()] == ["lock"], "nothing is twice on the disk"
    bundle = BundleFile.open(maker.bundle)
    bundle.verify()
    assert {entry.name: entry.version for entry in bundle.entries("release")} == {
        name: releases()[name].version for name in NAMES
    }
    for entry in bundle.entries("release"):
        assert b"".join(bundle.chunks(entry)).startswith(entry.name.encode())
    (wheel,) = bundle.entries("wheel")
    assert wheel.sha256 == hashlib.sha256(next((maker.base / "wheels").iterdir()).read_bytes()).hexdigest()
    subprocess.run(["tar", "-xf", maker.bundle.name, "program"], cwd=maker.bundle.parent, check=True)
    program, checkout = maker.bundle.parent / "program", maker.base / "checkout"
    files = {path.relative_to(program) for path in program.rglob("*") if path.is_file()}
    assert files == {
        path.relative_to(checkout)
        for path in checkout.rglob("*")
        if path.is_file() and path.suffix != ".pyc" and path.name not in {".DS_Store", "launch.py~"}
    }
    started = subprocess.run([program / "create-cluster.sh", "--version"], capture_output=True, text=True, check=True)
    assert bundle.manifest.version in started.stdout


@pytest.mark.slow
def test_what_there_is_is_replaced_only_with_yes(maker: Maker) -> None:
    maker.bundle.write_text("mine")
    code, _, err = maker.make()
    assert (code, maker.bundle.read_text()) == (2, "mine")
    assert "add --yes to replace it" in err
    assert maker.make("--yes", "--components", "mimir")[0] == 0
    assert [entry.name for entry in BundleFile.open(maker.bundle).entries("release")] == ["mimir"]


@pytest.mark.slow
def test_ctrl_c_leaves_nothing_beside_and_the_next_run_continues(maker: Maker) -> None:
    maker.server.hangs, maker.server.cut_after = True, 50_000
    started = maker.start("-o", maker.bundle.name, "--provider", "host", "--components", "grafana")

    def is_cut_off() -> bool:
        return sum(path.stat().st_size for path in maker.downloads.glob("*.part")) >= 2 * 50_000

    wait_until(is_cut_off)
    started.send_signal(signal.SIGINT)
    said = " ".join("".join(filter(None, started.communicate(timeout=60))).split())
    assert started.returncode == 130
    assert "interrupted;" in said
    assert said.endswith("type the same command again")
    assert maker.made() == []
    maker.server.hangs, maker.server.cut_after = False, None
    maker.server.released.set()
    assert maker.make("--components", "grafana")[0] == 0
    assert all(sent <= 200_000 for sent in maker.server.sent.values())
    BundleFile.open(maker.bundle).verify()


def commands() -> Iterator[str]:
    """Yield the words of all commands that run."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            yield from process.cmdline()


@pytest.mark.slow
def test_a_run_that_was_killed_leaves_what_the_next_removes(maker: Maker) -> None:
    maker.server.hangs, maker.server.cut_after = True, 50_000
    started = maker.start("-o", maker.bundle.name, "--provider", "host", "--components", "mimir")
    wait_until(lambda: any(maker.downloads.glob("*.part")))
    started.kill()
    started.communicate(timeout=60)
    (left,) = maker.bundle.parent.iterdir()
    assert left.name.startswith(".contextcore-bundle-")
    wait_until(lambda: not any(left.name in word for word in commands()))  # a pip that outlives it writes there
    maker.server.hangs, maker.server.cut_after = False, None
    maker.server.released.set()
    assert maker.make("--components", "mimir")[0] == 0
    assert maker.made() == [maker.bundle.name]


@pytest.mark.slow
def test_a_signed_bundle_is_verified_by_its_key_only(maker: Maker) -> None:
    pair, other = SigningPair("of the key"), SigningPair()
    pair.write(maker.base / "minisign.key")
    (maker.base / "password").write_text("of the key\n")
    key = ["--sign-key", "../minisign.key"]
    assert "its password was not given" in maker.make("--components", "mimir", *key)[2]
    assert maker.make("--components", "mimir", *key, "--password-file", "../password")[0] == 0
    code, out, _ = maker.run("verify", maker.bundle.name, "--public-key", pair.public)
    assert (code, "signed (timestamp:" in out) == (0, True)
    code, _, err = maker.run("verify", maker.bundle.name, "--public-key", other.public)
    assert (code, "by the given public key" in err) == (1, True)


def test_a_release_that_cannot_be_had_is_one_sentence_and_leaves_nothing(maker: Maker) -> None:
    maker.server.files = {path: content for path, content in maker.server.files.items() if "tempo" not in path}
    code, _, err = maker.make()
    assert code == 1
    assert err.startswith(("✗ ", "x "))
    assert "tempo" in err
    assert maker.made() == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "it is not said where the bundle is to be written"),
        (["-o", "-"], "is not written to standard output"),
        (["-o", "none/stack.tar"], "there is no folder"),
        (["-o", "b.tar", "--provider", "host", "--registry", "mirror.example"], "--registry cannot be combined with"),
        (["-o", "b.tar", "--provider", "host", "--components", "prometheus"], "There is no component named"),
        (["-o", "b.tar", "--password-file", "x"], "--password-file needs the key"),
        (["-o", "b.tar", "--provider", "host", "--sign-key", "x"], "x is no secret key of minisign: no such file"),
        (["-o", "b.tar", "--platform", "plan9/mips"], "--platform cannot be"),
        (["-o", "b.tar", "--public-key", "x"], "--public-key cannot be combined with bundle make"),
        (["verify"], "bundle verify needs the bundle"),
        (["verify", "b.tar", "-o", "x"], "-o cannot be combined with bundle verify"),
        (["list", "b.tar", "--provider", "kind"], "--provider cannot be combined with bundle list"),
    ],
)
def test_what_makes_no_sense_is_a_usage_error(maker: Maker, words: list[str], said: str) -> None:
    code, _, err = maker.run(*words)
    assert said in err
    assert code == (1 if "no folder" in said else 2)
    assert maker.made() == []
