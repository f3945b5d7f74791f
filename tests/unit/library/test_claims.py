"""The bitmap beside a part: believed for its own content, under its own boot, and for nothing else."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from dhtshare.content.bitfield import Bitfield
from dhtshare.content.paths import dot_name, is_unfinished, safe_name
from dhtshare.errors import UsageError
from dhtshare.library.boot import NO_BOOT
from dhtshare.library.claims import BITMAP_SUFFIX, Claims

CONTENT, BOOT = b"c" * 32, b"b" * 16


@pytest.fixture
def root(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_RDONLY)
    yield fd
    os.close(fd)


def test_claims_are_read_back_byte_by_byte(root: int) -> None:
    claims = Claims.open(root, "bits")
    assert claims.read(CONTENT, 20, BOOT) is None
    have = Bitfield(20, [3])
    claims.write(CONTENT, have, BOOT)
    for chunk in (0, 19):
        have.add(chunk)
        claims.note(have, chunk)
    have.discard(3)
    claims.note(have, 3)
    claims.close()
    again = Claims.open(root, "bits")
    assert again.read(CONTENT, 20, BOOT) == (Bitfield(20, [0, 19]), True)
    again.close()


def test_another_boot_makes_claims_a_hint(root: int) -> None:
    claims = Claims.open(root, "bits")
    claims.write(CONTENT, Bitfield(1, [0]), BOOT)
    found = claims.read(CONTENT, 1, b"B" * 16)
    assert found is not None
    assert not found[1]
    claims.close()


def test_where_the_system_tells_no_boot_nothing_is_believed(root: int) -> None:
    claims = Claims.open(root, "bits")
    claims.write(CONTENT, Bitfield(1, [0]), NO_BOOT)
    found = claims.read(CONTENT, 1, NO_BOOT)
    assert found is not None
    assert not found[1]
    claims.close()


def test_claims_about_another_content_are_not_ours(root: int) -> None:
    claims = Claims.open(root, "bits")
    assert not claims.claims_other(CONTENT)
    claims.write(CONTENT, Bitfield(1, [0]), BOOT)
    assert not claims.claims_other(CONTENT)
    assert claims.claims_other(b"d" * 32)
    assert claims.read(b"d" * 32, 1, BOOT) is None
    assert claims.read(CONTENT, 2, BOOT) is None
    claims.close()


@pytest.mark.parametrize("position", range(0, 69, 3))
def test_a_damaged_head_claims_nothing(root: int, tmp_path: Path, position: int) -> None:
    claims = Claims.open(root, "bits")
    claims.write(CONTENT, Bitfield(12, range(12)), BOOT)
    raw = bytearray((tmp_path / "bits").read_bytes())
    raw[position] ^= 0x10
    (tmp_path / "bits").write_bytes(raw)
    found = claims.read(CONTENT, 12, BOOT)
    assert found is None
    claims.close()


@pytest.mark.parametrize("length", [0, 1, 30, 69, 70, 72])
def test_a_file_of_another_length_claims_nothing(root: int, tmp_path: Path, length: int) -> None:
    claims = Claims.open(root, "bits")
    claims.write(CONTENT, Bitfield(12, range(12)), BOOT)
    raw = (tmp_path / "bits").read_bytes()
    assert len(raw) == 71
    (tmp_path / "bits").write_bytes((raw + b"\0")[:length])
    assert claims.read(CONTENT, 12, BOOT) is None
    claims.close()


def test_one_process_at_a_time(root: int) -> None:
    claims = Claims.open(root, "bits")
    with pytest.raises(UsageError):
        Claims.open(root, "bits")
    claims.close()
    Claims.open(root, "bits").close()


def test_a_bitmap_removed_by_its_owner_is_made_anew(root: int, tmp_path: Path) -> None:
    first = Claims.open(root, "bits")
    first.write(CONTENT, Bitfield(1, [0]), BOOT)
    first.remove()
    first.remove()
    second = Claims.open(root, "bits")  # while the first still holds the lock of the removed one
    assert second.read(CONTENT, 1, BOOT) is None
    first.close()
    second.close()


@pytest.mark.parametrize("name", ["film.mkv", "x" * 300, "film.mkv.have.", "..", ".have"])
def test_no_unfinished_file_can_be_called_like_a_bitmap(name: str) -> None:
    bitmap = dot_name(safe_name(name), BITMAP_SUFFIX)
    assert is_unfinished(bitmap), "a scan of the folder passes over it"
    owner = bitmap.removeprefix(".").removesuffix(".dhtshare-part")
    assert safe_name(owner) != owner
