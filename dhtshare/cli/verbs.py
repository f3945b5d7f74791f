"""A command with commands of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Verbs:
    """`dhtshare <name> <verb>`: what `--help` says of the name, and the functions of the verbs."""

    help: str
    verbs: Mapping[str, Callable[..., int]]
