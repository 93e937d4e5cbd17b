"""Signatures of offline bundles in minisign's format (https://jedisct1.github.io/minisign), which checks them as well.

What is signed is the manifest, which names every other byte of a bundle. The cryptography is libsodium's, as there.
"""

from __future__ import annotations

import hashlib
import struct
import time
from base64 import b64decode, b64encode
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from contextcore_install.core.errors import InstallError, usage_error
from contextcore_install.system.files import read_text
from contextcore_install.system.packages.bundle_format import MANIFEST

PLAIN, HASHED = b"Ed", b"ED"  # what is signed: the content, or its BLAKE2b hash
ENCRYPTED, NOT_ENCRYPTED = b"EdScB2", b"Ed\0\0B2"  # what a secret key begins with
KEY_ID, KEY, CHECKSUM = 8, 32, 32  # lengths in bytes
# What lines in base64 hold, as `struct` says it: algorithm, id of the key and key; algorithm, id and signature; that of
# all; and what a secret key begins with, salt, scrypt's two limits, and id, key and checksum.
PUBLIC, SIGNED, OVER_ALL, SECRET = "<2s8s32s", "<2s8s64s", "<64s", "<6s32sQQ104s"
UNTRUSTED, TRUSTED = "untrusted comment: ", "trusted comment: "


def verify_signature(manifest: bytes, signature: str, public_key: str) -> str:
    """Return the trusted comment of a signature; `public_key` is the key itself, or a file with it.

    Raises InstallError: a usage error for what is no key, `bundle-unsigned` if there is no signature, and
    `bundle-signature` for one that is not of this key, or not of this manifest.
    """
    from nacl.exceptions import BadSignatureError, CryptoError
    from nacl.signing import VerifyKey

    wanted, key = read_public_key(public_key)
    if not signature:
        message = "the bundle is not signed, and a public key was given"
        raise InstallError("bundle-unsigned", message, hint="get a bundle that was made with --sign-key")
    try:
        _, line, trusted, over_all = signature.splitlines()
        algorithm, key_id, signed = _fields(line, SIGNED)
        if key_id != wanted or not trusted.startswith(TRUSTED):
            raise BadSignatureError("it names another one")
        content = {PLAIN: manifest, HASHED: hashlib.blake2b(manifest).digest()}[algorithm]
        comment = trusted.removeprefix(TRUSTED)
        VerifyKey(key).verify(content, signed)
        VerifyKey(key).verify(signed + comment.encode(), _fields(over_all, OVER_ALL)[0])
    except (ValueError, KeyError, CryptoError) as error:
        message = f"the bundle's signature is not one by the given public key ({error})"
        hint = "do not use it: get it again from whom it should be of"
        raise InstallError("bundle-signature", message, hint=hint) from error
    return comment


def read_public_key(given: str) -> tuple[bytes, bytes]:
    """Return an Ed25519 key in a text, or in the file that it names, behind its id; raises a usage error."""
    with suppress(ValueError):
        return _public_key(given)
    try:
        return _public_key(_second_line(Path(given)))
    except (OSError, ValueError) as error:
        message = f"{given[:200]} is neither a public key of minisign nor a file with one: {_reason(error)}"
        raise usage_error(message, "minisign -G makes a pair of keys: minisign.pub is the public one") from error


def read_signer(path: Path, password: Callable[[], str]) -> Callable[[bytes], bytes]:
    """Return what signs with the secret key in a file; `password` is asked for if need be. Raises a usage error."""
    from nacl.signing import SigningKey

    try:
        beginning, *secret, content = _fields(_second_line(path), SECRET)
        encrypted = {ENCRYPTED: True, NOT_ENCRYPTED: False}[beginning]
    except (OSError, ValueError, KeyError) as error:
        hint = "minisign -G makes a pair of keys: minisign.key is the secret one"
        raise usage_error(f"{path} is no secret key of minisign: {_reason(error)}", hint) from error
    if encrypted:
        content = _decrypted(content, password(), *secret)
    if not content:
        raise usage_error(f"{path} is not decrypted by this password", "try again with the right one")
    key_id, key = content[:KEY_ID], SigningKey(content[KEY_ID : KEY_ID + KEY])
    comment = f"timestamp:{int(time.time())}\tfile:{MANIFEST}\thashed"

    def sign(manifest: bytes) -> bytes:
        signed = key.sign(hashlib.blake2b(manifest).digest()).signature
        over_all = key.sign(signed + comment.encode()).signature
        lines = (f"{UNTRUSTED}signature of an offline bundle's manifest", b64encode(HASHED + key_id + signed).decode())
        return "".join(f"{line}\n" for line in (*lines, TRUSTED + comment, b64encode(over_all).decode())).encode()

    return sign


def _decrypted(encrypted: bytes, password: str, salt: bytes, opslimit: int, memlimit: int) -> bytes:
    """Return the content of an encrypted key; nothing if the password is another one. It takes a gigabyte."""
    from nacl.pwhash import scrypt

    stream = scrypt.kdf(len(encrypted), password.encode(), salt, opslimit=opslimit, memlimit=memlimit)
    content = bytes(left ^ right for left, right in zip(encrypted, stream, strict=True))
    checksum = hashlib.blake2b(PLAIN + content[:-CHECKSUM], digest_size=CHECKSUM).digest()
    return content if content[-CHECKSUM:] == checksum else b""


def _public_key(line: str) -> tuple[bytes, bytes]:
    algorithm, key_id, key = _fields(line, PUBLIC)
    if algorithm != PLAIN:
        raise ValueError("it is for another algorithm")
    return key_id, key


def _fields(line: str, form: str) -> tuple[Any, ...]:
    """Return the fields of a line in base64. Raises ValueError if it has another length."""
    content = b64decode(line, validate=True)
    if len(content) != struct.calcsize(form):
        raise ValueError("it has another length than it should")
    return struct.unpack(form, content)


def _second_line(path: Path) -> str:
    """Return the line below the comment of a key's file. Raises OSError, ValueError."""
    _, line = read_text(path.expanduser().resolve()).splitlines()
    return line


def _reason(error: Exception) -> str:
    return (error.strerror or str(error)).lower() if isinstance(error, OSError) else "it holds no such key"
