"""Which start of the operating system this is.

What was written but not fsynced survives a killed process and is lost with the power. So a note of what is
in a file may be believed only under the boot that wrote it.
"""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path

from blake3 import blake3

BOOT_TAG_BYTES = 16
#: The tag that never equals another: nothing written under it is believed without hashing.
NO_BOOT = bytes(BOOT_TAG_BYTES)

_LINUX_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@cache
def boot_tag() -> bytes:
    """16 bytes that stay the same until the next reboot; NO_BOOT where the system does not tell."""
    try:
        if sys.platform == "darwin":
            command = ["/usr/sbin/sysctl", "-n", "kern.bootsessionuuid"]
            name = subprocess.run(command, capture_output=True, check=True, timeout=5).stdout  # noqa: S603
        else:
            name = _LINUX_BOOT_ID.read_bytes()
    except (OSError, subprocess.SubprocessError):
        return NO_BOOT
    return blake3(b"dhtshare boot " + name.strip()).digest(length=BOOT_TAG_BYTES)
