"""Fixtures for all tests are in plugins beside this file."""

from __future__ import annotations

import os
import signal

from hypothesis import HealthCheck, settings

pytest_plugins = ["kit.stores", "kit.installation", "kit.receivers", "kit.recordings"]

# A machine that is busy elsewhere makes an example slow, not wrong.
settings.register_profile(
    "patient",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "30")),
)
settings.load_profile("patient")

# A shell starts what runs in the background with Ctrl-C ignored, and nohup what it starts with SIGHUP; what is started
# here would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
