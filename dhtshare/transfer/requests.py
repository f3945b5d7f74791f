"""Our requests on one connection that have no answer yet, and who waits for each.

Answers may be taken in any thread; each is taken once.
"""

from __future__ import annotations

from dhtshare.errors import NetworkError, RemoteProtocolError
from dhtshare.network import Address
from dhtshare.transfer.messages import MAX_REQUEST, MAX_REQUESTS_IN_FLIGHT
from dhtshare.transfer.parties import Expecting, Landed


class Requests:
    """By number. Invariant: MAX_REQUESTS_IN_FLIGHT at most, and no number twice."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._waiting: dict[int, Expecting] = {}
        self._next = 1

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, number: int) -> bool:
        return number in self._waiting

    def add(self, expecting: Expecting) -> int:
        """A request is about to be made; its number. Raises NetworkError where too many have no answer."""
        if len(self._waiting) >= MAX_REQUESTS_IN_FLIGHT:
            raise NetworkError(f"{self._address} leaves too many requests unanswered.")
        number = self._next
        self._next = number % MAX_REQUEST + 1
        self._waiting[number] = expecting
        return number

    def unmade(self, number: int) -> None:
        """It could not be sent."""
        del self._waiting[number]

    def of(self, number: int) -> Expecting:
        """Who waits for this answer, which has begun. Raises RemoteProtocolError where nobody does."""
        expecting = self._waiting.get(number)
        if expecting is None:
            raise self._nobody()
        return expecting

    def take(self, number: int) -> Expecting:
        """Who waits for this answer, which is whole: the request is over. Raises RemoteProtocolError as `of`."""
        expecting = self._waiting.pop(number, None)
        if expecting is None:
            raise self._nobody()
        return expecting

    def take_data(self, number: int) -> Landed:
        """Whom this DATA is for, which is whole: the request is over with the last one. Raises as `of`."""
        landed, last = self.of(number).data_came()
        if last:
            self._waiting.pop(number, None)  # not there where the connection has just ended
        return landed

    def lose(self, error: Exception) -> None:
        """The connection ended: nobody will have an answer."""
        waiting, self._waiting = self._waiting, {}
        for expecting in waiting.values():
            expecting.lost(error)

    def _nobody(self) -> RemoteProtocolError:
        return RemoteProtocolError(f"{self._address} answers a request that was never made.")
