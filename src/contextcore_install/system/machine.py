"""What this machine says about its processes: which boot this is, when a process started, who listens where.

On Linux these come from /proc directly (proc(5)): no import to pay for, and start times that do not move when the
clock is set. Elsewhere psutil tells.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

#: Process states in proc(5) of what no longer runs: zombie, dead.
_GONE = {"Z", "X", "x"}
LINUX = sys.platform == "linux"
#: Seconds for a Unix socket of this machine to take a connection.
PEER_WITHIN_S = 2.0


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that listens on a port; `pid` is 0 where this user may not know it."""

    pid: int
    name: str


@lru_cache(maxsize=1)
def boot_id() -> str:
    """Return what names this boot of the machine and no other."""
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        # sysctl(3) on macOS; it does not move with the clock, as the boot time does.
        said = subprocess.run(
            ["sysctl", "-n", "kern.bootsessionuuid"], capture_output=True, text=True, timeout=5, check=True
        )
        if said.stdout.strip():
            return said.stdout.strip()
    import psutil

    return f"boot-{round(psutil.boot_time() / 60)}"


def start_time(pid: int) -> float | None:
    """Return when a live process started, in seconds on a scale that is fixed within one boot; None for none.

    A zombie is no live process. Two processes with the same pid differ in it, so pid and start time name one.
    """
    if LINUX:
        return _linux_start_time(pid)
    import psutil

    try:
        process = psutil.Process(pid)
        if process.status() in {psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD}:
            return None
        return float(process.create_time())
    except psutil.Error:
        return None


def _linux_start_time(pid: int) -> float | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The second field is the name in brackets, and may hold brackets and blanks itself.
    fields = text.rpartition(")")[2].split()
    if fields[0] in _GONE and int(fields[17]) <= 1:
        return None
    # A zombie with more than one thread is still ending: it holds its files and ports.
    return int(fields[19]) / os.sysconf("SC_CLK_TCK")


def is_suspended(pid: int) -> bool:
    """Tell whether a process was stopped by a signal (SIGSTOP, SIGTSTP) and waits for SIGCONT."""
    import psutil  # only what does not answer is asked this

    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_STOPPED)
    except psutil.Error:
        return False


def marked_processes(variable: str, value: str, argv: Sequence[str] = ()) -> Iterator[int]:
    """Yield the processes of this user that lead a session and carry a variable in their environment.

    macOS does not show the environment of every program; there the same arguments (`argv`) do as well.
    """
    if LINUX:
        wanted = f"{variable}={value}".encode()
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and _linux_carries(int(entry.name), wanted):
                yield int(entry.name)
        return
    import psutil

    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if _leads_session(process.pid) and (
                environment_of(process.pid, variable) == value or (argv and process.cmdline() == list(argv))
            ):
                yield process.pid


def _linux_carries(pid: int, wanted: bytes) -> bool:
    try:
        carries = wanted in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False
    return carries and _leads_session(pid) and start_time(pid) is not None


def _leads_session(pid: int) -> bool:
    try:
        return os.getsid(pid) == pid
    except OSError:
        return False


def environment_of(pid: int, variable: str) -> str:
    """Return a variable of another process's environment; empty where there is none or it is not ours to read."""
    import psutil

    try:
        return str(psutil.Process(pid).environ().get(variable, ""))
    except (psutil.Error, OSError):
        return ""


def available_memory() -> int:
    """Return the bytes that programs can have without others being swapped out (MemAvailable of proc_meminfo(5))."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    import psutil

    return int(psutil.virtual_memory().available)


def privileged_below() -> int:
    """Return the first port that every user may listen on (ip-sysctl: ip_unprivileged_port_start)."""
    with contextlib.suppress(OSError, ValueError):
        return int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text(encoding="ascii"))
    return 1024


def delegated_controllers() -> frozenset[str]:
    """Return the cgroup controllers that systemd delegates to this user's manager; none where it does not run."""
    uid = os.getuid()
    path = Path(f"/sys/fs/cgroup/user.slice/user-{uid}.slice/user@{uid}.service/cgroup.controllers")
    with contextlib.suppress(OSError):
        return frozenset(path.read_text(encoding="ascii").split())
    return frozenset()


def listens(pid: int, port: int) -> bool:
    """Tell, at little cost, whether a process itself listens on a TCP port; False also where that cannot be told.

    On Linux /proc/PID/net/tcp gives the inodes of listening sockets, /proc/PID/fd those that it has open.
    """
    if not LINUX:
        import psutil

        with contextlib.suppress(psutil.Error, OSError):
            return _listens(psutil.Process(pid).net_connections("tcp"), port)
        return False
    inodes = set()
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            for line in Path(f"/proc/{pid}/net/{table}").read_text(encoding="ascii").splitlines()[1:]:
                fields = line.split()
                if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                    inodes.add(f"socket:[{fields[9]}]")
    with contextlib.suppress(OSError):
        return bool(inodes) and any(_link(entry) in inodes for entry in Path(f"/proc/{pid}/fd").iterdir())
    return False


def listening(pid: int) -> list[tuple[str, int]]:
    """Return the TCP addresses and ports on which a process and its descendants listen; those that may be looked at."""
    import psutil

    found = set()
    with contextlib.suppress(psutil.Error):
        root = psutil.Process(pid)
        for process in [root, *root.children(recursive=True)]:
            with contextlib.suppress(psutil.Error, OSError):
                for connection in process.net_connections("tcp"):
                    if connection.status == psutil.CONN_LISTEN:
                        found.add((str(connection.laddr.ip), int(connection.laddr.port)))
    return sorted(found)


def file_system(path: Path) -> str:
    """Return the type of the file system that a path is on, as its mount names it; empty where that is not known."""
    import psutil

    real = path.resolve()
    try:
        mounts = [(Path(item.mountpoint), str(item.fstype)) for item in psutil.disk_partitions(all=True)]
    except (psutil.Error, OSError):
        return ""
    # The last of those on one point is the one that is seen.
    holding = [(len(point.parts), kind) for point, kind in mounts if real.is_relative_to(point)]
    deepest = max((depth for depth, _ in holding), default=0)
    return next((kind for depth, kind in reversed(holding) if depth == deepest), "")


def _link(path: Path) -> str:
    try:
        return str(path.readlink())
    except OSError:  # closed meanwhile
        return ""


def listener(port: int) -> Holder | None:
    """Return who listens on a TCP port, as far as this user may know; None where nobody is found."""
    import psutil

    pid = 0
    with contextlib.suppress(psutil.Error, OSError):
        if LINUX:
            pid = _listening(psutil.net_connections(kind="tcp"), port)
    if not pid:
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if _listens(process.net_connections("tcp"), port):
                    pid = process.pid
                    break
    if not pid:
        return None
    try:
        return Holder(pid, psutil.Process(pid).name())
    except psutil.Error:
        return Holder(pid, "")


def _listening(connections: Sequence[object], port: int) -> int:
    pids = [getattr(connection, "pid", None) for connection in connections if _listens([connection], port)]
    return next((pid for pid in pids if pid), 0)


def _listens(connections: Sequence[object], port: int) -> bool:
    import psutil

    return any(
        getattr(connection, "status", "") == psutil.CONN_LISTEN
        and getattr(getattr(connection, "laddr", None), "port", 0) == port
        for connection in connections
    )


def in_another_network(path: Path) -> bool:
    """Tell whether the process behind a Unix socket has another network than ours; False where that is not known.

    SO_PEERCRED (unix(7)) names the process, and /proc/PID/ns/net its network to those who may look (namespaces(7)). A
    process outside of our own PID namespace has the pid 0.
    """
    if not LINUX:
        return False
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(PEER_WITHIN_S)
        probe.connect(str(path))
        credentials = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        pid, _, _ = struct.unpack("3i", credentials)
        theirs = Path(f"/proc/{pid}/ns/net").readlink() if pid > 0 else None
        return theirs is not None and theirs != Path("/proc/self/ns/net").readlink()
    return False


def descends_from(pid: int, ancestor: int) -> bool:
    """Tell whether a process is another one or was started by it, however far down."""
    import psutil

    with contextlib.suppress(psutil.Error):
        return pid == ancestor or any(parent.pid == ancestor for parent in psutil.Process(pid).parents())
    return False
