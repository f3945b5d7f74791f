"""Has a swarm's peers tell the descriptors of a collection's files, batch after batch, while chunks come.

Several peers share the work. Decides nothing about chunks: they are unlocked as their descriptors become known.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine

from dhtshare.errors import (
    DhtshareError,
    IntegrityError,
    MalformedError,
    NetworkError,
    NotFoundError,
    RemoteProtocolError,
)
from dhtshare.transfer.members import MemberDescriptors
from dhtshare.transfer.source import SwarmPeer


class Learning:
    """One fetch's. `spawn` takes ownership of a task; `learned` is called after each batch that told something."""

    def __init__(
        self,
        members: MemberDescriptors,
        content: bytes,
        spawn: Callable[[Coroutine[None, None, None], str], None],
        *,
        learned: Callable[[], None],
        ban: Callable[[SwarmPeer], None],
        fail: Callable[[DhtshareError], None],
    ) -> None:
        """`ban` is for a peer that told a false one, `fail` for a collection that nobody can complete."""
        self._members = members
        self._content = content
        self._spawn = spawn
        self._learned = learned
        self._ban = ban
        self._fail = fail

    def ask(self, peer: SwarmPeer) -> None:
        """Ask this peer, unless it is being asked, or nothing is needed. Call it again by and by."""
        if self._members.needed and peer.content == self._content and not peer.learning and not peer.retired:
            peer.learning = True
            self._spawn(self._ask(peer), f"descriptors from {peer.address}")

    async def _ask(self, peer: SwarmPeer) -> None:
        try:
            while peer.connection.is_open and (batch := self._members.next_batch()):
                if not await self._members.learn(peer.connection, self._content, batch):
                    return
                self._learned()
        except (NotFoundError, NetworkError):
            return  # somebody else may have them; if it was the connection, its end is told
        except IntegrityError:
            self._ban(peer)
        except RemoteProtocolError as error:
            peer.connection.close(error)
        except MalformedError as error:
            self._fail(IntegrityError(str(error)))
        finally:
            peer.learning = False
