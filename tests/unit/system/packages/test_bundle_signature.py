"""Signatures of bundles: by the given key and of this manifest, or refused in one sentence."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import minisign
import pytest

from contextcore_install.core.errors import ExitCode, InstallError
from contextcore_install.system.packages.bundle_file import BundleFile
from contextcore_install.system.packages.bundle_signature import read_signer, verify_signature
from kit.offline_bundles import small_bundle

PASSWORD = "of the key"


@pytest.fixture(scope="module")
def pair() -> minisign.KeyPair:
    return minisign.KeyPair.generate()


@pytest.fixture
def secret(pair: minisign.KeyPair, tmp_path: Path) -> Path:
    path = tmp_path / "minisign.key"
    path.write_bytes(bytes(pair.secret_key) + b"\n")
    return path


def public(pair: minisign.KeyPair) -> str:
    return str(pair.public_key.to_base64(), "ascii")


def no_password() -> str:
    raise AssertionError("it is not asked for")


def test_a_signed_bundle_is_verified_by_the_key_or_a_file_with_it(
    pair: minisign.KeyPair, secret: Path, tmp_path: Path
) -> None:
    small_bundle(tmp_path / "b.tar", sign=read_signer(secret, no_password))
    bundle = BundleFile.open(tmp_path / "b.tar")
    (tmp_path / "minisign.pub").write_bytes(bytes(pair.public_key) + b"\n")
    for key in (public(pair), str(tmp_path / "minisign.pub")):
        comment = verify_signature(bundle.manifest_bytes, bundle.signature, key)
        assert "file:manifest.json" in comment


@pytest.mark.skipif(shutil.which("minisign") is None, reason="there is no minisign here")
def test_minisign_itself_verifies_what_tar_takes_out(pair: minisign.KeyPair, secret: Path, tmp_path: Path) -> None:
    small_bundle(tmp_path / "b.tar", sign=read_signer(secret, no_password))
    subprocess.run(["tar", "-xf", "b.tar"], cwd=tmp_path, check=True)
    subprocess.run(["minisign", "-V", "-m", "manifest.json", "-P", public(pair)], cwd=tmp_path, check=True)


def refusal(manifest: bytes, signature: str, key: str) -> InstallError:
    with pytest.raises(InstallError) as caught:
        verify_signature(manifest, signature, key)
    return caught.value


def test_an_unsigned_bundle_is_refused_if_a_key_is_given(pair: minisign.KeyPair) -> None:
    assert refusal(b"{}", "", public(pair)).code == "bundle-unsigned"


def test_another_key_another_manifest_and_a_damaged_signature_are_refused(pair: minisign.KeyPair, secret: Path) -> None:
    signature = read_signer(secret, no_password)(b"{}").decode()
    other = public(minisign.KeyPair.generate())
    assert refusal(b"{}", signature, other).code == "bundle-signature"
    assert refusal(b"{ }", signature, public(pair)).code == "bundle-signature"
    lines = signature.splitlines(keepends=True)
    assert refusal(b"{}", signature.replace("file:", "fil_:"), public(pair)).code == "bundle-signature"
    assert refusal(b"{}", "".join(lines[:3]), public(pair)).code == "bundle-signature"
    assert refusal(b"{}", "".join([lines[0], "AAAA\n", *lines[2:]]), public(pair)).code == "bundle-signature"


def test_an_encrypted_key_signs_with_its_password_only(pair: minisign.KeyPair, tmp_path: Path) -> None:
    key = minisign.SecretKey.from_bytes(bytes(pair.secret_key) + b"\n")
    key.encrypt(PASSWORD, opslimit=32_768, memlimit=2**20)
    path = tmp_path / "minisign.key"
    path.write_bytes(bytes(key) + b"\n")
    signature = read_signer(path, lambda: PASSWORD)(b"{}").decode()
    verify_signature(b"{}", signature, public(pair))
    with pytest.raises(InstallError, match="not decrypted by this password") as caught:
        read_signer(path, lambda: "another")
    assert caught.value.exit_code == ExitCode.USAGE


@pytest.mark.parametrize(
    "content", [None, b"", b"one line", b"a\nb\n", b"\xff\n\xff\n", b"untrusted comment: x\nRWQf\n"]
)
def test_what_is_no_key_is_a_usage_error(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)
    assert refusal(b"{}", "", str(path)).exit_code == ExitCode.USAGE
    with pytest.raises(InstallError, match="no secret key of minisign") as caught:
        read_signer(path, no_password)
    assert caught.value.exit_code == ExitCode.USAGE
