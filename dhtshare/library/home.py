"""A home folder: what a user's node keeps, who may read it, and that only one node lives in it.

Imports little but the standard library: a command that only talks to a running node starts through here.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import stat
import time
from pathlib import Path

from dhtshare.durable import make_folders
from dhtshare.errors import AlreadyRunningError, DiskError, UsageError
from dhtshare.faults import disk_error

_PRIVATE_FOLDER = 0o700
#: sockaddr_un holds 108 bytes on Linux and 104 on macOS, the closing NUL included.
_LONGEST_SOCKET_PATH = 103
#: Any of these says that a folder is a home of ours.
_OUR_FILES = ("lock", "identity", "catalogue.db")
#: A probe of `is_running` holds the lock for microseconds; a node that starts then tries again.
_LOCK_TRIES = 10
_LOCK_PAUSE = 0.02


class HomeLock:
    """The right to be the one node of a home. The kernel takes it back when the process dies, however it dies."""

    def __init__(self, fd: int) -> None:
        self._fd: int | None = fd

    def release(self) -> None:
        """Gives the home back; the lock file stays, since removing it would race with the next node."""
        if self._fd is not None:
            os.ftruncate(self._fd, 0)
            os.close(self._fd)
            self._fd = None

    def __enter__(self) -> HomeLock:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


class Home:
    """The paths inside one home. Nothing is on disk before `prepare`."""

    def __init__(self, path: Path) -> None:
        self.path = Path(os.path.abspath(path))  # noqa: PTH100 - links in a home's own path stay as the user wrote them

    @property
    def catalogue(self) -> Path:
        """The SQLite file of all that is shared and stored."""
        return self.path / "catalogue.db"

    @property
    def dht_state(self) -> Path:
        """Contacts and ids of the DHT."""
        return self.path / "dht.state"

    @property
    def records_state(self) -> Path:
        """What this node holds for others, from its last clean end."""
        return self.path / "records.state"

    @property
    def log(self) -> Path:
        """Where a node in the background writes what it has to say."""
        return self.path / "node.log"

    def prepare(self) -> None:
        """Makes the folder 0700 with its parents, or tightens one that is ours.

        Raises DiskError when it cannot be made or written, UsageError when it is somebody else's folder:
        closing a folder full of other things to everybody but us is not ours to do.
        """
        try:
            with contextlib.suppress(FileExistsError):  # something that is no folder: said below
                make_folders(self.path, _PRIVATE_FOLDER)
            status = self.path.stat()
            if not stat.S_ISDIR(status.st_mode):
                raise UsageError(f"The home {self.path} is not a folder. Choose another with --home.")
            if status.st_uid != os.geteuid():
                raise DiskError(f"The home {self.path} belongs to another user. Choose another with --home.")
            if stat.S_IMODE(status.st_mode) & 0o077:
                self._tighten()
        except OSError as error:
            raise disk_error("use the home", self.path, error) from error
        if not os.access(self.path, os.W_OK | os.X_OK):
            raise DiskError(
                f"The home {self.path} cannot be written. Check its permissions, or choose another with --home."
            )

    def _tighten(self) -> None:
        entries = {entry.name for entry in self.path.iterdir()}
        if entries and not entries.intersection(_OUR_FILES):
            raise UsageError(
                f"{self.path} holds other things and others may read it, so it cannot be a home. "
                "Name an empty or a new folder with --home."
            )
        self.path.chmod(_PRIVATE_FOLDER)

    def lock(self) -> HomeLock:
        """Takes the home for this process. Raises AlreadyRunningError while another node has it, DiskError."""
        for _ in range(_LOCK_TRIES):
            lock = self._try_lock()
            if lock is not None:
                return lock
            time.sleep(_LOCK_PAUSE)
        pid = self.running_pid()
        who = f" (process {pid})" if pid else ""
        raise AlreadyRunningError(
            f"Another node{who} runs in {self.path}. Stop it with `dhtshare stop`, or name another home with --home."
        )

    def _try_lock(self) -> HomeLock | None:
        try:
            fd = os.open(self._lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise disk_error("lock", self._lock_file, error) from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(fd, 0)
            os.pwrite(fd, b"%d\n%s\n" % (os.getpid(), os.fsencode(self.new_control_socket())), 0)
        except OSError as error:
            os.close(fd)
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                return None
            raise disk_error("lock", self._lock_file, error) from error
        return HomeLock(fd)

    def is_running(self) -> bool:
        """Whether some process, this one included, holds the lock."""
        try:
            fd = os.open(self._lock_file, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(fd)
        return False

    def running_pid(self) -> int | None:
        """The process id that the holder of the lock wrote; None when nobody holds it."""
        first = self._lock_lines()[0]
        return int(first) if first.isdigit() and self.is_running() else None

    def control_socket(self) -> Path:
        """Where the running node listens: what it wrote beside its lock, since its runtime folder may be another's."""
        lines = self._lock_lines()
        return Path(os.fsdecode(lines[1])) if len(lines) > 1 and lines[1] else self.new_control_socket()

    def new_control_socket(self) -> Path:
        """Where a node that starts now listens: in the home, or in the runtime folder when that path is too long."""
        inside = self.path / "control.sock"
        if len(os.fsencode(inside)) <= _LONGEST_SOCKET_PATH:
            return inside
        name = hashlib.blake2s(os.fsencode(self.path), digest_size=8).hexdigest()
        return _runtime_folder() / f"dhtshare-{name}.sock"

    def prepare_control_socket(self) -> Path:
        """The path to bind, its folder made 0700 and ours. Raises DiskError when it is somebody else's."""
        path = self.new_control_socket()
        if path.parent == self.path:
            return path
        try:
            path.parent.mkdir(_PRIVATE_FOLDER, exist_ok=True)
            status = path.parent.lstat()
        except OSError as error:
            raise disk_error("use the runtime folder", path.parent, error) from error
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
            raise DiskError(
                f"The runtime folder {path.parent} is not private to this user. "
                "Remove it, or name a shorter home with --home."
            )
        return path

    @property
    def _lock_file(self) -> Path:
        return self.path / "lock"

    def _lock_lines(self) -> list[bytes]:
        try:
            return self._lock_file.read_bytes().removesuffix(b"\n").split(b"\n", 1)
        except OSError:
            return [b""]


def _runtime_folder() -> Path:
    """A folder with a short path that only this user reads; the system's own where there is one."""
    named = os.environ.get("XDG_RUNTIME_DIR")
    user = os.geteuid()
    for folder in (Path(named) if named else None, Path(f"/run/user/{user}")):
        if folder is not None and len(os.fsencode(folder)) <= 64 and _is_private(folder, user):
            return folder
    return Path(f"/tmp/dhtshare-{user}")  # noqa: S108 - checked for owner and mode before use


def _is_private(folder: Path, user: int) -> bool:
    try:
        status = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == user and not status.st_mode & 0o077
