"""Connections from this machine to Services through `kubectl port-forward`, for as long as this program lives."""

from __future__ import annotations

import queue
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from contextcore_install.core.errors import InstallError
from contextcore_install.providers.kubernetes.client import Kubectl
from contextcore_install.system.process import Follower

_READY = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+)")
#: Seconds for a forward to be ready, and before one that failed is tried again.
READY_S, RETRY_S = 8.0, 1.0


Service = tuple[str, str, int]  # namespace, name and port


class PortForwards:
    """One forward a service. Safe to use from several threads."""

    def __init__(self, kubectl: Kubectl) -> None:
        self._kubectl = kubectl
        self._lock = threading.Lock()
        self._running: dict[Service, tuple[Follower, int]] = {}
        self._failed_at: dict[Service, float] = {}

    def ports(self, services: list[Service]) -> list[int]:
        """Return the local port of each service; 0 for one that cannot be reached now."""
        with self._lock, ThreadPoolExecutor(max(1, len(services))) as pool:
            return list(pool.map(self._port, services))

    def close(self) -> None:
        with self._lock:
            for follower, _ in self._running.values():
                follower.end()
            self._running.clear()

    def _port(self, service: Service) -> int:
        follower, port = self._running.get(service, (None, 0))
        if follower is not None:
            if follower.alive:
                return port
            follower.end()
        if time.monotonic() - self._failed_at.get(service, float("-inf")) < RETRY_S:
            return 0
        namespace, name, number = service
        arguments = ("port-forward", "-n", namespace, "--address=127.0.0.1", f"service/{name}", f":{number}")
        with suppress(InstallError):
            follower = self._kubectl.follow(*arguments)
            if port := _wait_for_port(follower):
                self._running[service] = (follower, port)
                return port
            follower.end()
        self._failed_at[service] = time.monotonic()
        return 0


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
