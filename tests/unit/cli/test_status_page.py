"""What `dhtshare status` says to people at a glance, and what it warns of."""

import copy
from typing import Any

from dhtshare.cli.plain import plain_lines
from dhtshare.cli.status import status_page

WALL = 1_800_000_000.0
STATUS: dict[str, Any] = {
    "address": "192.168.1.7:4470",
    "network": "dhtshare",
    "uptime": 7500.0,
    "contacts": 12,
    "home": "/home/x/.dhtshare",
    "dht": {
        "estimated_size": 300,
        "scopes": {
            "lan": {"contacts": 2, "client": False, "external": None, "dialable": None},
            "ipv4": {"contacts": 10, "client": True, "external": "203.0.113.9", "dialable": True},
        },
    },
    "records": {"entries": 15, "withdrawals": 0, "providers": 1, "keys": 71},
    "clock_is_wrong": False,
    "announcements": {
        "shared": 3,
        "announced": 2,
        "below_quorum": 0,
        "alone": 0,
        "acks": 90,
        "verified": 80,
        "next_renewal": WALL + 3600,
        "summary": "at least 18 of 20 holders, read back, renews in 1 h",
    },
    "warnings": [],
    "library": {"shared": 3, "changed": 0},
    "transfers": {"connections": 1, "uploaded": 481, "downloaded": 3_000_000, "fetches": 1},
    "rates": {"upload": 0.0, "download": 1536.0, "max_upload": 102_400, "max_download": 0},
    "memory": 48_238_592,
}


def page(**changes: Any) -> list[str]:
    result = copy.deepcopy(STATUS)
    for path, value in changes.items():
        *way, last = path.split("__")
        inner = result
        for name in way:
            inner = inner[name]
        inner[last] = value
    return list(plain_lines(status_page(result)))


def test_the_page_of_a_node_that_does_well() -> None:
    assert page() == [
        "Listening on 192.168.1.7:4470 for 2 h 05 min",
        "network            dhtshare: 12 contacts, about 300 nodes in all",
        "  home network     2 contacts, answers others",
        "  Internet (IPv4)  10 contacts, seen from outside as 203.0.113.9, takes part as a client, others can dial it",
        "library            3 shared",
        "announced          2 of 3 items: at least 18 of 20 holders, read back, renews in 1 h",
        "held for others    15 keyword entries, 1 provider record",
        "transfers          1 connection, 1 fetch under way; 2.9 MiB received, 481 B given",
        "download           1.5 KiB/s (limit: unlimited)",
        "upload             0 B/s (limit: 100.0 KiB/s)",
        "memory             46.0 MiB",
        "home               /home/x/.dhtshare",
    ]


def test_an_empty_library_has_nothing_to_announce() -> None:
    lines = page(library={}, announcements__shared=0)
    assert "library            nothing shared yet" in lines
    assert "announced          nothing to announce" in lines


def test_what_needs_somebody_is_said_last() -> None:
    for change, words in (
        ({"contacts": 0}, "--bootstrap HOST:PORT"),
        ({"library__missing": 1}, "1 item changed or gone"),
        ({"dht__scopes__ipv4__dialable": False}, "forward TCP and UDP port 4470"),
        ({"warnings": ["renewals fall behind"]}, "renewals fall behind"),
    ):
        assert words in page(**change)[-1]  # type: ignore[arg-type]


def test_whether_it_can_be_dialled_is_said_as_far_as_anybody_knows() -> None:
    def line(**scope: Any) -> str:
        [found] = [text for text in page(**{f"dht__scopes__ipv4__{k}": v for k, v in scope.items()}) if "IPv4" in text]
        return found

    assert "others cannot dial it" in line(dialable=False)
    assert "nobody has tried yet" in line(dialable=None)
    assert "nobody has tried yet" not in line(dialable=None, contacts=0), "there is nobody"


def test_who_shares_nothing_is_not_told_that_it_cannot_be_fetched_from() -> None:
    assert not any("--announce-port" in text for text in page(dht__scopes__ipv4__dialable=False, library={}))
