"""Ctrl-C, SIGTERM and SIGHUP: the first asks the run to end, the second ends the process."""

from __future__ import annotations

import os
import select
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue

from contextcore_install.core.errors import ExitCode

_NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM", signal.SIGHUP: "the terminal was closed"}


@contextmanager
def ending_signals(
    ask: Callable[[str], None], at_once: Callable[[], None], *, exits_next: Callable[[], bool] = lambda: False
) -> Iterator[None]:
    """Within the block, call `ask` with the reason at the first signal, and end the process at the next.

    `at_once` is what must happen even then. Signals that our parent had ignored stay ignored, as nohup wants. `ask`
    must take no lock: it interrupts the main thread, which may hold that very one. After the block, signals are ignored
    if `exits_next` says that the process does nothing more but exit.
    """
    asked = False

    def handle(number: int, _: object) -> None:
        nonlocal asked
        if asked:
            at_once()
            os._exit(ExitCode.INTERRUPTED)
        asked = True
        ask(_NAMES[signal.Signals(number)])

    with _handled_by(handle, exits_next):
        yield


@contextmanager
def ending_signals_apart(
    ask: Callable[[str], None], at_once: Callable[[], None], note: Callable[[str], None] = lambda _: None
) -> Iterator[None]:
    """As `ending_signals`, for an `ask` that takes locks: it is called on a thread of its own, within the block.

    `note` takes none, and is called before, by the handler.
    """
    reasons = SimpleQueue[str]()  # a handler may put something in at any moment

    def listen() -> None:
        if reason := reasons.get():
            ask(reason)

    def handle(reason: str) -> None:
        note(reason)
        reasons.put(reason)

    listener = threading.Thread(target=listen, name="signals", daemon=True)
    listener.start()
    try:
        with ending_signals(handle, at_once):
            yield
    finally:
        reasons.put("")
        listener.join()


@contextmanager
def ending_at_once() -> Iterator[Callable[[int], object]]:
    """Within the block, raise KeyboardInterrupt at the first signal: nothing is at work that had to be asked to end.

    Gives what waits until a descriptor can be read. A signal that comes right before a blocking read does not end that:
    Python's handler runs after it. The descriptor that Python writes to at once does (signal.set_wakeup_fd).
    """

    def handle(*_: object) -> None:
        raise KeyboardInterrupt

    woken, waker = os.pipe()
    os.set_blocking(waker, False)
    try:
        before = signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        try:
            with _handled_by(handle):
                yield lambda descriptor: select.select([descriptor, woken], [], [])
        finally:
            signal.set_wakeup_fd(before)
    finally:
        os.close(woken)
        os.close(waker)


@contextmanager
def _handled_by(
    handle: Callable[[int, object], None], exits_next: Callable[[], bool] = lambda: False
) -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in _NAMES}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if exits_next() else handler)
