"""A network without a way out, for commands that must need none."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

_HOLD = "ip link set lo up && echo up && exec sleep 3600"


@contextmanager
def no_network() -> Iterator[list[str]]:
    """Give what stands before a command so that it has the loopback interface and no other; else skip the test."""
    argv = ["unshare", "--net", "sh", "-c", _HOLD]
    try:
        held = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    except OSError as error:
        pytest.skip(f"no network of its own can be had here: {error}")
    with held:
        try:
            assert held.stdout
            if held.stdout.readline() != b"up\n":
                pytest.skip("no network of its own can be had here: that takes root, Linux and iproute2")
            yield ["nsenter", f"--net=/proc/{held.pid}/ns/net"]
        finally:
            held.kill()
