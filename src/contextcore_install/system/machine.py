"""What this machine says about itself: which boot this is, when a process started, who listens where, its routes.

On Linux these come from /proc directly (proc(5)): no import to pay for, and start times that do not move when the
clock is set. Elsewhere psutil tells.
"""

from __future__ import annotations

import os
import re
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any, TypeVar

from contextcore_install.core.dataclass import dataclass

T = TypeVar("T")
LINUX = sys.platform == "linux"
#: Process states in proc(5) of what no longer runs: zombie, dead.
_GONE = {"Z", "X", "x"}
#: Seconds for a Unix socket of this machine to take a connection.
PEER_WITHIN_S = 2.0


def kernel_text(path: str) -> str:
    """Return what a file of the kernel's says; empty if it is not there or not ours to read."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


@lru_cache(maxsize=1)
def boot_id() -> str:
    """Return what names this boot of the machine and no other."""
    if said := kernel_text("/proc/sys/kernel/random/boot_id"):
        return said
    with suppress(OSError, subprocess.SubprocessError):
        # sysctl(3) on macOS; it does not move with the clock, as the boot time does.
        argv = ["sysctl", "-n", "kern.bootsessionuuid"]
        if said := subprocess.run(argv, capture_output=True, text=True, timeout=5, check=True).stdout.strip():
            return said
    import psutil

    return f"boot-{round(psutil.boot_time() / 60)}"


def start_time(pid: int, *, has_proc: bool = LINUX) -> float | None:
    """Return when a live process started, in seconds on a scale that is fixed within one boot; None if there is none.

    A zombie is no live process. Two processes with the same pid differ in it, so pid and start time name one.
    """
    if has_proc:
        # The second field is the name in brackets, and may hold brackets and blanks itself.
        fields = kernel_text(f"/proc/{pid}/stat").rpartition(")")[2].split()
        # A zombie with more than one thread is still ending: it holds its files and ports.
        if not fields or (fields[0] in _GONE and int(fields[17]) <= 1):
            return None
        return int(fields[19]) / os.sysconf("SC_CLK_TCK")
    if _asked(pid, lambda process: process.status(), "dead") in {"zombie", "dead"}:
        return None
    return _asked(pid, lambda process: float(process.create_time()), None)


def _asked(pid: int, question: Callable[[Any], T], otherwise: T) -> T:
    """Return what psutil answers of a process; `otherwise` if it is gone, or not ours to look at."""
    import psutil

    with suppress(psutil.Error, OSError):
        return question(psutil.Process(pid))
    return otherwise


def is_suspended(pid: int) -> bool:
    """Tell whether a process was stopped by a signal (SIGSTOP, SIGTSTP) and waits for SIGCONT."""
    return _asked(pid, lambda process: process.status() == "stopped", otherwise=False)


def marked_processes(variable: str, value: str, argv: Sequence[str] = (), *, has_proc: bool = LINUX) -> Iterator[int]:
    """Yield the processes of this user that lead a session and carry a variable in their environment.

    macOS does not show the environment of every program; there the same arguments (`argv`) do as well.
    """
    if has_proc:
        wanted = f"{variable}={value}".encode()
        for pid in [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]:
            with suppress(OSError):
                carries = wanted in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
                if carries and os.getsid(pid) == pid and start_time(pid) is not None:
                    yield pid
        return
    import psutil

    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if os.getsid(process.pid) == process.pid and (
                environment_of(process.pid, variable) == value or (argv and process.cmdline() == list(argv))
            ):
                yield process.pid


def environment_of(pid: int, variable: str) -> str:
    """Return a variable of another process's environment; empty if there is none or it is not ours to read."""
    return _asked(pid, lambda process: str(process.environ().get(variable, "")), "")


def descends_from(pid: int, ancestor: int) -> bool:
    """Tell whether a process is another one or was started by it, however far down."""
    return pid == ancestor or ancestor in _asked(pid, lambda process: [parent.pid for parent in process.parents()], [])


def available_memory() -> int:
    """Return the bytes that programs can have without others being swapped out (MemAvailable of proc_meminfo(5))."""
    if found := re.search(r"(?m)^MemAvailable:\s+(\d+) kB", kernel_text("/proc/meminfo")):
        return int(found[1]) * 1024
    import psutil

    return int(psutil.virtual_memory().available)


def privileged_below() -> int:
    """Return the first port that every user may listen on (ip-sysctl: ip_unprivileged_port_start)."""
    return int(kernel_text("/proc/sys/net/ipv4/ip_unprivileged_port_start") or 1024)


def delegated_controllers() -> frozenset[str]:
    """Return the cgroup controllers that systemd delegates to this user's manager; none if it does not run."""
    uid = os.getuid()
    path = f"/sys/fs/cgroup/user.slice/user-{uid}.slice/user@{uid}.service/cgroup.controllers"
    return frozenset(kernel_text(path).split())


def file_system(path: Path) -> str:
    """Return the type of the file system that a path is on, as its mount names it; empty if that is not known."""
    import psutil

    real = path.resolve()
    try:
        mounts = [(Path(item.mountpoint), str(item.fstype)) for item in psutil.disk_partitions(all=True)]
    except (psutil.Error, OSError):
        return ""
    # The last of those on one point is the one that is seen.
    holding = {point: kind for point, kind in mounts if real.is_relative_to(point)}
    return holding[max(holding, key=lambda point: len(point.parts))] if holding else ""


# Who listens where


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that listens on a port."""

    pid: int
    name: str

    @property
    def label(self) -> str:
        return f"{self.name or 'a process'} (pid {self.pid})"


def _listens_on(connection: Any, port: int) -> bool:
    return bool(connection.status == "LISTEN" and connection.laddr and connection.laddr.port == port)


def listens(pid: int, port: int) -> bool:
    """Tell, at little cost, whether a process itself listens on a TCP port; False also if that cannot be told.

    On Linux /proc/PID/net/tcp gives the inodes of listening sockets, /proc/PID/fd those that it has open. A socket
    that was found once listens as long as it is open, which is seen without the tables of all connections.
    """
    if not LINUX:
        return port in {found for _, found in listening(pid)}
    found, inode = _LISTENING.get((pid, port), ("", ""))
    if found and _link(found) == inode:
        return True
    inodes = {f"socket:[{inode}]" for table in ("tcp", "tcp6") for inode in _listening_inodes(pid, table, port)}
    if not inodes:
        return False
    with suppress(OSError), os.scandir(f"/proc/{pid}/fd") as entries:
        for entry in entries:
            if (inode := _link(entry.path)) in inodes:
                _LISTENING[pid, port] = entry.path, inode
                return True
    return False


_LISTENING: dict[tuple[int, int], tuple[str, str]] = {}
"""By process and port: the path of the descriptor that listened when it was looked for, and what it linked to."""


def _listening_inodes(pid: int, table: str, port: int) -> Iterator[str]:
    for line in kernel_text(f"/proc/{pid}/net/{table}").splitlines()[1:]:
        fields = line.split()
        if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
            yield fields[9]


def _link(path: str) -> str:
    try:
        return os.readlink(path)  # noqa: PTH115 - hundreds of them
    except OSError:  # closed meanwhile
        return ""


def listening(pid: int) -> list[tuple[str, int]]:
    """Return the TCP addresses and ports on which a process and its descendants listen; those that may be looked at."""
    import psutil

    found = set()
    with suppress(psutil.Error):
        root = psutil.Process(pid)
        for process in [root, *root.children(recursive=True)]:
            with suppress(psutil.Error, OSError):
                for connection in process.net_connections("tcp"):
                    if connection.status == psutil.CONN_LISTEN:
                        found.add((str(connection.laddr.ip), int(connection.laddr.port)))
    return sorted(found)


def listener(port: int, *, has_proc: bool = LINUX) -> Holder | None:
    """Return who listens on a TCP port, as far as this user may know; None if nobody is found."""
    import psutil

    def seen() -> Iterator[int]:
        with suppress(psutil.Error, OSError):
            if has_proc:
                for connection in psutil.net_connections(kind="tcp"):
                    if _listens_on(connection, port):
                        yield connection.pid or 0
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                if any(_listens_on(connection, port) for connection in process.net_connections("tcp")):
                    yield process.pid

    if not (pid := next(filter(None, seen()), 0)):
        return None
    return Holder(pid, _asked(pid, lambda process: str(process.name()), ""))


def in_another_network(path: Path) -> bool:
    """Tell whether the process behind a Unix socket has another network than ours; False if that is not known.

    SO_PEERCRED (unix(7)) names the process, and /proc/PID/ns/net its network to those who may look (namespaces(7)). A
    process outside of our own PID namespace has the pid 0.
    """
    if not LINUX:
        return False
    with suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(PEER_WITHIN_S)
        probe.connect(str(path))
        credentials = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        pid, _, _ = struct.unpack("3i", credentials)
        theirs = Path(f"/proc/{pid}/ns/net").readlink() if pid > 0 else None
        return theirs is not None and theirs != Path("/proc/self/ns/net").readlink()
    return False


# Routes

POOLS = tuple(IPv4Network(f"172.{number}.0.0/16") for number in range(17, 32)) + tuple(
    IPv4Network(f"192.168.{number}.0/20") for number in range(0, 256, 16)
)
"""What Docker makes networks from when it is told nothing else (moby, libnetwork/ipamutils)."""
_OF_ENGINES = ("docker", "br-", "veth", "podman", "cni", "lo")


def routes(table: str) -> Iterator[tuple[str, IPv4Network]]:
    """Yield the interface and destination of each route in the text of /proc/net/route (proc(5)), but no default."""
    for fields in (line.split() for line in table.splitlines()[1:]):
        if len(fields) >= 8:
            address, mask = (int.from_bytes(bytes.fromhex(fields[at]), "little") for at in (1, 7))
            if mask:
                yield fields[0], IPv4Network((int(IPv4Address(address & mask)), mask.bit_count()))


def taker_of_pools(table: str) -> str:
    """Return the interfaces whose routes, together with others', leave an engine no range; empty if one is left."""
    known = list(routes(table))
    if not all(any(pool.overlaps(network) for _, network in known) for pool in POOLS):
        return ""
    others = [(interface, network) for interface, network in known if not interface.startswith(_OF_ENGINES)]
    taking = {interface for interface, network in others if sum(pool.overlaps(network) for pool in POOLS) > 1}
    return ", ".join(sorted(taking))
