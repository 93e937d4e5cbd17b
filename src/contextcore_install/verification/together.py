"""Doing things at the same time, none of which may take longer than all of them may."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from contextcore_install.core.errors import InstallError

Value = TypeVar("Value")


class Once(Generic[Value]):
    """Does something when it is first asked for; all who ask get what came of it: a value, or the error raised."""

    def __init__(self, work: Callable[[], Value]) -> None:
        self._work = work
        self._lock = threading.Lock()
        self._outcome: list[Value | InstallError] = []

    def __call__(self) -> Value:
        """Return the value, or raise the InstallError."""
        with self._lock:
            if not self._outcome:
                try:
                    self._outcome.append(self._work())
                except InstallError as error:
                    self._outcome.append(error)
        outcome = self._outcome[0]
        if isinstance(outcome, InstallError):
            raise outcome
        return outcome


def together(work: Mapping[str, Callable[[], Value]], limit_s: float) -> dict[str, Value | InstallError]:
    """Return what each comes to: a value, or why there is none, `too-slow` where it takes longer than `limit_s`.

    What is too slow is left behind in a thread that ends with the program. An error other than InstallError is raised.
    """
    outcomes: dict[str, Value | InstallError] = {}
    bugs: list[BaseException] = []

    def run(name: str, task: Callable[[], Value]) -> None:
        try:
            outcomes[name] = task()
        except InstallError as error:
            outcomes[name] = error
        except BaseException as error:  # noqa: BLE001 - raised again where it is seen
            bugs.append(error)

    threads = [threading.Thread(target=run, args=item, name=f"verify-{item[0]}", daemon=True) for item in work.items()]
    end = time.monotonic() + limit_s
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    if bugs:
        raise bugs[0]
    late = InstallError("too-slow", f"there was no answer within {limit_s:.0f} s", retryable=True)
    # Asked once: a task may end between two looks.
    return {name: outcomes.get(name, late) for name in work}
