"""How far long work is, told every now and then; of all downloads that go on at the same time in one line."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from math import inf

MIB = 1024 * 1024
#: Seconds between two lines, and over which speed is measured.
SHOWN_EVERY_S, SPEED_OVER_S = 0.25, 10.0


def paced(show: Callable[..., object], every_s: float = SHOWN_EVERY_S, *, at_once: bool = True) -> Callable[..., None]:
    """Return what calls `show` only every so many seconds, and first at once or after as many."""
    shown_at = -inf if at_once else time.monotonic()

    def at_times(*arguments: object) -> None:
        nonlocal shown_at
        if time.monotonic() - shown_at >= every_s:
            shown_at = time.monotonic()
            show(*arguments)

    return at_times


class Progress:
    """Bytes, speed, and the time that is left. Counts from several threads; `add` returns a line that is due."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._parts: dict[str, tuple[int, int]] = {}  # what is there and what there will be, in bytes
        self._received = 0
        self._samples: deque[tuple[float, int]] = deque()
        self._shown = 0.0

    def begin(self, name: str, there: int, total: int) -> None:
        """Note a download that (again) goes on behind what is `there`; `total` is 0 if nobody told it."""
        with self._lock:
            self._parts[name] = (there, total)

    def add(self, name: str, count: int) -> str:
        with self._lock:
            there, total = self._parts[name]
            self._parts[name] = (there + count, total)
            self._received += count
            now = time.monotonic()
            if now - self._shown < SHOWN_EVERY_S:
                return ""
            self._shown = now
            return self._line(now)

    def _line(self, now: float) -> str:
        self._samples.append((now, self._received))
        while now - self._samples[0][0] > SPEED_OVER_S:
            self._samples.popleft()
        began, before = self._samples[0]
        speed = (self._received - before) / (now - began) if now > began else 0.0
        there, total = (sum(column) for column in zip(*self._parts.values(), strict=True))
        under_way = [name for name, (done, whole) in self._parts.items() if done < whole or not whole]
        text = f"downloading {', '.join(under_way or self._parts)}: {there // MIB}"
        if all(whole for _, whole in self._parts.values()):
            text += f" of {-(-total // MIB)}"
        text += " MiB"
        if speed:
            text += f", {speed / MIB:.1f} MiB/s" + (f", {_in_words((total - there) / speed)}" if total > there else "")
        return text


def _in_words(seconds: float) -> str:
    return f"{seconds:.0f} s left" if seconds < 120 else f"{seconds / 60:.0f} min left"
