"""The keys of a home."""

import os
import stat
from pathlib import Path

import pytest

from dhtshare.errors import DiskError
from dhtshare.identity import Identity, SigningKey, verify


def test_an_identity_survives_a_restart_and_is_private(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        first = Identity.load_or_create(tmp_path)
    finally:
        os.umask(old)
    again = Identity.load_or_create(tmp_path)
    assert (again.peer_id, again.publisher.public) == (first.peer_id, first.publisher.public)
    assert (tmp_path / "identity").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["identity"]


def test_a_new_identity_is_on_the_disk_before_it_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[list[str]] = []  # what each synced folder held; [] for a file
    real = os.fsync

    def noting(fd: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(fd).st_mode)
        synced.append([path.name for path in tmp_path.iterdir()] if is_folder else [])
        real(fd)

    monkeypatch.setattr(os, "fsync", noting)
    Identity.load_or_create(tmp_path)
    assert synced == [[], ["identity"]], "the keys, and then their name"


def test_the_two_keys_differ(tmp_path: Path) -> None:
    identity = Identity.load_or_create(tmp_path)
    assert identity.peer_id != identity.publisher.public


@pytest.mark.parametrize("damage", [b"", b"\xc1", b"\x80", b"\x90", b"\x82\x01\x01\x02\x02", b"garbage"])
def test_a_damaged_identity_is_said_not_replaced(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "identity"
    path.write_bytes(damage)
    with pytest.raises(DiskError, match="damaged"):
        Identity.load_or_create(tmp_path)
    assert path.read_bytes() == damage


def test_a_home_that_cannot_be_written_is_a_disk_error(tmp_path: Path) -> None:
    with pytest.raises(DiskError, match="Cannot write"):
        Identity.load_or_create(tmp_path / "missing")


def test_a_signature_binds_purpose_network_and_bytes() -> None:
    key = SigningKey.from_seed(bytes(range(32)))
    signature = key.sign(b"entry", b"net1", b"payload")
    assert verify(key.public, signature, b"entry", b"net1", b"payload")
    assert not verify(key.public, signature, b"other", b"net1", b"payload")
    assert not verify(key.public, signature, b"entry", b"net2", b"payload")
    assert not verify(key.public, signature, b"entry", b"net1", b"payloae")
    assert not verify(key.public, signature[:-1], b"entry", b"net1", b"payload")
    assert not verify(key.public[:-1], signature, b"entry", b"net1", b"payload")
    assert not verify(b"\xff" * 32, signature, b"entry", b"net1", b"payload")
