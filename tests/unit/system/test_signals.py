"""The handlers of Ctrl-C and its like interrupt the main thread, wherever that is."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from contextcore_install.core.threads import CancelToken
from contextcore_install.system.signals import ending_at_once, ending_signals_apart


@pytest.mark.timeout(20)
@pytest.mark.parametrize("delay_s", [0.01, 0.013, 0.017, 0.019, 0.023, 0.029, 0.031, 0.037, 0.041, 0.043])
def test_a_signal_that_comes_while_the_end_is_looked_for_ends_all_the_same(delay_s: float) -> None:
    ended = threading.Event()

    def send() -> None:
        time.sleep(delay_s)
        os.kill(os.getpid(), signal.SIGINT)

    with ending_signals_apart(lambda _: ended.set(), lambda: None):
        sender = threading.Thread(target=send)
        sender.start()
        while not ended.wait(0):  # holds the event's own lock for most of the time
            pass
        sender.join()


def test_what_looks_right_after_a_signal_sees_it() -> None:
    token = CancelToken()
    with ending_signals_apart(token.cancel, lambda: None, token.note):
        os.kill(os.getpid(), signal.SIGINT)
        assert (token.cancelled, token.reason) == (True, "Ctrl-C")


def test_what_is_asked_has_been_asked_when_the_block_is_over() -> None:
    asked = list[str]()
    with ending_signals_apart(asked.append, lambda: None):
        os.kill(os.getpid(), signal.SIGTERM)
    assert asked == ["SIGTERM"]


def test_a_signal_ends_what_waits_for_an_answer() -> None:
    unread, writing = os.pipe()
    before = [signal.getsignal(signal.SIGINT), signal.set_wakeup_fd(-1)]
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()

    with pytest.raises(KeyboardInterrupt), ending_at_once() as wait:
        wait(unread)

    assert [signal.getsignal(signal.SIGINT), signal.set_wakeup_fd(-1)] == before
    os.close(unread)
    os.close(writing)
