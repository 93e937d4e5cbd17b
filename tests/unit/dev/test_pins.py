"""`make pins`, with a real server on loopback in the place of upstream."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from contextcore_install.core.dataclass import replace
from contextcore_install.system.packages.releases import NOT_PUBLISHED, Release, releases
from dev.pins import main
from kit.release_server import ReleaseServer, release_server

ARM = "darwin-arm64"


@pytest.fixture
def upstream() -> Iterator[ReleaseServer]:
    with release_server() as server:
        for name in ("tempo", "kind"):
            server.publish(name, name.encode())
        yield server


def pinned(digests: dict[str, str] | None = None) -> dict[str, Release]:
    return {name: replace(releases()[name], digests=digests or {}) for name in ("tempo", "kind")}


def test_what_upstream_publishes_is_written_and_then_nothing_is_missing(
    upstream: ReleaseServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--check"], pinned()) == 1
    assert f"no sha256 is committed for tempo 3.0.3 {ARM}: run `make pins`" in capsys.readouterr().err.splitlines()
    target = tmp_path / "digests.toml"
    sums = "/grafana/tempo/releases/download/v3.0.3/SHA256SUMS"
    upstream.files[sums] = b"".join(line for line in upstream.files[sums].splitlines(True) if b"darwin" not in line)
    del upstream.files["/kubernetes-sigs/kind/releases/download/v0.33.0/kind-linux-arm64.sha256sum"]
    assert main(["--mirror", upstream.url], pinned(), target) == 0
    found = tomllib.loads(target.read_text())
    tempo, kind = found["tempo"]["3.0.3"], found["kind"]["0.33.0"]
    assert tempo.pop("source").endswith("/SHA256SUMS")
    assert kind.pop("source").endswith("/kind-SYSTEM-MACHINE.sha256sum")
    assert tempo["linux-amd64"] == hashlib.sha256(b"tempo").hexdigest()
    assert (tempo[ARM], kind[ARM], kind["linux-arm64"]) == (
        NOT_PUBLISHED,
        hashlib.sha256(b"kind").hexdigest(),
        NOT_PUBLISHED,
    )
    assert main(["--check"], {"tempo": replace(releases()["tempo"], digests=tempo)}) == 0


def test_a_digest_that_changed_under_the_same_version_is_not_taken(
    upstream: ReleaseServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--mirror", upstream.url], pinned({ARM: "0" * 64}), tmp_path / "digests.toml") == 1
    assert f"kind 0.33.0 {ARM} was {'0' * 64}, and is published as" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_is_not_there_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--mirror", "http://127.0.0.1:1"], pinned(), tmp_path / "digests.toml") == 1
    assert "SHA256SUMS cannot be reached." in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
