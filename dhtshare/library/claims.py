"""The bitmap beside an unfinished file: which chunks it holds, as a hint that may be believed or not.

One byte is written in place right after its chunk, both into the page cache: so a killed process loses
nothing, and the order on the disk does not matter, because after a reboot every claim is hashed again. The
boot tag in the head tells the two cases apart.

    'dhtshare' | version 1 | content hash 32 | boot tag 16 | chunks u32 | checksum 8 | bitmap
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct

from blake3 import blake3

from dhtshare.content.bitfield import Bitfield
from dhtshare.content.paths import PART_SUFFIX
from dhtshare.durable import write_all
from dhtshare.errors import MalformedError, UsageError
from dhtshare.library.boot import BOOT_TAG_BYTES, NO_BOOT

#: A safe name never ends with a dot, so no unfinished file of any name can be called like a bitmap.
BITMAP_SUFFIX = ".have." + PART_SUFFIX

_MAGIC = b"dhtshare\x01"
_HEAD = struct.Struct(f">{len(_MAGIC)}s32s{BOOT_TAG_BYTES}sI8s")
_CHECKSUM_BYTES = 8


class Claims:
    """One open, locked bitmap file. Not locked against threads: the owner of the bits has that lock."""

    def __init__(self, root: int, name: str, fd: int) -> None:
        """Use `open`."""
        self._root = root
        self._name = name
        self._fd = fd

    @classmethod
    def open(cls, root: int, name: str) -> Claims:
        """Opens or makes the file `name` in the folder `root`.

        Raises UsageError while another process has it, OSError.
        """
        while True:
            fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666, dir_fd=root)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(fd)
                raise UsageError("The same is being fetched to the same place already; wait for that to end.") from None
            except OSError:
                pass  # a file system without locks: two fetches of one target are then the user's business
            try:
                if _is_named(root, name, fd):
                    return cls(root, name, fd)
            except BaseException:
                os.close(fd)
                raise
            os.close(fd)  # the one that had it finished in between and removed it

    def read(self, content_hash: bytes, chunks: int, boot: bytes) -> tuple[Bitfield, bool] | None:
        """What is claimed of this content, and whether to believe it unhashed; None where nothing is."""
        raw = os.pread(self._fd, _HEAD.size + (chunks + 7) // 8 + 1, 0)
        if len(raw) < _HEAD.size:
            return None
        magic, content, tag, count, checksum = _HEAD.unpack_from(raw)
        if magic != _MAGIC or checksum != _checksum(content, tag, count) or (content, count) != (content_hash, chunks):
            return None
        try:
            claimed = Bitfield.from_bytes(chunks, raw[_HEAD.size :])
        except MalformedError:
            return None
        return claimed, tag == boot != NO_BOOT

    def claims_other(self, content_hash: bytes) -> bool:
        """Whether the file holds claims about another content, which are not ours to wipe out."""
        raw = os.pread(self._fd, _HEAD.size, 0)
        return len(raw) == _HEAD.size and raw.startswith(_MAGIC) and _HEAD.unpack(raw)[1] != content_hash

    def doubt(self, content_hash: bytes, chunks: int) -> None:
        """Says of all that is claimed that the disk may not hold it, though reading may still show it. Raises OSError.

        After a failed fsync Linux calls the pages clean that never reached the disk: they read well, a further
        fsync succeeds, and they are gone with the power. So `doubted` chunks are hashed and written once more.
        """
        os.pwrite(
            self._fd, _HEAD.pack(_MAGIC, content_hash, NO_BOOT, chunks, _checksum(content_hash, NO_BOOT, chunks)), 0
        )

    def doubted(self) -> bool:
        """Whether what is claimed has to be written again, not only hashed."""
        raw = os.pread(self._fd, _HEAD.size, 0)
        return len(raw) == _HEAD.size and _HEAD.unpack(raw)[2] == NO_BOOT

    def write(self, content_hash: bytes, have: Bitfield, boot: bytes) -> None:
        """Writes the whole file anew. Raises OSError."""
        head = _HEAD.pack(_MAGIC, content_hash, boot, have.length, _checksum(content_hash, boot, have.length))
        data = head + have.to_bytes()
        os.lseek(self._fd, 0, os.SEEK_SET)
        write_all(self._fd, data)  # over the old claims, never empty in between: a kill now must not lose them
        os.ftruncate(self._fd, len(data))

    def note(self, have: Bitfield, chunk: int) -> None:
        """Writes the byte of one chunk that was set or cleared. Raises OSError."""
        position, value = have.byte_of(chunk)
        os.pwrite(self._fd, bytes((value,)), _HEAD.size + position)

    def sync(self) -> None:
        """Puts the claims on the disk. Raises OSError."""
        os.fsync(self._fd)

    def remove(self) -> None:
        """Removes the file, while its lock is still held."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._name, dir_fd=self._root)

    def close(self) -> None:
        """Gives the lock back."""
        os.close(self._fd)


def _checksum(content_hash: bytes, tag: bytes, chunks: int) -> bytes:
    return blake3(b"dhtshare claims " + content_hash + tag + chunks.to_bytes(4, "big")).digest(length=_CHECKSUM_BYTES)


def _is_named(root: int, name: str, fd: int) -> bool:
    try:
        named = os.stat(name, dir_fd=root, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(named, os.fstat(fd))
