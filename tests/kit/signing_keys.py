"""Pairs of keys in minisign's format."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from pathlib import Path

from nacl.pwhash import scrypt
from nacl.signing import SigningKey

from contextcore_install.core.dataclass import dataclass, field

SMALL = (32_768, 2**24)  # limits of libsodium's scrypt that take milliseconds


@dataclass
class SigningPair:
    """A pair of keys; the secret one is encrypted if there is a password."""

    password: str = ""
    id: bytes = b"testkey."
    key: SigningKey = field(default_factory=SigningKey.generate)

    @property
    def public(self) -> str:
        return _base64(b"Ed" + self.id + bytes(self.key.verify_key))

    @property
    def public_file(self) -> str:
        return f"untrusted comment: minisign public key\n{self.public}\n"

    def write(self, path: Path) -> Path:
        """Write the secret key."""
        content = self.id + bytes(self.key) + bytes(self.key.verify_key)
        content += hashlib.blake2b(b"Ed" + content, digest_size=32).digest()
        salt, limits = bytes(32), tuple(limit.to_bytes(8, "little") for limit in SMALL)
        algorithm = b"\0\0"
        if self.password:
            algorithm = b"Sc"
            stream = scrypt.kdf(len(content), self.password.encode(), salt, opslimit=SMALL[0], memlimit=SMALL[1])
            content = bytes(left ^ right for left, right in zip(content, stream, strict=True))
        line = _base64(b"".join([b"Ed", algorithm, b"B2", salt, *limits, content]))
        path.write_text(f"untrusted comment: minisign encrypted secret key\n{line}\n")
        return path


def _base64(content: bytes) -> str:
    return b64encode(content).decode("ascii")
