"""`dhtshare status`: how the running node does, on a page that a person reads at a glance.

Every figure of the result object is told with -v and with --json; the page tells what somebody would act on.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dhtshare.cli.blocks import Block, Fields, Line, View
from dhtshare.cli.display import counted, human_limit, human_rate, human_seconds, human_size
from dhtshare.cli.objects import object_view
from dhtshare.cli.session import Session

_SCOPES = {"lan": "home network", "ipv4": "Internet (IPv4)", "ipv6": "Internet (IPv6)"}


def status(session: Session) -> int:
    """Show the running node: address, contacts, records, transfers, rates, memory."""
    view: View = object_view if session.options.verbose else status_page
    return session.ask_running("status", {}, view)


def status_page(result: dict[str, Any]) -> list[Block]:
    """What a person acts on."""
    title = f"Listening on {result['address']} for {human_seconds(result['uptime'])}"
    pairs = [
        ("network", _network(result)),
        *((f"  {_SCOPES.get(kind, kind)}", _scope(kind, scope)) for kind, scope in result["dht"]["scopes"].items()),
        ("library", _library(result["library"])),
        ("announced", _announced(result["announcements"])),
        ("held for others", _records(result["records"])),
        ("transfers", _transfers(result["transfers"])),
        ("download", _rate(result["rates"], "download")),
        ("upload", _rate(result["rates"], "upload")),
        ("memory", human_size(result["memory"])),
        ("home", result["home"]),
    ]
    return [Line(title, "bold"), Fields(pairs), *(Line(text, "yellow") for text in _warnings(result))]


def _network(result: dict[str, Any]) -> str:
    size = result["dht"]["estimated_size"]
    known = counted(result["contacts"], "contact")
    return f"{result['network']}: {known}, about {counted(size, 'node')} in all"


def _scope(kind: str, scope: dict[str, Any]) -> str:
    """'12 contacts, answers others' and, where it is known, from where it is seen and whether it can be dialled."""
    parts = [counted(scope["contacts"], "contact")]
    if scope.get("external"):
        parts.append(f"seen from outside as {scope['external']}")
    parts.append("takes part as a client" if scope["client"] else "answers others")
    if scope.get("dialable") is not None:
        parts.append("others can dial it" if scope["dialable"] else "others cannot dial it")
    elif kind != "lan" and scope["contacts"]:
        parts.append("nobody has tried yet whether it can be dialled")
    return ", ".join(parts)


def _port(result: dict[str, Any]) -> str:
    return str(result["address"]).rpartition(":")[2]


def _library(states: dict[str, int]) -> str:
    return ", ".join(f"{count} {state}" for state, count in states.items() if count) or "nothing shared yet"


def _announced(announcements: dict[str, Any]) -> str:
    if not announcements["shared"]:
        return "nothing to announce"
    items = f"{announcements['announced']} of {counted(announcements['shared'], 'item')}"
    return f"{items}: {announcements['summary']}"


def _records(records: dict[str, int]) -> str:
    return f"{counted(records['entries'], 'keyword entry', 'keyword entries')}, " + counted(
        records["providers"], "provider record"
    )


def _transfers(transfers: dict[str, Any]) -> str:
    parts = [counted(transfers["connections"], "connection")]
    if transfers["fetches"]:
        parts.append(counted(transfers["fetches"], "fetch", "fetches") + " under way")
    return ", ".join(parts) + (
        f"; {human_size(transfers['downloaded'])} received, {human_size(transfers['uploaded'])} given"
    )


def _rate(rates: dict[str, Any], way: str) -> str:
    return f"{human_rate(rates[way])} (limit: {human_limit(rates['max_' + way])})"


def _warnings(result: dict[str, Any]) -> Iterator[str]:
    """What somebody should do something about."""
    states = result["library"]
    if not result["contacts"]:
        yield "No other node is known yet. Name one with: dhtshare node --bootstrap HOST:PORT"
    if states.get("shared") and any(scope.get("dialable") is False for scope in result["dht"]["scopes"].values()):
        yield (
            f"What is shared here cannot be fetched from outside: forward TCP and UDP port {_port(result)} to this "
            "machine, or tell the outer one with --announce-port."
        )
    if lost := states.get("changed", 0) + states.get("missing", 0):
        yield f"{counted(lost, 'item')} changed or gone since it was published, and not offered; see: dhtshare list"
    yield from result["warnings"]
