"""What several of these tests begin with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.host_world import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Yield a machine on which a real metrics store can run, and nothing of ours does."""
    made = World(tmp_path)
    made.has("victoria-metrics")
    yield made
    made.close()
