"""One port number for TCP and UDP, on every address family asked for. Binds; never reads or accepts."""

from __future__ import annotations

import errno
import socket
from contextlib import suppress
from dataclasses import dataclass, field

from dhtshare.errors import NetworkError, UsageError
from dhtshare.network import parse_ip

BACKLOG = 256
ANY_PORT_ATTEMPTS = 32  # a free TCP number may be taken on UDP
UDP_BUFFER_BYTES = 4 << 20
_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - a node is there to be reached
_NO_SUCH_FAMILY = {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT}


@dataclass(slots=True)
class Listening:
    """Bound, non-blocking sockets: `tcp` listens, `udp` is unconnected; all share `port`."""

    port: int
    hosts: list[str] = field(default_factory=list)
    tcp: list[socket.socket] = field(default_factory=list)
    udp: list[socket.socket] = field(default_factory=list)

    def close(self) -> None:
        for sock in (*self.tcp, *self.udp):
            sock.close()

    @property
    def everywhere(self) -> bool:
        """Whether the node listens on all addresses of the machine."""
        return any(host in _EVERYWHERE for host in self.hosts)


def listen(host: str | None, port: int) -> Listening:
    """Bind `host` (None = every address, IPv4 and IPv6) at `port` (0 = any number free on both protocols).

    Raises UsageError for a host that is no address of this machine or a port in use.
    """
    hosts = _EVERYWHERE if host is None else (_literal(host),)
    for attempt in range(ANY_PORT_ATTEMPTS if port == 0 else 1):
        try:
            return _bind_all(hosts, port, optional=host is None)
        except OSError as error:
            if error.errno == errno.EADDRINUSE and port == 0 and attempt < ANY_PORT_ATTEMPTS - 1:
                continue
            raise _explained(error, hosts[0], port) from error
    raise NetworkError("No port number is free for both TCP and UDP.")


def _literal(host: str) -> str:
    ip = parse_ip(host)
    if ip is not None:
        return str(ip)
    if host == "localhost":
        return "127.0.0.1"
    raise UsageError(f"--host takes an IP address of this machine, not '{host}'.")


def _bind_all(hosts: tuple[str, ...], port: int, *, optional: bool) -> Listening:
    listening = Listening(port)
    try:
        for host in hosts:
            try:
                _bind_one(listening, host)
            except OSError as error:
                if not (optional and error.errno in _NO_SUCH_FAMILY):
                    raise
    except OSError:
        listening.close()
        raise
    if not listening.tcp:
        raise OSError(errno.EADDRNOTAVAIL, "no address family works")
    return listening


def _bind_one(listening: Listening, host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    tcp = socket.socket(family, socket.SOCK_STREAM)
    try:
        udp = socket.socket(family, socket.SOCK_DGRAM)
    except OSError:
        tcp.close()
        raise
    try:
        for sock in (tcp, udp):
            sock.setblocking(False)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):
            udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, UDP_BUFFER_BYTES)
        tcp.bind((host, listening.port))
        number = tcp.getsockname()[1]
        udp.bind((host, number))
        tcp.listen(BACKLOG)
    except OSError:
        tcp.close()
        udp.close()
        raise
    listening.port = number
    listening.hosts.append(host)
    listening.tcp.append(tcp)
    listening.udp.append(udp)


def _explained(error: OSError, host: str, port: int) -> UsageError:
    if error.errno == errno.EADDRINUSE:
        return UsageError(f"Port {port} is in use on {host}. Choose another with --port, or --port 0 for any free one.")
    if error.errno == errno.EACCES:
        return UsageError(f"Port {port} needs privileges. Choose one above 1023 with --port.")
    if error.errno == errno.EADDRNOTAVAIL:
        return UsageError(f"{host} is no address of this machine. See --host.")
    return UsageError(f"Cannot listen on {host} port {port}: {error.strerror}.")


def local_addresses() -> list[str]:
    """This machine's IP literals, IPv4 first, loopback last; link-local IPv6 left out (it needs a zone)."""
    import ifaddr

    found: list[str] = []
    for adapter in ifaddr.get_adapters():
        for ip in adapter.ips:
            text = ip.ip if isinstance(ip.ip, str) else ip.ip[0]
            parsed = parse_ip(text)
            if parsed is not None and not (parsed.version == 6 and parsed.is_link_local):
                found.append(str(parsed))
    return sorted(set(found), key=lambda text: (text.startswith("127.") or text == "::1", ":" in text, text))
