"""What the receipts of a library come to: one line that says how well it is held, one warning where it is not. Pure."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from dhtshare.dht.records.receipts import Receipt

LATE_SECONDS = 900.0  # a renewal of a large library takes a while; records live for hours after theirs is due


def announced(receipts: Collection[Receipt], *, shared: int, wall: float) -> dict[str, Any]:
    """Announcements in numbers, as `status` tells them. `wall` in Unix seconds.

    `late`: renewals that are overdue. `weakest_acks` of `weakest_target` holders have the record that is held least.
    """
    held = [receipt for receipt in receipts if not receipt.alone]
    weakest = min(
        (receipt.weakest for receipt in held if receipt.weakest[1]), key=lambda one: one[0] / one[1], default=(0, 0)
    )
    figures: dict[str, Any] = {
        "shared": shared,
        "announced": len(receipts),
        "below_quorum": sum(not receipt.quorum for receipt in receipts),
        "alone": len(receipts) - len(held),
        "acks": sum(receipt.acks for receipt in receipts),
        "verified": sum(receipt.verified for receipt in receipts),
        "read_back": sum(receipt.read_back for receipt in held),
        "late": sum(receipt.next_renewal < wall - LATE_SECONDS for receipt in held),
        "weakest_acks": weakest[0],
        "weakest_target": weakest[1],
        "next_renewal": min((receipt.next_renewal for receipt in receipts), default=None),
    }
    return {**figures, "summary": _summary(figures, len(held), wall)}


def behind(figures: dict[str, Any]) -> str | None:
    """A sentence for the user where records are not held as they should be; from what `announced` gave."""
    parts = [
        f"{figures[name]} {what}"
        for name, what in (("below_quorum", "below quorum"), ("late", "late to be renewed"))
        if figures[name]
    ]
    if not parts:
        return None
    return (
        f"Announcing falls behind: {' and '.join(parts)}, of {figures['shared']} shared. It is tried again by itself."
    )


def _summary(figures: dict[str, Any], held: int, wall: float) -> str:
    """As in: 18 of 20 holders, read back, renews in 11 h."""
    if not figures["shared"]:
        return "nothing is shared"
    if not held:
        return "no other node yet" if figures["alone"] else "being announced"
    many = "" if held == 1 else "at least "
    read_back = "read back" if figures["read_back"] == held else f"{figures['read_back']} of {held} read back"
    holders = f"{many}{figures['weakest_acks']} of {figures['weakest_target']} holders"
    return f"{holders}, {read_back}, renews {_in(figures['next_renewal'] - wall)}"


def _in(seconds: float) -> str:
    if seconds < 60:
        return "now"
    minutes = round(seconds / 60)
    return f"in {minutes} min" if minutes < 90 else f"in {round(minutes / 60)} h"
