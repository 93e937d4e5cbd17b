"""Runs the program in this process and prints for how many seconds any of its threads waited in a socket call.

Arguments: the bytecode's folder, the sources, the runtime, and then the program's own.
"""

from __future__ import annotations

import socket
import sys
import time

sys.pycache_prefix = sys.argv[1]
sys.path[:0] = sys.argv[2:4]

_waits: list[tuple[float, float]] = []


def watch(name: str) -> None:
    """Have every call of a socket's method timed."""
    original = getattr(socket.socket, name)

    def timed(self: socket.socket, *arguments: object) -> object:
        began = time.perf_counter()
        try:
            return original(self, *arguments)
        finally:
            _waits.append((began, time.perf_counter()))

    setattr(socket.socket, name, timed)


def together(waits: list[tuple[float, float]]) -> float:
    """Return how long at least one of the waits lasted."""
    total = reached = 0.0
    for began, ended in sorted(waits):
        total += max(0.0, ended - max(began, reached))
        reached = max(reached, ended)
    return total


def main() -> int:
    """Run the program and print the figure as the last line."""
    for name in ("connect", "send", "sendall", "recv", "recv_into"):
        watch(name)
    from contextcore_install.__main__ import main as program

    code = program(sys.argv[4:])
    print(together(_waits))
    return code


if __name__ == "__main__":
    raise SystemExit(main())
