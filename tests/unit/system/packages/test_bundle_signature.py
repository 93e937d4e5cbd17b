"""Signatures of bundles: by the given key and of this manifest, or refused in one sentence."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from contextcore_install.core.errors import ExitCode, InstallError
from contextcore_install.system.packages.bundle_file import BundleFile
from contextcore_install.system.packages.bundle_signature import read_signer, verify_signature
from kit.offline_bundles import small_bundle
from kit.signing_keys import SigningPair

RECORDED = Path(__file__).with_name("recorded")  # what minisign 0.11 made of the file MANIFEST
MANIFEST = b'{"format": 1}\n'


@pytest.fixture(scope="module")
def pair() -> SigningPair:
    return SigningPair()


@pytest.fixture
def secret(pair: SigningPair, tmp_path: Path) -> Path:
    return pair.write(tmp_path / "minisign.key")


def no_password() -> str:
    raise AssertionError("it is not asked for")


def test_a_signed_bundle_is_verified_by_the_key_or_a_file_with_it(
    pair: SigningPair, secret: Path, tmp_path: Path
) -> None:
    small_bundle(tmp_path / "b.tar", sign=read_signer(secret, no_password))
    bundle = BundleFile.open(tmp_path / "b.tar")
    (tmp_path / "minisign.pub").write_text(pair.public_file)
    for key in (pair.public, str(tmp_path / "minisign.pub")):
        assert "file:manifest.json" in verify_signature(bundle.manifest_bytes, bundle.signature, key)


@pytest.mark.parametrize("name", ["manifest.json.minisig", "manifest.json.legacy.minisig"])
def test_what_minisign_signed_is_verified(name: str) -> None:
    signature = (RECORDED / name).read_text()
    assert verify_signature(MANIFEST, signature, str(RECORDED / "minisign.pub")).startswith("timestamp:1796055319\t")
    assert refusal(MANIFEST + b" ", signature, str(RECORDED / "minisign.pub")).code == "bundle-signature"


@pytest.mark.skipif(shutil.which("minisign") is None, reason="there is no minisign here")
def test_minisign_verifies_what_tar_takes_out(pair: SigningPair, secret: Path, tmp_path: Path) -> None:
    small_bundle(tmp_path / "b.tar", sign=read_signer(secret, no_password))
    subprocess.run(["tar", "-xf", "b.tar"], cwd=tmp_path, check=True)
    subprocess.run(["minisign", "-V", "-m", "manifest.json", "-P", pair.public], cwd=tmp_path, check=True)


def refusal(manifest: bytes, signature: str, key: str) -> InstallError:
    with pytest.raises(InstallError) as caught:
        verify_signature(manifest, signature, key)
    return caught.value


def test_an_unsigned_bundle_is_refused_if_a_key_is_given(pair: SigningPair) -> None:
    assert refusal(b"{}", "", pair.public).code == "bundle-unsigned"


def test_another_key_another_manifest_and_a_damaged_signature_are_refused(pair: SigningPair, secret: Path) -> None:
    signature = read_signer(secret, no_password)(b"{}").decode()
    verify_signature(b"{}", signature, pair.public)
    lines = signature.splitlines(keepends=True)
    for manifest, changed, key in (
        (b"{}", signature, SigningPair().public),
        (b"{}", signature, SigningPair(id=b"another.").public),
        (b"{ }", signature, pair.public),
        (b"{}", signature.replace("file:", "fil_:"), pair.public),
        (b"{}", signature.replace("trusted comment: t", "comment: t"), pair.public),
        (b"{}", "".join(lines[:3]), pair.public),
        (b"{}", "".join([lines[0], "AAAA\n", *lines[2:]]), pair.public),
        (b"{}", "".join([lines[0], "\xff\n", *lines[2:]]), pair.public),
    ):
        assert refusal(manifest, changed, key).code == "bundle-signature"


def test_an_encrypted_key_signs_with_its_password_only(tmp_path: Path) -> None:
    pair = SigningPair("of the key")
    path = pair.write(tmp_path / "minisign.key")
    verify_signature(b"{}", read_signer(path, lambda: "of the key")(b"{}").decode(), pair.public)
    with pytest.raises(InstallError, match="not decrypted by this password") as caught:
        read_signer(path, lambda: "another")
    assert caught.value.exit_code == ExitCode.USAGE


@pytest.mark.parametrize("content", [None, b"", b"one line", b"a\nb\n", b"\xff\n\xff\n", b"untrusted comment: x\nRW\n"])
def test_what_is_no_key_is_a_usage_error(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)
    assert refusal(b"{}", "", str(path)).exit_code == ExitCode.USAGE
    with pytest.raises(InstallError, match="no secret key of minisign") as caught:
        read_signer(path, no_password)
    assert caught.value.exit_code == ExitCode.USAGE
