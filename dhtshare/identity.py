"""Who this node is: the publisher key that signs entries and the peer key behind TLS.

Two different Ed25519 keys, so that what one publishes is not tied to where one connects from.
A signature covers 'dhtshare/1', a purpose, the network id, and the bytes as they travel.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import msgpack
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from dhtshare.durable import sync_folder
from dhtshare.errors import DiskError

KEY_BYTES = 32
SIGNATURE_BYTES = 64
_FILE_NAME = "identity"
_VERSION = 1


def signed_bytes(purpose: bytes, network: bytes, payload: bytes) -> bytes:
    """What a signature is made over. `purpose` is a short fixed word, e.g. b'entry'."""
    return b"dhtshare/1\0" + purpose + b"\0" + network + payload


def verify(public_key: bytes, signature: bytes, purpose: bytes, network: bytes, payload: bytes) -> bool:
    """Whether `signature` is `public_key`'s over these bytes; False for keys that are no keys."""
    if len(public_key) != KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, signed_bytes(purpose, network, payload))
    except (InvalidSignature, ValueError):
        return False
    return True


class SigningKey:
    """An Ed25519 key and its 32-byte public half."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self.private = private
        self.public = private.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)

    @classmethod
    def from_seed(cls, seed: bytes) -> SigningKey:
        return cls(Ed25519PrivateKey.from_private_bytes(seed))

    def sign(self, purpose: bytes, network: bytes, payload: bytes) -> bytes:
        return self.private.sign(signed_bytes(purpose, network, payload))


@dataclass(frozen=True, slots=True)
class Identity:
    """The two keys of a home."""

    publisher: SigningKey
    peer: SigningKey

    @property
    def peer_id(self) -> bytes:
        """32 bytes: the peer key's public half."""
        return self.peer.public

    @classmethod
    def generate(cls) -> Identity:
        return cls(SigningKey.from_seed(os.urandom(KEY_BYTES)), SigningKey.from_seed(os.urandom(KEY_BYTES)))

    @classmethod
    def load_or_create(cls, home: Path) -> Identity:
        """The identity kept in `home/identity` (0600), made on first use. Raises DiskError."""
        path = home / _FILE_NAME
        try:
            raw = path.read_bytes()
        except FileNotFoundError:
            return cls._create(path)
        except OSError as error:
            raise DiskError(f"Cannot read {path}: {error.strerror}. Check its owner and permissions.") from error
        try:
            fields = msgpack.unpackb(raw, strict_map_key=False)
            return cls(SigningKey.from_seed(fields[1]), SigningKey.from_seed(fields[2]))
        except (ValueError, TypeError, LookupError, msgpack.UnpackException) as error:
            raise DiskError(
                f"{path} is damaged. Restore it from a backup, or remove it to get a new identity."
            ) from error

    @classmethod
    def _create(cls, path: Path) -> Identity:
        seeds = os.urandom(KEY_BYTES), os.urandom(KEY_BYTES)
        raw: bytes = msgpack.packb({0: _VERSION, 1: seeds[0], 2: seeds[1]})
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(raw)
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(temporary, path)  # the first of two processes wins; both then use one identity
            except FileExistsError:
                return cls.load_or_create(path.parent)
            finally:
                temporary.unlink()
            sync_folder(path.parent)  # else a power cut may cost a home the keys that others know it by
        except OSError as error:
            raise DiskError(f"Cannot write {path}: {error.strerror}.") from error
        return cls(SigningKey.from_seed(seeds[0]), SigningKey.from_seed(seeds[1]))
