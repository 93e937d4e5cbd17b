"""Files of releases, from a real server on loopback that misbehaves in each way that servers do."""

from __future__ import annotations

import hashlib
import resource
import threading
import time
from contextlib import nullcontext
from pathlib import Path

import pytest
from urllib3.util.retry import RequestHistory, Retry

from contextcore_install.core.dataclass import replace
from contextcore_install.core.errors import CancelledError, InstallError
from contextcore_install.core.events import Kind
from contextcore_install.system.packages.download import Upstream
from contextcore_install.system.packages.http_client import refuse_plain_hops
from contextcore_install.system.packages.releases import NOT_PUBLISHED, Release, releases
from kit.fakes import Told
from kit.release_server import LINUX, QUICK, FromServer, ReleaseServer, program

PROGRAM = program("Mimir, version 3.1.1", 700_000)
SUM = hashlib.sha256(PROGRAM).hexdigest()
PATH = "/grafana/mimir/releases/download/mimir-3.1.1/mimir-linux-amd64"


def get(source: Upstream, target: Path, told: Told | None = None, release: Release | None = None) -> None:
    source.get((told or Told()).ctx, release or releases()["mimir"], LINUX, target)


def error_of(upstream: ReleaseServer, target: Path, source: Upstream | None = None) -> InstallError:
    with pytest.raises(InstallError) as caught:
        get(source or upstream.source(), target)
    assert not target.exists()
    return caught.value


@pytest.mark.parametrize("checksum", [SUM, f"{SUM}\n", f"{SUM.upper()}  mimir-linux-amd64\n"])
@pytest.mark.parametrize("redirect", [False, True])
def test_the_published_bytes_arrive(upstream: ReleaseServer, tmp_path: Path, checksum: str, redirect: bool) -> None:
    upstream.publish("mimir", PROGRAM)
    upstream.files[f"{PATH}-sha-256"] = checksum.encode()
    upstream.redirect = redirect
    told = Told()
    get(upstream.source(), tmp_path / "mimir", told)
    assert (tmp_path / "mimir").read_bytes() == PROGRAM
    assert [path.name for path in tmp_path.iterdir()] == ["mimir"]
    lines = told.texts(Kind.ACTIVITY, "text")
    assert any(line.startswith("downloading mimir: ") and "of 1 MiB" in line for line in lines), lines


def test_a_sum_is_found_by_name_in_a_list_of_them(upstream: ReleaseServer, tmp_path: Path) -> None:
    upstream.publish("loki", PROGRAM)
    sums = "/grafana/loki/releases/download/v3.7.6/SHA256SUMS"
    upstream.files[sums] = f"{'0' * 64}  loki-linux-amd64.rpm\n{SUM} *./loki-linux-amd64.zip\n".encode()
    get(upstream.source(), tmp_path / "loki", release=releases()["loki"])
    upstream.files[sums] = f"{SUM}  loki-linux-amd64.zip.sig\n".encode()
    with pytest.raises(InstallError, match=r"There is no loki-linux-amd64\.zip of loki 3\.7\.6: .*SHA256SUMS lacks it"):
        get(upstream.source(), tmp_path / "other", release=releases()["loki"])


@pytest.mark.parametrize(("without", "direct"), [("*", True), ("other.example, localhost", True), ("host", False)])
def test_a_proxy_is_passed_by_for_what_needs_none(
    upstream: ReleaseServer, tmp_path: Path, without: str, direct: bool
) -> None:
    upstream.publish("mimir", PROGRAM)
    environ = {"http_proxy": "http://127.0.0.1:1", "no_proxy": without}
    source = FromServer(environ, upstream.url.replace("127.0.0.1", "localhost"), limits=QUICK)
    with nullcontext() if direct else pytest.raises(InstallError, match="cannot be reached"):
        get(source, tmp_path / "mimir")
    assert (tmp_path / "mimir").exists() == direct


def test_other_bytes_are_refused_and_not_kept(upstream: ReleaseServer, tmp_path: Path) -> None:
    upstream.publish("mimir", PROGRAM + b"x", SUM)
    assert error_of(upstream, tmp_path / "mimir").code == "download-checksum"
    assert list(tmp_path.iterdir()) == []


def test_a_committed_digest_counts_whatever_the_server_publishes(upstream: ReleaseServer, tmp_path: Path) -> None:
    forged = PROGRAM + b"x"
    upstream.publish("mimir", forged)
    source = upstream.source()
    source.digests["mimir"] = SUM
    assert error_of(upstream, tmp_path / "mimir", source).code == "download-checksum"
    upstream.files[PATH] = PROGRAM
    get(source, tmp_path / "mimir")
    assert not any(path.endswith("-sha-256") for path, _ in upstream.asked)


def test_what_is_not_released_for_a_platform_is_not_asked_for(upstream: ReleaseServer, tmp_path: Path) -> None:
    source = upstream.source()
    source.digests["mimir"] = NOT_PUBLISHED
    error = error_of(upstream, tmp_path / "mimir", source)
    assert (error.code, error.message) == ("no-release", "There is no mimir 3.1.1 for linux on amd64.")
    assert not upstream.asked


def test_a_page_instead_of_a_sum_or_a_file_is_said_so(upstream: ReleaseServer, tmp_path: Path) -> None:
    upstream.publish("mimir", PROGRAM)
    upstream.files[f"{PATH}-sha-256"] = b"<html>sign in</html>"
    assert "holds no sha256 of mimir-linux-amd64" in error_of(upstream, tmp_path / "mimir").message
    upstream.content_type = "text/html; charset=utf-8"
    assert "a web page instead of the file" in error_of(upstream, tmp_path / "mimir").message
    upstream.publish("mimir", PROGRAM)
    source = upstream.source()
    source.digests["mimir"] = SUM
    assert "a web page instead of the file" in error_of(upstream, tmp_path / "mimir", source).message


def test_a_download_that_is_cut_off_is_refused_and_what_arrived_is_kept(
    upstream: ReleaseServer, tmp_path: Path
) -> None:
    upstream.publish("mimir", PROGRAM)
    upstream.cut_after = 300_000
    assert error_of(upstream, tmp_path / "mimir").code == "download-broken"
    assert [path.stat().st_size for path in tmp_path.iterdir()] == [300_000]


def test_an_answer_without_a_byte_is_one_sentence_and_leaves_nothing(upstream: ReleaseServer, tmp_path: Path) -> None:
    upstream.publish("mimir", PROGRAM)
    upstream.cut_after = 0
    error = error_of(upstream, tmp_path / "mimir")
    assert error.message == f"{upstream.url}{PATH} broke off."
    assert error.evidence == f"IncompleteRead(0 bytes read, {len(PROGRAM)} more expected)"
    assert list(tmp_path.iterdir()) == []


def test_a_way_that_leaves_encryption_is_refused() -> None:
    def way(*locations: str) -> Retry:
        hops = tuple(RequestHistory("GET", "x", None, 302, location) for location in locations)
        return Retry(history=hops)

    refuse_plain_hops("https://a.example/x", way("https://b.example/x", "/y"))
    refuse_plain_hops("http://127.0.0.1/x", way("http://127.0.0.1/y"))
    with pytest.raises(InstallError, match="not encrypted"):
        refuse_plain_hops("https://a.example/x", way("http://b.example/x", "https://c.example/x"))


@pytest.mark.parametrize(
    ("status", "headers", "said"),
    [
        (404, {}, "answers HTTP 404: there is no such file."),
        (403, {}, "answers HTTP 403: it refuses this file."),
        (401, {}, "answers HTTP 401: it wants credentials"),
        (429, {"Retry-After": "3600"}, "answers HTTP 429: too many requests; it asks to come back in 3600 s."),
        (503, {"Retry-After": "Fri, 31 Dec 2100 23:59:59 GMT"}, "answers HTTP 503: it is busy; it asks to come back"),
        (429, {"Retry-After": "soon"}, "answers HTTP 429: too many requests."),
        (500, {}, "answers HTTP 500."),
    ],
)
def test_a_refusal_is_one_clear_sentence(
    upstream: ReleaseServer, tmp_path: Path, status: int, headers: dict[str, str], said: str
) -> None:
    upstream.publish("mimir", PROGRAM)
    upstream.answers[PATH] = [(status, headers, b"<html>no</html>")]
    error = error_of(upstream, tmp_path / "mimir")
    assert error.code == ("download-missing" if status == 404 else "download-refused")
    assert error.retryable == (status >= 429)
    assert said in error.message


def test_a_busy_server_is_waited_for_if_it_says_that_it_takes_a_moment(upstream: ReleaseServer, tmp_path: Path) -> None:
    upstream.publish("mimir", PROGRAM)
    upstream.answers[PATH] = [(429, {"Retry-After": "1"}, b"")]
    told = Told()
    get(upstream.source(), tmp_path / "mimir", told)
    assert "127.0.0.1 is busy; asking again in 1 s" in told.texts(Kind.ACTIVITY, "text")


def test_a_server_that_is_out_of_reach_is_asked_once_for_all_programs(tmp_path: Path) -> None:
    source = Upstream({}, "http://127.0.0.1:1", limits=QUICK)
    with pytest.raises(InstallError) as first:
        get(source, tmp_path / "mimir")
    assert first.value.code == "download-unreachable"
    with pytest.raises(InstallError) as second:
        get(source, tmp_path / "loki", release=releases()["loki"])
    assert second.value is first.value


def test_a_download_that_stalls_is_given_up(upstream: ReleaseServer, tmp_path: Path) -> None:
    upstream.publish("mimir", PROGRAM)
    upstream.cut_after, upstream.hangs = 300_000, True
    with pytest.raises(InstallError) as caught:
        get(upstream.source(replace(QUICK, read_s=0.5)), tmp_path / "mimir")
    assert caught.value.code == "download-broken"


def test_cancelling_breaks_a_stalled_download_off(upstream: ReleaseServer, tmp_path: Path) -> None:
    upstream.publish("mimir", PROGRAM)
    upstream.cut_after, upstream.hangs = 300_000, True
    told = Told()
    threading.Timer(0.3, told.token.cancel, ["interrupted"]).start()
    began = time.monotonic()
    with pytest.raises(CancelledError):
        get(upstream.source(replace(QUICK, read_s=60)), tmp_path / "mimir", told)
    assert time.monotonic() - began < 30
    assert not (tmp_path / "mimir").exists()


def test_a_disk_that_is_full_in_the_middle_is_said_so_and_loses_nothing(
    upstream: ReleaseServer, tmp_path: Path
) -> None:
    upstream.publish("mimir", PROGRAM)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, before[1]))
        error = error_of(upstream, tmp_path / "mimir")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert error.code == "download-unwritable"
    assert "cannot be written: File too large" in error.message
    upstream.sent.clear()
    get(upstream.source(), tmp_path / "mimir")
    assert upstream.sent[PATH] == len(PROGRAM) - 300_000


def test_a_file_that_does_not_fit_is_not_begun(upstream: ReleaseServer, tmp_path: Path) -> None:
    upstream.publish("mimir", PROGRAM)
    upstream.answers[PATH] = [(200, {"Content-Length": str(10**15)}, b"")]
    error = error_of(upstream, tmp_path / "mimir")
    assert error.code == "download-unwritable"
    assert "mimir needs 953674316 MiB, and " in error.message


def test_a_folder_that_is_not_there_is_said_so(upstream: ReleaseServer, tmp_path: Path) -> None:
    upstream.publish("mimir", PROGRAM)
    assert error_of(upstream, tmp_path / "no" / "mimir").code == "download-unwritable"
