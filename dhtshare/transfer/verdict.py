"""Whether a fetch that got stuck is over, and the sentence that says why. Pure."""

from __future__ import annotations

from dhtshare.errors import DhtshareError, IntegrityError, NetworkError, NotFoundError


class Verdict:
    """Counts what peers turned out to be. `timeout`: seconds without progress that the fetch allows."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self.answered = 0
        """Peers that said what they hold."""
        self.liars = 0
        """Those that sent false data, and those that were somebody else than the one named."""

    def hopeless(self, peers: int, *, idle: bool) -> bool:
        """False data came and nobody is left, nor being dialled: there is nothing to wait for."""
        return bool(self.liars) and not peers and idle

    def reason(self, known: int, peers: int, lacking: str) -> DhtshareError:
        """Why it ends now. `known`: providers ever heard of; `lacking`: what no peer has, as a sentence or empty."""
        seconds = f"{self._timeout:g} s"
        if self.liars and not peers:
            return IntegrityError("Those who answered sent false data or were somebody else; nobody is left.")
        if not known and not self.answered:
            return NotFoundError(f"Nobody who has this content was found within {seconds}. Try again later.")
        if not self.answered:
            return NetworkError(f"None of {known} known providers answered within {seconds}.")
        told = f"{lacking} " if lacking else ""
        return NetworkError(f"Nothing came from {self.answered} peers for {seconds}. {told}Run it again to resume.")
