"""A small checkout to start from, with a wheelhouse in place of a package index."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

from contextcore_install.core.dataclass import dataclass

ROOT = Path(__file__).parents[2]
INTERPRETER = os.path.realpath(sys.executable)
#: The real uv among our tools: it installs a wheel within milliseconds, and needs no pip in the interpreter.
UV = Path(shutil.which("uv", path=os.pathsep.join(f"{folder}/bin" for folder in sys.path)) or "/nonexistent/uv")

PROGRAM = """
import json, sys, time
import wheelhouse_package

def main(argv):
    print(json.dumps({"program": sys.argv[0], "arguments": argv}), flush=True)
    if argv[:1] == ["sleep"]:
        time.sleep(30)
    return int(argv[1]) if argv[:1] == ["exit"] else 0
"""


@dataclass(frozen=True)
class Started:
    """What came of one start; `arguments` and `program` are what the program says it got."""

    returncode: int
    stdout: str
    stderr: str

    @property
    def arguments(self) -> list[str]:
        """Return the program's arguments, or fail with what was said instead."""
        assert self.stdout, self.stderr
        return list(json.loads(self.stdout)["arguments"])

    @property
    def program(self) -> str:
        """Return the program's name."""
        return str(json.loads(self.stdout)["program"])


class Checkout:
    """A copy of what the launcher uses, with a program that depends on one package."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.root = base / "tree with spaces"
        self.script = self.root / "create-cluster.sh"
        self.lock = self.root / "requirements.lock"
        self.home = base / "home" / ".contextcore"
        self.runtimes = self.home / "runtime"
        self.bin = base / "bin"
        self.wheels = base / "wheels"
        for folder in (self.root / "scripts", self.home.parent, self.bin, self.wheels):
            folder.mkdir(parents=True)
        for name in ("create-cluster.sh", "scripts/find-python.sh"):
            shutil.copy(ROOT / name, self.root / name)
        package = self.root / "src" / "contextcore_install"
        ours = ROOT / "src" / "contextcore_install"
        for part in ("system", "core", "storage"):
            shutil.copytree(ours / part, package / part, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("__init__.py", "bootstrap.py", "launch.py"):
            shutil.copy(ours / name, package / name)
        (package / "__main__.py").write_text(PROGRAM)
        self.lock.write_text(f"wheelhouse-package==1.0 \\\n    --hash=sha256:{make_wheel(self.wheels)}\n")
        (self.bin / "python3").symlink_to(INTERPRETER)
        (self.bin / "uv").symlink_to(UV)

    def environment(self, **changes: str | None) -> dict[str, str]:
        """Return the environment of a newcomer with this wheelhouse; None takes a variable away."""
        settings: dict[str, str | None] = {
            "HOME": str(self.home.parent),
            "PATH": f"{self.bin}:/usr/bin:/bin",
            "PIP_FIND_LINKS": self.wheels.as_uri(),
            "PIP_NO_INDEX": "1",
            "PIP_CONFIG_FILE": "/dev/null",
            "UV_FIND_LINKS": self.wheels.as_uri(),
            "UV_OFFLINE": "1",
            "UV_NO_CONFIG": "1",
            **changes,
        }
        return {name: value for name, value in settings.items() if value is not None}

    def start(
        self,
        *arguments: str,
        cwd: Path | None = None,
        script: str | Path | Sequence[str] | None = None,
        umask: int = -1,
        **changes: str | None,
    ) -> Started:
        """Start the program to its end; `script` is what is typed in place of the launcher's path."""
        command = [str(script or self.script)] if script is None or isinstance(script, (str, Path)) else [*script]
        done = subprocess.run(
            [*command, *arguments],
            cwd=cwd or self.base,
            env=self.environment(**changes),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            umask=umask,
            check=False,
            timeout=240,
        )
        return Started(done.returncode, done.stdout, done.stderr)

    def remembered(self) -> list[str]:
        """Return what the launcher reads on its next start."""
        return (self.runtimes / "python").read_text().splitlines()

    def runtime(self) -> Path:
        """Return the one runtime there is, or fail."""
        (marker,) = self.runtimes.glob("*/.complete")
        return marker.parent

    def half_made(self) -> list[str]:
        """Return what is in the runtime folder besides what belongs there."""
        known = {"lock", "python", "pycache"}
        return [
            path.name
            for path in self.runtimes.glob("*")
            if path.name not in known and not (path / ".complete").exists()
        ]

    def hide_other_pythons(self) -> None:
        """Leave only what `bin` holds to be found: this machine's own Pythons are out of reach."""
        for tool in ("sh", "readlink", "cat"):
            if found := shutil.which(tool):
                (self.bin / tool).symlink_to(found)
        script = self.root / "scripts" / "find-python.sh"
        script.rename(script.with_name("real.sh"))
        executable(script, f'#!/bin/sh\nPATH="{self.bin}" exec /bin/sh "${{0%/*}}/real.sh" /nonexistent\n')

    def wrap_uv(self, script: str) -> None:
        """Put a shell script before uv; it goes on with `exec "$UV" "$@"`."""
        (self.bin / "uv").unlink()
        executable(self.bin / "uv", f"#!/bin/sh\nUV={UV}\n{script}\n")


def executable(path: Path, text: str) -> None:
    """Write a script in place of whatever is at `path`."""
    path.unlink(missing_ok=True)
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def make_wheel(folder: Path) -> str:
    """Make the smallest wheel with one module and return its sha256 (the format is PEP 427's)."""
    info = "wheelhouse_package-1.0.dist-info"
    files = {
        "wheelhouse_package.py": "VALUE = 1\n",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: wheelhouse-package\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    rows = [f"{name},sha256={digest(text.encode())},{len(text)}\n" for name, text in files.items()]
    files[f"{info}/RECORD"] = "".join(rows) + f"{info}/RECORD,,\n"
    wheel = folder / "wheelhouse_package-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return hashlib.sha256(wheel.read_bytes()).hexdigest()


def digest(content: bytes) -> str:
    """Return a hash as RECORD has it."""
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
