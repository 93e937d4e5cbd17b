"""What a contact point's plugin does wrong is a reason why a message did not arrive, and nothing worse."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from contextcore_install.core.threads import start
from contextcore_install.notify.contact_points import ContactPoint
from contextcore_install.notify.messages import message
from contextcore_install.notify.sending import Outbox, Receipt


class Plugin:
    """Logs a line that cannot be made, and takes nothing."""

    def notify(self, **_: object) -> bool:
        logging.getLogger("apprise").warning("%d attempts", "some")
        return False


def test_a_log_line_that_cannot_be_made_is_told_as_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    log = logging.getLogger("apprise")
    monkeypatch.setattr(log, "propagate", False)
    monkeypatch.setattr(log, "handlers", [])  # those of the tests refuse such a line
    service: Any = Plugin()
    outbox = Outbox(["json://host"])
    outbox._points = start(lambda: [ContactPoint("a webhook", "json://host", service)], "points")
    outbox.send(message("here", "a test", []), limit_s=60)
    assert outbox.receipts() == [Receipt("a webhook", "it did not take it: %d attempts")]
