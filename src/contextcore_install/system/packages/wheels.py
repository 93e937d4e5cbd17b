"""Installs what a lock file pins from the wheels of an offline bundle, with no installer and no network.

A wheel is a zip file whose content is what is installed (PEP 427), and its name says for which interpreters and
machines it is (PEP 425, 600, 656).
"""

from __future__ import annotations

import os
import re
import sys
import zipfile
from pathlib import Path

from contextcore_install.core.errors import InstallError
from contextcore_install.system.packages.bundle_file import BundleFile
from contextcore_install.system.packages.bundle_format import BundleEntry
from contextcore_install.system.packages.package_failures import PYTHON
from contextcore_install.system.packages.packages import pins, spelled_alike

_OLD_MANYLINUX = {"manylinux1": (2, 5), "manylinux2010": (2, 12), "manylinux2014": (2, 17)}


def install_wheels(lock: Path, target: Path, bundle: BundleFile, workdir: Path) -> None:
    """Unpack what `lock` pins into the folder `target`.

    Raises InstallError `bundle-wheel-missing`, and `bundle-unusable` for a wheel that is not what the manifest says.
    """
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
    of_any = [entry for entry in bundle.entries("wheel") if spelled_alike(_project(entry)) == wanted]
    if fitting := next((entry for entry in of_any if fits(_file_name(entry))), None):
        return fitting
    pythons = sorted({f"3.{tag}" for entry in of_any for tag in re.findall(r"-cp3(\d+)-cp", _file_name(entry))})
    hint = f"have a Python that it is for first on PATH ({', '.join(pythons)})" if pythons else ""
    raise _unusable(bundle, f"there is no wheel of {name} {version} in it for {PYTHON}", hint)


def _file_name(wheel: BundleEntry) -> str:
    return Path(wheel.path).name


def _project(wheel: BundleEntry) -> str:
    """Return what a wheel's name begins with: the project and its version."""
    return "-".join(_file_name(wheel).split("-")[:2])


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


def _fits_platform(platform: str) -> bool:
    machine = os.uname().machine
    if platform in {"any", f"{sys.platform}_{machine}"}:
        return True
    if mac := re.fullmatch(r"macosx_(\d+)_(\d+)_(\w+)", platform):
        from platform import mac_ver

        here = tuple(map(int, mac_ver()[0].split(".")[:2])) if sys.platform == "darwin" else ()
        return (int(mac[1]), int(mac[2])) <= here and mac[3] in {machine, "universal2"}
    linux = re.fullmatch(r"(manylinux|musllinux)_(\d+)_(\d+)_(\w+)|(manylinux\d+)_(\w+)", platform)
    if not linux or machine != (linux[4] or linux[6]) or sys.platform != "linux":
        return False
    needed = _OLD_MANYLINUX.get(linux[5] or "", ()) or (int(linux[2] or 99), int(linux[3] or 0))
    glibc = _glibc()
    return needed <= glibc if linux[1] != "musllinux" else not glibc


def _glibc() -> tuple[int, ...]:
    """Return the version of the C library if it is glibc, else nothing."""
    try:
        name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
    except (ValueError, OSError):
        return ()
    return tuple(map(int, version.split(".")[:2])) if name == "glibc" else ()
