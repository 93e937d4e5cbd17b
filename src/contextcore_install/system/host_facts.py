"""What somebody far away wants to know of this machine: its system, its size and limits, its tools, its proxies."""

from __future__ import annotations

import os
import platform
import re
import resource
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contextcore_install.core.errors import InstallError
from contextcore_install.core.interfaces import StepContext
from contextcore_install.system.machine import file_system, kernel_text
from contextcore_install.system.process import capture
from contextcore_install.system.programs import KIND, KUBECTL, VERSION_WITHIN_S

VERSIONS: Mapping[str, tuple[str, ...]] = {
    "docker": ("--version",),
    "podman": ("--version",),
    KIND.name: KIND.version_arguments,
    KUBECTL.name: KUBECTL.version_arguments,
}
"""Tools, and what they print their version for."""

PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")

_MATTERS = re.compile(
    r"(CONTEXTCORE|KIND|K8S|DOCKER|CONTAINER|GF|LC)_.*|CLICOLOR.*|(?i:https?_proxy|all_proxy|no_proxy)"
    r"|CI|CLUSTER_NAME|COLUMNS|FORCE_COLOR|HOME|KUBECONFIG|LANG|NO_COLOR|PATH|PYTHONPATH|SHELL|SSH_CONNECTION"
    r"|SUDO_USER|TERM|TMPDIR|TZ|WSL_DISTRO_NAME|XDG_RUNTIME_DIR"
)
"""Variables whose presence tells something."""
_KERNEL_LIMITS = {
    "inotify_watches": "/proc/sys/fs/inotify/max_user_watches",
    "inotify_instances": "/proc/sys/fs/inotify/max_user_instances",
    "open_files_of_all": "/proc/sys/fs/file-nr",
}
_LIMITS = {
    "open_files": resource.RLIMIT_NOFILE,
    "processes": resource.RLIMIT_NPROC,
    "address_space": resource.RLIMIT_AS,
    "file_size": resource.RLIMIT_FSIZE,
}


def host_facts(environ: Mapping[str, str], folder: Path, ctx: StepContext) -> dict[str, Any]:
    """Return the facts as a JSON document; sizes are bytes, loads are those of 1, 5 and 15 minutes.

    Of the environment it holds the names of variables that matter; only those of proxies come with their values, from
    which the caller hides credentials. `folder` is where the program keeps its files.
    """
    import psutil

    usable = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()
    memory, swap = psutil.virtual_memory(), psutil.swap_memory()
    return {
        "system": _system(),
        "python": {"version": platform.python_version(), "executable": sys.executable},
        "processors": {"count": os.cpu_count(), "usable": usable, "load": os.getloadavg()},
        "memory": {"total": memory.total, "available": memory.available, "swap_free": swap.free},
        "disks": {"home": _disk(folder), "temporary": _disk(Path(tempfile.gettempdir()))},
        "limits": {name: resource.getrlimit(number) for name, number in _LIMITS.items()},
        "kernel_limits": {name: kernel_text(path) for name, path in _KERNEL_LIMITS.items()},
        "tools": {name: _version(name, environ, ctx) for name in VERSIONS},
        "proxies": {name: value for name, value in sorted(environ.items()) if name.lower() in PROXIES},
        "environment": sorted(filter(_MATTERS.fullmatch, environ)),
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


def _version(name: str, environ: Mapping[str, str], ctx: StepContext) -> str:
    program = shutil.which(name, path=environ.get("PATH", os.defpath))
    if program is None:
        return "not there"
    try:
        done = capture([program, *VERSIONS[name]], environ=environ, timeout_s=VERSION_WITHIN_S, ctx=ctx)
    except InstallError as error:
        return f"{program}: {error.message}"
    return f"{program}: {(done.stdout or done.stderr).strip()[:500]}"
