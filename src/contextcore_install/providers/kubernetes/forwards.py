"""Ways from this machine to Services, through `kubectl port-forward`, for as long as this program lives."""

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
#: Seconds for a forward to stand, and before one that failed is tried again.
STAND_S, AGAIN_S = 8.0, 1.0


@dataclass(slots=True)
class _Forward:
    follower: Follower | None = None
    port: int = 0
    failed_at: float = float("-inf")
    why: str = ""

    @property
    def stands(self) -> bool:
        return bool(self.port and self.follower and self.follower.alive)


class Forwards:
    """One forward a service. Safe to use from several threads."""

    def __init__(self, kubectl: Kubectl) -> None:
        self._kubectl = kubectl
        self._lock = threading.Lock()
        self._forwards: dict[tuple[str, str, int], _Forward] = {}

    def ports(self, services: list[tuple[str, str, int]]) -> list[int]:
        """Return the local port of each (namespace, service, port); 0 where there is no way at the moment."""
        with self._lock, ThreadPoolExecutor(max(1, len(services))) as pool:
            return list(pool.map(self._port, services))

    def why(self, service: tuple[str, str, int]) -> str:
        """Return why there is no way to a service."""
        forward = self._forwards.get(service)
        return forward.why if forward else ""

    def close(self) -> None:
        """End all."""
        with self._lock:
            for forward in self._forwards.values():
                if forward.follower is not None:
                    forward.follower.end()
            self._forwards.clear()

    def _port(self, service: tuple[str, str, int]) -> int:
        forward = self._forwards.setdefault(service, _Forward())
        if forward.stands:
            return forward.port
        if time.monotonic() - forward.failed_at < AGAIN_S:
            return 0
        self._start(forward, service)
        return forward.port

    def _start(self, forward: _Forward, service: tuple[str, str, int]) -> None:
        if forward.follower is not None:
            forward.follower.end()
        namespace, name, port = service
        forward.port = 0
        try:
            forward.follower = self._kubectl.beside(
                "port-forward", "-n", namespace, "--address=127.0.0.1", f"service/{name}", f":{port}"
            )
        except InstallError as error:
            forward.why, forward.failed_at = error.message, time.monotonic()
            return
        forward.port = _wait_for_port(forward.follower)
        if not forward.port:
            forward.why, forward.failed_at = forward.follower.complaint(), time.monotonic()
            forward.follower.end()


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
        return found.get(timeout=STAND_S)
    except queue.Empty:
        return 0
