from __future__ import annotations

from collections.abc import Iterator

import pytest

from kit.release_server import ReleaseServer, release_server


@pytest.fixture
def upstream() -> Iterator[ReleaseServer]:
    with release_server() as server:
        yield server
