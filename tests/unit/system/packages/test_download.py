from __future__ import annotations

import hashlib
import http.server
import os
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from urllib3.util.retry import RequestHistory, Retry

from contextcore_install.core.dataclass import dataclass, field, replace
from contextcore_install.core.errors import CancelledError, InstallError
from contextcore_install.core.events import Kind
from contextcore_install.system.packages.download import PinnedDownload, download_checked, refuse_plain_hops
from contextcore_install.system.packages.install import (
    RELEASES,
    STORE,
    Way,
    from_package,
    from_release,
    install_program,
)
from kit.fakes import Told

PROGRAM = b"#!/bin/sh\necho 'Mimir, version 3.1.1'\n" + b"#" * 700_000
SUM = hashlib.sha256(PROGRAM).hexdigest()


@dataclass
class Upstream:
    """What a release server has, and how it misbehaves. `hang_after`: bytes after which it says no more."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    hang_after: int | None = None
    cut_after: int | None = None
    redirect: bool = False
    released: threading.Event = field(default_factory=threading.Event)

    def publish(self, program: bytes = PROGRAM, checksum: str = f"{SUM}\n") -> None:
        for system in ("linux", "darwin"):
            for machine in ("amd64", "arm64"):
                name = f"/mimir-3.1.1/mimir-{system}-{machine}"
                self.files |= {name: program, f"{name}-sha-256": checksum.encode()}

    @property
    def release(self) -> PinnedDownload:
        return replace(RELEASES["mimir"].at(self.url), read_within_s=0.5)


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    world = Upstream()

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name upstream
            pass

        def do_GET(self) -> None:
            if world.redirect and not self.path.startswith("/moved"):
                self.send_response(302)
                self.send_header("Location", f"/moved{self.path}")
                self.end_headers()
                return
            content = world.files.get(self.path.removeprefix("/moved"))
            if content is None:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            small = len(content) < 1000
            end = len(content) if small else world.hang_after or world.cut_after or len(content)
            self.wfile.write(content[:end])
            if world.hang_after and not small:
                world.released.wait(20)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    world.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield world
    world.released.set()
    server.shutdown()
    server.server_close()


def get(upstream: Upstream, target: Path, told: Told | None = None) -> None:
    told = told or Told()
    download_checked(told.ctx, upstream.release, "linux", "amd64", target, {})


def code_of(upstream: Upstream, target: Path) -> str:
    with pytest.raises(InstallError) as caught:
        get(upstream, target)
    assert not target.exists()
    return caught.value.code


@pytest.mark.parametrize("checksum", [SUM, f"{SUM}\n", f"{SUM.upper()}  mimir-linux-amd64\n"])
@pytest.mark.parametrize("redirect", [False, True])
def test_the_published_bytes_arrive(upstream: Upstream, tmp_path: Path, checksum: str, redirect: bool) -> None:
    upstream.publish(checksum=checksum)
    upstream.redirect = redirect
    told = Told()
    get(upstream, tmp_path / "mimir", told)
    assert (tmp_path / "mimir").read_bytes() == PROGRAM
    assert any("downloading mimir-linux-amd64" in text for text in told.texts(Kind.ACTIVITY, "text"))


@pytest.mark.parametrize(("without", "direct"), [("*", True), ("other.example, localhost", True), ("host", False)])
def test_a_proxy_is_passed_by_for_what_needs_none(
    upstream: Upstream, tmp_path: Path, without: str, direct: bool
) -> None:
    upstream.publish()
    release = upstream.release.at(upstream.url.replace("127.0.0.1", "localhost"))
    environ = {"http_proxy": "http://127.0.0.1:1", "no_proxy": without}
    with nullcontext() if direct else pytest.raises(InstallError, match="cannot be reached"):
        download_checked(Told().ctx, release, "linux", "amd64", tmp_path / "mimir", environ)
    assert (tmp_path / "mimir").exists() == direct


def test_other_bytes_are_refused(upstream: Upstream, tmp_path: Path) -> None:
    upstream.publish(program=PROGRAM + b"x")
    assert code_of(upstream, tmp_path / "mimir") == "download-checksum"


def test_a_checksum_file_without_a_checksum_is_refused(upstream: Upstream, tmp_path: Path) -> None:
    upstream.publish(checksum="<html>sign in</html>")
    assert code_of(upstream, tmp_path / "mimir") == "download-checksum"


def test_a_download_that_is_cut_off_is_refused(upstream: Upstream, tmp_path: Path) -> None:
    upstream.publish()
    upstream.cut_after = 300_000
    assert code_of(upstream, tmp_path / "mimir") == "download-broken"


def test_a_way_that_leaves_encryption_is_refused() -> None:
    def way(*locations: str) -> Retry:
        hops = tuple(RequestHistory("GET", "x", None, 302, location) for location in locations)
        return Retry(history=hops)

    refuse_plain_hops("https://a.example/x", way("https://b.example/x", "/y"))
    refuse_plain_hops("http://127.0.0.1/x", way("http://127.0.0.1/y"))
    with pytest.raises(InstallError, match="not encrypted"):
        refuse_plain_hops("https://a.example/x", way("http://b.example/x", "https://c.example/x"))


def test_a_release_that_is_not_there(upstream: Upstream, tmp_path: Path) -> None:
    assert code_of(upstream, tmp_path / "mimir") == "download-refused"


def test_a_server_that_is_not_there(upstream: Upstream, tmp_path: Path) -> None:
    upstream.url = "http://127.0.0.1:1"
    assert code_of(upstream, tmp_path / "mimir") == "download-unreachable"


def test_a_download_that_stalls_is_given_up(upstream: Upstream, tmp_path: Path) -> None:
    upstream.publish()
    upstream.hang_after = 300_000
    began = time.monotonic()
    assert code_of(upstream, tmp_path / "mimir") == "download-broken"
    assert time.monotonic() - began < 15


def test_cancelling_breaks_a_stalled_download_off(upstream: Upstream, tmp_path: Path) -> None:
    upstream.publish()
    upstream.hang_after = 300_000
    told = Told()
    threading.Timer(0.3, told.token.cancel, ["interrupted"]).start()
    began = time.monotonic()
    release = replace(upstream.release, read_within_s=20)
    with pytest.raises(CancelledError):
        download_checked(told.ctx, release, "linux", "amd64", tmp_path / "mimir", {})
    assert time.monotonic() - began < 15
    assert not (tmp_path / "mimir").exists()


def test_a_full_disk_is_said_so(upstream: Upstream) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    upstream.publish()
    with pytest.raises(InstallError) as caught:
        # A link, so that clearing up takes the link away and not the device.
        get(upstream, full_disk())
    assert caught.value.code == "download-unwritable"


def full_disk() -> Path:
    import tempfile

    link = Path(tempfile.mkdtemp()) / "mimir"
    link.symlink_to("/dev/full")
    return link


UPSTREAM_ONLY = [from_release("mimir")]


def test_a_downloaded_store_is_put_in_place_whole(upstream: Upstream, tmp_path: Path) -> None:
    upstream.publish()
    told = Told()
    path = install_program(
        STORE, told.ctx, tmp_path / "bin", dict(os.environ), release=upstream.release, ways=UPSTREAM_ONLY
    )
    assert path == tmp_path / "bin" / "mimir"
    assert stat.S_IMODE(path.stat().st_mode) == 0o755
    assert [entry.name for entry in path.parent.iterdir()] == ["mimir"]


def test_a_program_that_does_not_run_is_not_put_in_place(upstream: Upstream, tmp_path: Path) -> None:
    broken = b"#!/bin/sh\necho 'cannot execute' >&2\nexit 126\n"
    upstream.publish(program=broken, checksum=hashlib.sha256(broken).hexdigest())
    with pytest.raises(InstallError) as caught:
        install_program(STORE, Told().ctx, tmp_path, dict(os.environ), release=upstream.release, ways=UPSTREAM_ONLY)
    assert "exit code 126" in caught.value.evidence
    assert list(tmp_path.iterdir()) == []


def test_the_error_says_all_that_was_tried(upstream: Upstream, tmp_path: Path) -> None:
    def no_way(_job: object) -> Path:
        raise InstallError("no-apt", "there is no apt-get on this machine.")

    ways = [Way("victoria-metrics", "the system's package", no_way), *UPSTREAM_ONLY]
    with pytest.raises(InstallError) as caught:
        install_program(STORE, Told().ctx, tmp_path, {}, release=upstream.release, ways=ways)
    error = caught.value
    assert error.code == "metrics-store-unavailable"
    assert "no apt-get" in error.evidence
    assert "HTTP 404" in error.evidence
    assert list(tmp_path.iterdir()) == []


def test_only_the_wanted_kind_is_tried(tmp_path: Path) -> None:
    def no_way(_job: object) -> Path:
        raise AssertionError

    with pytest.raises(InstallError):
        install_program(STORE, Told().ctx, tmp_path, {}, only=["mimir"], ways=[Way("prometheus", "p", no_way)])


def test_cancelling_leaves_nothing_half_made(upstream: Upstream, tmp_path: Path) -> None:
    upstream.publish()
    upstream.hang_after = 300_000
    told = Told()
    threading.Timer(0.2, told.token.cancel, ["interrupted"]).start()
    with pytest.raises(CancelledError):
        install_program(STORE, told.ctx, tmp_path, {}, release=upstream.release, ways=UPSTREAM_ONLY)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InstallError) as caught:
        install_program(STORE, Told().ctx, tmp_path / "file" / "bin", {})
    assert caught.value.code == "folder-unwritable"


def test_a_machine_without_apt_is_told_from_a_failing_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    ways = [from_package("victoria-metrics")]
    with pytest.raises(InstallError) as caught:
        install_program(STORE, Told().ctx, tmp_path / "bin", {}, ways=ways)
    assert "there is no apt-get on this machine" in caught.value.evidence
