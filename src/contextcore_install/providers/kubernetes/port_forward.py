"""Connections from this machine to Services through `kubectl port-forward`, for as long as this program lives."""

from __future__ import annotations

import queue
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from contextcore_install.core.errors import InstallError
from contextcore_install.providers.kubernetes.client import Kubectl
from contextcore_install.system.capture import Follower

_READY = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+)")
#: Seconds for a forward to be ready, and before one that failed is tried again.
READY_S, RETRY_S = 8.0, 1.0


@dataclass(slots=True)
class _Forward:
    follower: Follower | None = None
    port: int = 0
    failed_at: float = float("-inf")


class PortForwards:
    """One forward a service. Safe to use from several threads."""

    def __init__(self, kubectl: Kubectl) -> None:
        self._kubectl = kubectl
        self._lock = threading.Lock()
        self._forwards: dict[tuple[str, str, int], _Forward] = {}

    def ports(self, services: list[tuple[str, str, int]]) -> list[int]:
        """Return the local port of each (namespace, service, port); 0 for one that cannot be reached now."""
        with self._lock, ThreadPoolExecutor(max(1, len(services))) as pool:
            return list(pool.map(self._port, services))

    def close(self) -> None:
        with self._lock:
            for forward in self._forwards.values():
                if forward.follower is not None:
                    forward.follower.end()
            self._forwards.clear()

    def _port(self, service: tuple[str, str, int]) -> int:
        forward = self._forwards.setdefault(service, _Forward())
        if forward.follower and forward.follower.alive and forward.port:
            return forward.port
        if time.monotonic() - forward.failed_at < RETRY_S:
            return 0
        if forward.follower is not None:
            forward.follower.end()
        namespace, name, port = service
        arguments = ("port-forward", "-n", namespace, "--address=127.0.0.1", f"service/{name}", f":{port}")
        forward.port = 0
        try:
            forward.follower = self._kubectl.beside(*arguments)
            forward.port = _wait_for_port(forward.follower)
        except InstallError:
            forward.follower = None
        if not forward.port:
            forward.failed_at = time.monotonic()
            if forward.follower is not None:
                forward.follower.end()
        return forward.port


def _wait_for_port(follower: Follower) -> int:
    found: queue.SimpleQueue[int] = queue.SimpleQueue()

    def read() -> None:
        # To its end: a pipe that nobody empties would block kubectl at last.
        for line in follower.lines():
            if match := _READY.search(line):
                found.put(int(match[1]))
        found.put(0)

    threading.Thread(target=read, daemon=True).start()
    try:
        return found.get(timeout=READY_S)
    except queue.Empty:
        return 0
