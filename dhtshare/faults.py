"""What the operating system says about a disk, told as a sentence: what happened, why, what to do next."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from dhtshare.errors import DiskError

_ADVICE = {
    errno.ENOSPC: "Free some space and run it again; what was verified is kept.",
    errno.EDQUOT: "Your disk quota is used up: free some space and run it again.",
    errno.EROFS: "Choose a folder on a disk that can be written.",
    errno.EACCES: "Check the owner and the permissions.",
    errno.EPERM: "Check the owner and the permissions.",
    errno.ELOOP: "A symbolic link stands where a file or folder belongs; remove it or choose another place.",
    errno.ENOTDIR: "A file or a symbolic link stands where a folder belongs; remove it or choose another place.",
    errno.EISDIR: "A folder stands where a file belongs; remove it or choose another place.",
    errno.EEXIST: "Something else stands there; remove it or choose another place.",
    errno.ENAMETOOLONG: "Choose a shorter name or folder.",
    errno.EIO: "The disk reports an error: check it before trusting what is on it.",
    errno.EMFILE: "Too many files are open: raise `ulimit -n` and run it again.",
    errno.ENFILE: "The system has too many files open; close some programs and run it again.",
}


def disk_error(doing: str, path: Path | str, error: OSError) -> DiskError:
    """The DiskError for an OSError met while `doing` ('write', 'read', 'rename' …) something to `path`."""
    reason = os.strerror(error.errno) if error.errno is not None else str(error)
    advice = _ADVICE.get(error.errno or 0, "Check the disk, and that nothing else changes it, then try again.")
    return DiskError(f"Cannot {doing} {path}: {reason}. {advice}")
