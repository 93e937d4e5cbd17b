"""Signatures of offline bundles, in minisign's format (https://jedisct1.github.io/minisign): that checks them as well.

What is signed is the manifest: it names every other byte of a bundle.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from contextcore_install.core.errors import InstallError, usage_error
from contextcore_install.system.files import read_text
from contextcore_install.system.packages.bundle_manifest import SIGNATURE

if TYPE_CHECKING:  # some tens of milliseconds, which only who signs or checks a signature waits for
    from minisign import PublicKey


def verify_signature(manifest: bytes, signature: str, public_key: str) -> str:
    """Return the trusted comment of a signature; `public_key` is the key itself, or a file with it.

    Raises InstallError: a usage error for what is no key, `bundle-unsigned` if there is no signature, and
    `bundle-signature` for one that is not of this key, or not of this manifest.
    """
    from minisign import Signature

    key = read_public_key(public_key)
    if not signature:
        message = "the bundle is not signed, and a public key was given"
        raise InstallError("bundle-unsigned", message, hint="get a bundle that was made with --sign-key")
    try:
        parsed = Signature.from_bytes(signature.encode())
        key.verify(manifest, parsed)
    except ValueError as error:
        message = f"the bundle's signature is not one by the given public key ({error})"
        hint = "do not use it: get it again from whom it should be of"
        raise InstallError("bundle-signature", message, hint=hint) from error
    return str(parsed.trusted_comment)


def read_public_key(given: str) -> PublicKey:
    """Return the key in a text, or in the file that it names; raises a usage error."""
    from minisign import PublicKey

    with suppress(OSError, ValueError):
        return PublicKey.from_base64(given)
    try:
        return PublicKey.from_bytes(_content(Path(given)))
    except (OSError, ValueError) as error:
        message = f"{given[:200]} is neither a public key of minisign nor a file with one: {_reason(error)}"
        raise usage_error(message, "minisign -G makes a pair of keys: minisign.pub is the public one") from error


def read_signer(path: Path, password: Callable[[], str]) -> Callable[[bytes], bytes]:
    """Return what signs with the secret key in a file; `password` is asked for one if the key is encrypted.

    Raises a usage error for what is no key, and for a wrong password.
    """
    from minisign import SecretKey

    try:
        key = SecretKey.from_bytes(_content(path))
    except (OSError, ValueError) as error:
        hint = "minisign -G makes a pair of keys: minisign.key is the secret one"
        raise usage_error(f"{path} is no secret key of minisign: {_reason(error)}", hint) from error
    if key.is_encrypted():
        try:
            key.decrypt(password())
        except ValueError as error:
            raise usage_error(f"{path} is not decrypted by this password", "try again with the right one") from error
    comment = f"timestamp:{int(time.time())}\tfile:{SIGNATURE.removesuffix('.minisig')}\thashed"

    def sign(manifest: bytes) -> bytes:
        return bytes(key.sign(manifest, trusted_comment=comment)) + b"\n"

    return sign


def _content(path: Path) -> bytes:
    return read_text(path.expanduser().resolve()).encode()


def _reason(error: Exception) -> str:
    return (error.strerror or str(error)).lower() if isinstance(error, OSError) else "it holds no such key"
