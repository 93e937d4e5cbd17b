"""Installs what a lock file pins into a folder, with whatever installer this machine has.

In order: uv, the interpreter's pip, a pip wheel that came with the interpreter, and on Debian and its relatives,
whose python3 comes with neither, the distribution's own package of pip, unpacked into the working folder. The
user's configuration of each (index, proxy, certificates) holds. Every hash is checked, and nothing is compiled.
"""

from __future__ import annotations

import base64
import csv
import errno
import hashlib
import os
import platform
import re
import shutil
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from contextcore_install.core.errors import ExitCode, InstallError
from contextcore_install.core.tables import read_table
from contextcore_install.system.packages import apt
from contextcore_install.system.process import Completed

PYTHON = f"Python {sys.version_info[0]}.{sys.version_info[1]} on {sys.platform} {platform.machine()}"
SHOWN = 160  # characters of evidence

#: What installers write beside a package's files, if its wheel has it too with a hash that no longer fits.
OF_THE_INSTALLER = ("INSTALLER", "REQUESTED", "direct_url.json")

#: Debian and Ubuntu ship pip's unmodified wheel for venvs in the first; the second is pip itself.
PIP_PACKAGES = ("python3-pip-whl", "python3-pip")


def pins(lock: Path) -> list[tuple[str, str]]:
    """Return the name and version of each package that `lock` pins for this system."""
    found = re.findall(r"^([A-Za-z0-9][^\s=]*)==([^\s;\\]+)([^\n]*)", lock.read_text(encoding="utf-8"), re.MULTILINE)
    return [(name, version) for name, version, where in found if "win32" not in where]


def install(lock: Path, target: Path, *, workdir: Path, run: apt.Run) -> None:
    """Install what `lock` pins into the empty folder `target`; raise InstallError if that cannot be done."""
    with_uv = _try_uv(lock, target, workdir, run)
    if with_uv and with_uv.exit_code == 0:
        return
    shutil.rmtree(target)  # what uv left
    target.mkdir()
    options = ["install", "--no-compile", "--no-warn-script-location", "--target", str(target)]
    try:
        outcome = _run_pip(options, lock, workdir, run, os.environ)
    except InstallError:
        if with_uv:
            raise explain("uv", with_uv.output) from None
        raise
    if outcome.exit_code != 0:
        raise explain("pip", outcome.output)


def _try_uv(lock: Path, target: Path, workdir: Path, run: apt.Run) -> Completed | None:
    """Try uv, the fastest; None if there is none. It reads none of pip's settings, so its failure is not final."""
    uv = shutil.which("uv")
    if uv is None:
        return None
    options = ["--require-hashes", "--no-deps", "--link-mode=copy", "--no-progress", "--color=never"]
    where = ["--python", sys.executable, "--target", str(target), "--requirements", str(lock)]
    try:
        return run([uv, "pip", "install", *options, *where], workdir, _environment(workdir, os.environ))
    except InstallError as error:
        return Completed((uv,), 127, (error.message,))


def download(
    lock: Path,
    target: Path,
    options: Sequence[str] = (),
    *,
    workdir: Path,
    run: apt.Run,
    environ: Mapping[str, str] = os.environ,
) -> None:
    """Download wheels of what `lock` pins into a folder; `options` tell pip what for. Raises InstallError."""
    outcome = _run_pip(["download", *options, "--dest", str(target)], lock, workdir, run, environ)
    if outcome.exit_code != 0:
        raise explain("pip", outcome.output)


def _run_pip(options: Sequence[str], lock: Path, workdir: Path, run: apt.Run, environ: Mapping[str, str]) -> Completed:
    """Try each pip there is until one can be imported, and return how that one ended."""
    always = ["--require-hashes", "--no-deps", "--only-binary=:all:", "--no-input", "--progress-bar=off"]
    pinned = [*always, "--disable-pip-version-check", "--requirement", str(lock)]
    for path in _pips(workdir, run):
        outcome = run([sys.executable, "-m", "pip", *options, *pinned], workdir, _environment(workdir, environ, path))
        # Also a pip that is there but lacks a part of the standard library its distribution splits off.
        if outcome.exit_code == 0 or "No module named" not in outcome.output:
            return outcome
    raise _no_pip("no pip could be imported")


def _pips(workdir: Path, run: apt.Run) -> Iterator[Path | None]:
    """Yield what to put on the path to import pip: nothing, wheels found here, then one downloaded for it."""
    yield None
    folders = [Path(os.__file__).parent / "ensurepip" / "_bundled"]
    if elsewhere := sysconfig.get_config_var("WHEEL_PKG_DIR"):
        folders.append(Path(elsewhere))
    for folder in folders:
        yield from sorted(folder.glob("pip-*.whl"), reverse=True)
    failure = None
    for package in PIP_PACKAGES:
        try:
            unpacked = apt.download_and_unpack(package, workdir / "pip", workdir=workdir / "apt", run=run)
        except InstallError as error:
            if error.code != "package":
                raise _no_pip(error.message) if error.code == "no-apt" else error from None
            failure = explain("apt-get", error.evidence)
            continue
        yield from unpacked.glob("usr/share/python-wheels/pip-*.whl")
        yield from unpacked.glob("usr/lib/python3/dist-packages")
    if failure:
        raise failure


def _environment(workdir: Path, environ: Mapping[str, str], pip: Path | None = None) -> dict[str, str]:
    """Return the environment of an installer: the user's, without what would lead it away from `--target`."""
    temporary = workdir / "tmp"
    temporary.mkdir(exist_ok=True)
    env = {name: value for name, value in environ.items() if name not in {"PYTHONPATH", "PYTHONHOME"}}
    # Without network, pip's own five retries take longer than people wait for an answer, and without
    # any it keeps to itself why it found nothing.
    if env.get("PIP_RETRIES", "0") == "0":
        env["PIP_RETRIES"] = "2"
    env |= {"PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0", "PIP_ROOT_USER_ACTION": "ignore"}
    env |= {"TMPDIR": str(temporary), "PYTHONDONTWRITEBYTECODE": "1"}
    return env | {"PYTHONPATH": str(pip)} if pip else env


def damaged_files(lock: Path, folder: Path) -> Iterator[Path]:
    """Yield the files of the packages that `lock` pins that are missing, unreadable or changed.

    Each package lists its files with their hashes (RECORD: PEP 376, PEP 627). Its own bytecode is not installed, and
    scripts are listed where they would be outside of --target.
    """
    installed = {spelled_alike(path.name): path for path in folder.glob("*.dist-info")}
    for name, version in pins(lock):
        info = installed.get(spelled_alike(f"{name}-{version}.dist-info"))
        if info is None:
            yield folder / f"{name}-{version}.dist-info"
            continue
        try:
            rows = list(csv.reader((info / "RECORD").read_text(encoding="utf-8").splitlines(), strict=True))
        except (OSError, ValueError, csv.Error):
            rows = []
        if [f"{info.name}/RECORD", "", ""] not in rows or any(len(row) != 3 for row in rows):
            yield info / "RECORD"
            continue
        for path, expected, _size in rows:
            written = Path(path).name in OF_THE_INSTALLER or path.startswith("..")
            if expected and not written and not _has_hash(folder / path, expected):
                yield folder / path


def spelled_alike(name: str) -> str:
    """Return the one spelling of a project's name, or of its folder (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _has_hash(path: Path, expected: str) -> bool:
    algorithm, _, value = expected.partition("=")
    try:
        digest = hashlib.new(algorithm, path.read_bytes()).digest()
    except (OSError, ValueError):
        return False
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == value


def _no_pip(evidence: str) -> InstallError:
    message = f"{sys.executable} has no pip to get this program's packages with."
    hint = "install pip (the package is usually called python3-pip) or uv"
    return InstallError("runtime-no-pip", message, evidence, hint, exit_code=ExitCode.PREFLIGHT_FAILED)


def explain(program: str, output: str) -> InstallError:
    """Return the error that says what stood in the way, by the output of an installer that failed."""
    for cause in _causes():
        found = [match for line in output.splitlines() if (match := re.search(cause["pattern"], line))]
        if found:
            line = found[-1].string
            start = found[-1].start() if len(line) > SHOWN else 0
            return _error(cause, f"{program} said: {'… ' if start else ''}{line[start:][:SHOWN].strip()}")
    errors = [line for line in output.splitlines() if re.match(r"E:|ERROR|error", line)]
    evidence = errors[0] if errors else apt.last_line(output) or f"{program} said nothing"
    unknown = {"code": "runtime-failed", "message": f"{program} could not install this program's packages."}
    return _error(unknown, evidence)


def explain_os_error(error: OSError, folder: Path) -> InstallError:
    """Return the error for a folder that could not be made or filled."""
    name, message = errno.errorcode.get(error.errno or 0, ""), f"{folder} cannot be prepared."
    unknown = {"code": "runtime-folder", "message": message, "hint": "move what is in the way"}
    cause = next((cause for cause in _causes() if name in cause.get("errors", ())), unknown)
    return _error(cause, f"{error.filename or folder}: {error.strerror}")


def _causes() -> list[dict[str, Any]]:
    return list(read_table(Path(__file__).with_name("package_failures.toml"))["cause"])


def _error(cause: Mapping[str, Any], evidence: str) -> InstallError:
    message, hint = cause["message"].replace("{python}", PYTHON), cause.get("hint", "")
    retryable = cause.get("retryable", False)
    return InstallError(cause["code"], message, evidence, hint, retryable, ExitCode.PREFLIGHT_FAILED)
