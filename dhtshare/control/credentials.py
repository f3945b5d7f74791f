"""Who is at the other end of a Unix socket. The one module that differs by platform."""

from __future__ import annotations

import os
import socket
import struct
import sys

_UCRED = struct.Struct("3i")  # pid, uid, gid: unix(7), SO_PEERCRED
_XUCRED = struct.Struct("=IIh2x16I")  # version, uid, number of groups, groups: sys/ucred.h
_SOL_LOCAL = 0
_LOCAL_PEERCRED = 1


def peer_uid(connection: socket.socket) -> int | None:
    """The user id of the process that connected, or None where the platform does not tell.

    The socket stands in a folder that only its owner may enter; this is the second lock on the door.
    """
    if sys.platform == "linux":
        raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
        return int(_UCRED.unpack(raw)[1])
    if sys.platform == "darwin":
        raw = connection.getsockopt(_SOL_LOCAL, _LOCAL_PEERCRED, _XUCRED.size)
        return int(_XUCRED.unpack(raw)[1])
    return None


def may_control(connection: socket.socket) -> bool:
    """Whether the process at the other end runs as this user or as root."""
    uid = peer_uid(connection)
    return uid is None or uid in (0, os.geteuid())
