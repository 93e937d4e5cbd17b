"""What somebody far away wants to know of this machine: its system, its size and limits, its tools, its proxies."""

from __future__ import annotations

import os
import platform
import re
import resource
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from contextcore_install.core.errors import InstallError
from contextcore_install.core.interfaces import StepContext
from contextcore_install.core.tables import read_table
from contextcore_install.system.machine import file_system, kernel_text
from contextcore_install.system.process import capture
from contextcore_install.system.programs import VERSION_WITHIN_S

PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


def host_facts(environ: Mapping[str, str], folder: Path, ctx: StepContext) -> dict[str, Any]:
    """Return the facts as a JSON document; sizes are bytes, loads are those of 1, 5 and 15 minutes.

    Of the environment it holds the names of variables that matter; only those of proxies come with their values, from
    which the caller hides credentials. `folder` is where the program keeps its files.
    """
    import psutil

    table = read_table(Path(__file__).with_suffix(".toml"))
    matters = re.compile("|".join(table["variables"]))
    usable = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()
    memory, swap = psutil.virtual_memory(), psutil.swap_memory()
    return {
        "system": _system(),
        "python": {"version": platform.python_version(), "executable": sys.executable},
        "processors": {"count": os.cpu_count(), "usable": usable, "load": os.getloadavg()},
        "memory": {"total": memory.total, "available": memory.available, "swap_free": swap.free},
        "disks": {"home": _disk(folder), "temporary": _disk(Path(tempfile.gettempdir()))},
        "limits": {name: resource.getrlimit(getattr(resource, limit)) for name, limit in table["limits"].items()},
        "kernel_limits": {name: kernel_text(path) for name, path in table["kernel_limits"].items()},
        "tools": {name: _version([name, *words], environ, ctx) for name, words in table["tools"].items()},
        "proxies": {name: value for name, value in sorted(environ.items()) if name.lower() in PROXIES},
        "environment": sorted(filter(matters.fullmatch, environ)),
    }


def _system() -> dict[str, Any]:
    try:
        distribution = platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        distribution = platform.mac_ver()[0]
    return {
        "name": platform.system(),
        "distribution": distribution,
        "kernel": platform.release(),
        "machine": platform.machine(),
        "wsl": "microsoft" in platform.release().lower(),
        "in_container": Path("/.dockerenv").exists() or Path("/run/.containerenv").exists(),
        "cgroup": 2 if Path("/sys/fs/cgroup/cgroup.controllers").exists() else 1,
        "superuser": os.geteuid() == 0,
    }


def _disk(folder: Path) -> dict[str, Any]:
    there = next((path for path in (folder, *folder.parents) if path.exists()), Path("/"))
    usage = shutil.disk_usage(there)
    return {"path": str(there), "total": usage.total, "free": usage.free, "type": file_system(there)}


def _version(argv: Sequence[str], environ: Mapping[str, str], ctx: StepContext) -> str:
    program = shutil.which(argv[0], path=environ.get("PATH", os.defpath))
    if program is None:
        return "not there"
    try:
        done = capture([program, *argv[1:]], environ=environ, timeout_s=VERSION_WITHIN_S, ctx=ctx)
    except InstallError as error:
        return f"{program}: {error.message}"
    return f"{program}: {(done.stdout or done.stderr).strip()[:500]}"
