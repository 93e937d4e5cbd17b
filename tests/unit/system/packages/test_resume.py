"""Downloads that are interrupted, in each way: what arrived is not fetched again, and counts only if it is right."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
from pathlib import Path
from typing import cast

import pytest

from contextcore_install.core.dataclass import replace
from contextcore_install.core.errors import InstallError
from contextcore_install.core.events import Kind
from contextcore_install.core.interfaces import StepContext
from contextcore_install.core.threads import start
from contextcore_install.system.packages.install import install_program
from contextcore_install.system.packages.releases import releases
from kit.fakes import Told
from kit.release_server import LINUX, QUICK, ReleaseServer, program
from kit.stores import wait_until

PROGRAM = program("Mimir, version 3.1.1", 700_000)
PATH = "/grafana/mimir/releases/download/mimir-3.1.1/mimir-linux-amd64"


def get(upstream: ReleaseServer, target: Path, told: Told | None = None) -> None:
    upstream.source().get((told or Told()).ctx, releases()["mimir"], LINUX, target)


def interrupt(upstream: ReleaseServer, target: Path, after: int = 300_000) -> Path:
    """Leave a download behind that ended after so many bytes; return its part."""
    upstream.cut_after = after
    with pytest.raises(InstallError):
        get(upstream, target)
    upstream.cut_after = None
    upstream.sent.clear()
    upstream.asked.clear()
    (part,) = target.parent.iterdir()
    return part


@pytest.fixture
def published(upstream: ReleaseServer) -> ReleaseServer:
    upstream.publish("mimir", PROGRAM)
    return upstream


def test_what_arrived_before_is_not_fetched_again(published: ReleaseServer, tmp_path: Path) -> None:
    interrupt(published, tmp_path / "mimir")
    get(published, tmp_path / "mimir")
    assert published.sent[PATH] == len(PROGRAM) - 300_000
    assert (tmp_path / "mimir").read_bytes() == PROGRAM
    assert [path.name for path in tmp_path.iterdir()] == ["mimir"]


def test_a_connection_that_breaks_is_taken_up_again_at_once(published: ReleaseServer, tmp_path: Path) -> None:
    """Whoever moves to another network in the middle need type nothing."""
    published.cut_after = 300_000
    told = Told()
    told.ctx = cast(StepContext, Mended(published, told))
    get(published, tmp_path / "mimir", told)
    assert (tmp_path / "mimir").read_bytes() == PROGRAM
    assert published.sent[PATH] == len(PROGRAM)
    assert any(line.endswith("broke off. It is continued.") for line in told.lines)


class Mended:
    """A step's context; before the next try, the server is whole again."""

    def __init__(self, server: ReleaseServer, told: Told) -> None:
        self._server, self._ctx = server, told.ctx

    def __getattr__(self, name: str) -> object:
        return getattr(self._ctx, name)

    def wait(self, seconds: float) -> None:
        self._server.cut_after = None


def test_a_server_without_ranges_sends_all_of_it_again(published: ReleaseServer, tmp_path: Path) -> None:
    interrupt(published, tmp_path / "mimir")
    published.ranges = False
    get(published, tmp_path / "mimir")
    assert (tmp_path / "mimir").read_bytes() == PROGRAM
    assert published.sent[PATH] == len(PROGRAM)


def test_an_answer_for_another_range_is_not_appended(published: ReleaseServer, tmp_path: Path) -> None:
    interrupt(published, tmp_path / "mimir")
    published.answers[PATH] = [(206, {"Content-Range": f"bytes 0-{len(PROGRAM) - 1}/{len(PROGRAM)}"}, PROGRAM)]
    get(published, tmp_path / "mimir")
    assert (tmp_path / "mimir").read_bytes() == PROGRAM


def test_a_release_that_was_replaced_starts_again(published: ReleaseServer, tmp_path: Path) -> None:
    interrupt(published, tmp_path / "mimir")
    other = program("Mimir, version 3.1.1-1", 800_000)
    published.publish("mimir", other)
    get(published, tmp_path / "mimir")
    assert (tmp_path / "mimir").read_bytes() == other
    assert published.sent[PATH] == len(other)


@pytest.mark.parametrize("torn", [b"\0" * 300_000, PROGRAM + b"more than there is", b"\0" * len(PROGRAM)])
def test_what_a_power_cut_left_is_not_trusted(published: ReleaseServer, tmp_path: Path, torn: bytes) -> None:
    interrupt(published, tmp_path / "mimir").write_bytes(torn)
    get(published, tmp_path / "mimir")
    assert (tmp_path / "mimir").read_bytes() == PROGRAM


def test_what_is_complete_is_not_asked_for(published: ReleaseServer, tmp_path: Path) -> None:
    part = interrupt(published, tmp_path / "mimir")
    part.write_bytes(PROGRAM)
    source = published.source()
    source.digests["mimir"] = hashlib.sha256(PROGRAM).hexdigest()
    source.get(Told().ctx, releases()["mimir"], LINUX, tmp_path / "mimir")
    source.get(Told().ctx, releases()["mimir"], LINUX, tmp_path / "mimir")
    assert not published.asked


def test_without_a_network_what_arrived_is_kept_and_nobody_waits(published: ReleaseServer, tmp_path: Path) -> None:
    part = interrupt(published, tmp_path / "mimir")
    source = published.source(replace(QUICK, pause_s=600))
    source.digests["mimir"] = hashlib.sha256(PROGRAM).hexdigest()
    source._mirror = "http://127.0.0.1:1"
    with pytest.raises(InstallError) as caught:
        source.get(Told().ctx, releases()["mimir"], LINUX, tmp_path / "mimir")
    assert caught.value.code == "download-unreachable"
    assert part.stat().st_size == 300_000


INSTALLER = """
import sys
from pathlib import Path
from typing import cast
from contextcore_install.core.interfaces import StepContext
from contextcore_install.system.packages.install import install_program
from kit.fakes import Told
from kit.release_server import FromServer
install_program("mimir", Told(limit_s=600).ctx, Path(sys.argv[2]), {}, source=FromServer({}, sys.argv[1]))
"""


def test_after_kill_9_the_next_installer_fetches_only_the_rest(published: ReleaseServer, tmp_path: Path) -> None:
    published.cut_after, published.hangs = 300_000, True
    command = [sys.executable, "-c", INSTALLER, published.url, str(tmp_path / "bin")]
    killed = subprocess.Popen(command, env={"PYTHONPATH": ":".join(sys.path)})
    downloads = tmp_path / "downloads"
    wait_until(lambda: any(path.stat().st_size == 300_000 for path in downloads.glob("mimir-*.part")))
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    published.cut_after = None
    published.released.set()
    published.sent.clear()
    path = install_program("mimir", Told().ctx, tmp_path / "bin", {}, source=published.source())
    assert published.sent[PATH] == len(PROGRAM) - 300_000
    assert path.read_bytes() == PROGRAM
    assert [path.name for path in (tmp_path / "bin").iterdir()] == ["mimir"]
    assert [path.name for path in downloads.iterdir()] == ["mimir.lock"]


def test_of_two_installers_the_second_takes_what_the_first_got(published: ReleaseServer, tmp_path: Path) -> None:
    published.cut_after, published.hangs = 300_000, True
    told = [Told(), Told()]
    source = published.source(replace(QUICK, read_s=60))

    def install(number: int) -> Path:
        return install_program("mimir", told[number].ctx, tmp_path / "bin", {}, source=source)

    first = start(lambda: install(0), "first")
    wait_until(lambda: published.sent[PATH] > 0)
    second = start(lambda: install(1), "second")
    wait_until(lambda: "another run is getting mimir; waiting for it" in told[1].texts(Kind.ACTIVITY, "text"))
    published.cut_after = None
    published.released.set()
    assert first.result(60) == second.result(60) == tmp_path / "bin" / "mimir"
    assert published.sent[PATH] == len(PROGRAM)
