"""Installs what a lock file pins from the wheels of an offline bundle, with no installer and no network.

A wheel is a zip file whose content is what is installed (PEP 427), and its name says for which interpreters and
machines it is (PEP 425, 600, 656).
"""

from __future__ import annotations

import os
import platform
import re
import sys
import zipfile
from functools import cache
from pathlib import Path

from contextcore_install.core.errors import InstallError
from contextcore_install.system.packages.bundle_file import BundleFile
from contextcore_install.system.packages.bundle_format import BundleEntry
from contextcore_install.system.packages.packages import PYTHON, pins, spelled_alike

_OLD_MANYLINUX = {"manylinux1": "2_5", "manylinux2010": "2_12", "manylinux2014": "2_17"}


def install_wheels(lock: Path, target: Path, bundle: BundleFile, workdir: Path) -> None:
    """Unpack what `lock` pins into a folder. Raises InstallError `bundle-wheel-missing`, `bundle-unusable`."""
    hashes = set(re.findall(r"--hash=sha256:([0-9a-f]{64})", lock.read_text(encoding="utf-8")))
    for name, version in pins(lock):
        entry = _wheel(bundle, name, version)
        if entry.sha256 not in hashes:
            raise _unusable(bundle, f"{entry.path} is not the wheel of {name} that {lock.name} pins")
        wheel = workdir / "wheel"
        bundle.copy_checked(entry, wheel)
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(target)
        wheel.unlink()


def _wheel(bundle: BundleFile, name: str, version: str) -> BundleEntry:
    wanted = spelled_alike(f"{name}-{version}")
    of_any = [entry for entry in bundle.entries("wheel") if spelled_alike(f"{entry.name}-{entry.version}") == wanted]
    if fitting := next((entry for entry in of_any if fits(entry.path)), None):
        return fitting
    pythons = sorted({f"3.{tag}" for entry in of_any for tag in re.findall(r"-cp3(\d+)-cp", entry.path)})
    hint = f"have a Python that it is for first on PATH ({', '.join(pythons)})" if pythons else ""
    raise _unusable(bundle, f"there is no wheel of {name} {version} in it for {PYTHON}", hint)


def _unusable(bundle: BundleFile, reason: str, hint: str = "") -> InstallError:
    return InstallError("bundle-wheel-missing", f"{bundle.path} cannot be used here: {reason}.", hint=hint)


def fits(wheel: str) -> bool:
    """Tell by a wheel's name whether this interpreter on this machine can use it."""
    pythons, abis, platforms = (tag.split(".") for tag in wheel.removesuffix(".whl").split("-")[-3:])
    fits_python = any(_fits_python(python, abi) for python in pythons for abi in abis)
    return fits_python and any(map(_fits_platform, platforms))


def _fits_python(python: str, abi: str) -> bool:
    here, flags = sys.version_info[1], getattr(sys, "abiflags", "")
    found = re.fullmatch(r"(py|cp)3(\d*)", python)
    if not found or (found[1] == "cp" and sys.implementation.name != "cpython"):
        return False
    minor = int(found[2] or 0)
    if found[1] == "py":
        return abi == "none" and minor <= here
    if abi == "abi3":
        return "t" not in flags and minor <= here
    return minor == here and abi in {"none", f"cp3{here}{flags}"}


def _fits_platform(tag: str) -> bool:
    machine = os.uname().machine
    if tag in {"any", f"{sys.platform}_{machine}"}:
        return True
    system, _, rest = tag.partition("_")
    if system in _OLD_MANYLINUX:
        tag = f"manylinux_{_OLD_MANYLINUX[system]}_{rest}"
    found = re.fullmatch(r"(macosx|manylinux|musllinux)_(\d+)_(\d+)_(\w+)", tag)
    if not found or found[4] not in {machine, "universal2"}:
        return False
    needed = int(found[2]), int(found[3])
    if sys.platform == "darwin":
        return found[1] == "macosx" and needed <= _numbers(platform.mac_ver()[0])
    libc, version = _libc()
    if libc == "glibc":
        return found[1] == "manylinux" and needed <= _numbers(version)
    return found[1] == "musllinux"


@cache
def _libc() -> tuple[str, str]:
    """Return the C library's name and version, which are read from the whole interpreter where it is not glibc."""
    return platform.libc_ver()


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")[:2]))
