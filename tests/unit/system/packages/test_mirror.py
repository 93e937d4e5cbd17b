"""A mirror in upstream's place: what is asked of it, what it is told, and what it is trusted with."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from contextcore_install.core.errors import InstallError
from contextcore_install.system.packages.download import Upstream, is_protected
from contextcore_install.system.packages.releases import releases
from kit.fakes import Told
from kit.release_server import LINUX, QUICK, FromServer, ReleaseServer, make_certificate, program, release_server

PROGRAM = program("Mimir, version 3.1.1", 2_000)
PATH = "/grafana/mimir/releases/download/mimir-3.1.1/mimir-linux-amd64"


@pytest.fixture
def secure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ReleaseServer]:
    """A server of https whose certificate this machine trusts."""
    certificate = make_certificate(tmp_path / "certificate.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with release_server(certificate) as server:
        server.publish("mimir", PROGRAM)
        yield server


def get(source: Upstream, folder: Path, told: Told | None = None) -> bytes:
    source.get((told or Told()).ctx, releases()["mimir"], LINUX, folder / "mimir")
    return (folder / "mimir").read_bytes()


def error_of(source: Upstream, folder: Path) -> InstallError:
    with pytest.raises(InstallError) as caught:
        get(source, folder)
    return caught.value


def netrc(folder: Path) -> dict[str, str]:
    path = folder / "netrc"
    path.write_text("machine 127.0.0.1 login joe password MARK\n")
    path.chmod(0o600)
    return {"NETRC": str(path)}


def test_its_url_takes_the_place_of_scheme_and_host() -> None:
    source = Upstream({}, "https://mirror.example:8443/a/b/")
    release = releases()["grafana"]
    assert source.place(release.url(LINUX)) == (
        "https://mirror.example:8443/a/b/oss/release/grafana-13.2.3.linux-amd64.tar.gz"
    )
    assert Upstream({}).place(release.url(LINUX)) == release.url(LINUX)


def test_it_gets_its_credentials_from_netrc_and_whom_it_leads_to_does_not(
    secure: ReleaseServer, tmp_path: Path
) -> None:
    told = Told()
    with release_server(tmp_path / "certificate.pem") as other:
        other.publish("mimir", PROGRAM)
        secure.answers[PATH] = [(302, {"Location": f"{other.url}{PATH}"}, b"")]
        assert get(FromServer(netrc(tmp_path), secure.url, limits=QUICK), tmp_path, told) == PROGRAM
        assert {headers.get("authorization") for _, headers in secure.asked} == {"Basic am9lOk1BUks="}
        assert [headers.get("authorization") for _, headers in other.asked] == [None]
    assert "MARK" not in str(told.events)
    assert told.notices == ["where this program has no sha256, the mirror's own is trusted (mimir, and maybe others)"]


def test_credentials_are_never_sent_in_the_clear(upstream: ReleaseServer, tmp_path: Path) -> None:
    upstream.publish("mimir", PROGRAM)
    get(FromServer(netrc(tmp_path), upstream.url, limits=QUICK), tmp_path)
    assert {headers.get("authorization") for _, headers in upstream.asked} == {None}


@pytest.mark.parametrize("text", ["machine", "machine other.example login a password b\n", "\0"])
def test_a_netrc_without_the_mirror_or_that_is_damaged_changes_nothing(
    secure: ReleaseServer, tmp_path: Path, text: str
) -> None:
    environ = netrc(tmp_path)
    Path(environ["NETRC"]).write_text(text)
    assert get(FromServer(environ, secure.url, limits=QUICK), tmp_path) == PROGRAM


def test_a_redirect_from_https_to_http_is_refused(
    secure: ReleaseServer, upstream: ReleaseServer, tmp_path: Path
) -> None:
    upstream.publish("mimir", PROGRAM)
    secure.answers[PATH] = [(302, {"Location": f"{upstream.url}{PATH}"}, b"")]
    error = error_of(secure.source(), tmp_path)
    assert (error.code, error.message) == (
        "download-refused",
        f"{secure.url}{PATH} leads to {upstream.url}{PATH}, which is not encrypted.",
    )


def test_a_certificate_that_is_not_trusted_is_said_so(
    secure: ReleaseServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    error = error_of(secure.source(), tmp_path)
    assert error.message.endswith(" shows a certificate that this machine does not trust.")
    assert "CERTIFICATE_VERIFY_FAILED" in error.evidence


def test_without_encryption_it_vouches_for_nothing(tmp_path: Path) -> None:
    """Its files are as good as those of any other as long as their digests are committed."""
    source = FromServer({}, "http://mirror.example", limits=QUICK)
    error = error_of(source, tmp_path)
    assert error.code == "download-refused"
    assert error.message.startswith("mimir 3.1.1 has no digest in this program, and http://mirror.example/grafana/")
    assert error.hint == "use a mirror with https"
    assert [is_protected(url) for url in ("https://a", "http://127.0.0.1:1", "http://127.0.0.1.example")] == [
        True,
        True,
        False,
    ]


def test_without_encryption_it_may_give_what_is_pinned(upstream: ReleaseServer, tmp_path: Path) -> None:
    upstream.publish("mimir", PROGRAM)
    source, told = upstream.source(), Told()
    source.digests["mimir"] = hashlib.sha256(PROGRAM).hexdigest()
    assert get(source, tmp_path, told) == PROGRAM
    assert [path for path, _ in upstream.asked] == [PATH]
    assert told.notices == []
