"""The iterative lookup, once: whom to ask next on the way to a key, and when it is over. Pure.

Facts go in (`answered`, `late`, `failed`), one question comes out (`next_requests`). What a choice weighs:

- Closest first, by true XOR distance. Three requests in flight at the start and after somebody was late or
  failed, one a path while it goes well: more would find no faster and cost requests in a large network.
  More once answers stop bringing closer contacts, all of the k closest once the closest known one answered.
- A slot is given away when its contact is late; nobody waits for a round.
- Disjoint paths (Baumgart and Mies, S/Kademlia 2007): each contact is asked by one path, and what it names
  goes to that path alone, so one liar misleads one path.
- In global scopes the k closest hold at most 1 per IP and 2 per /24 (/48). Others are asked, within
  limits, but do not count.
- At most 64 requests a path and 20 contacts an answer; who failed does not come back.
- An answer names the 20 closest to what was asked for. A lookup that wants everybody around its target asks those there
  for their own neighbours, and farther contacts only while it waits for nobody there.

Invariant: each contact is asked at most once in the whole lookup.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dhtshare.dht.behind import MAX_CONTACTS_PER_ANSWER, Behind, Question
from dhtshare.dht.candidate import Candidate, State
from dhtshare.dht.contact import ID_BYTES, Contact
from dhtshare.dht.diversity import Diversity
from dhtshare.network import Scope

APPROACH = 3  # requests in flight of a lookup on its way (alpha), dealt to its paths, at least 1 each
WIDE = 8  # once answers stop bringing closer contacts
STALLED_AFTER = 3  # answers in a row without a closer contact
MAX_REQUESTS_PER_PATH = 64
MAX_UNCOUNTED = 8  # requests of a path to contacts that diversity keeps from counting
MAX_VIEW = 256  # contacts that a path remembers


@dataclass(slots=True)
class _Path:
    """One path's own view of the way: candidates by distance."""

    view: list[Candidate]
    known: set[Contact]
    requests: int = 0
    uncounted: int = 0
    in_flight: int = 0
    closest: int = 1 << 160
    stalled: int = 0
    troubled: bool = False  # somebody was late or failed since an answer led closer
    done: bool = False
    cut: bool = False  # it ran out of requests before its k closest had answered
    changed: bool = True  # something in its view is not as when it chose last


class Lookup:
    """A walk towards `target`. Ours is never asked; seeds are the closest contacts of our own table.

    `around`: it also wants everybody up to this distance, however many they are.
    """

    def __init__(
        self,
        target: bytes,
        own_id: bytes,
        seeds: Sequence[Contact],
        *,
        scope: Scope,
        k: int = 20,
        paths: int = 2,
        around: int = 0,
    ) -> None:
        self.target = target
        self.around = around
        self.k = k
        self.requests = 0
        self._own_id = own_id
        self._scope = scope
        self._candidates: dict[Contact, Candidate] = {}
        self._ids: dict[bytes, Contact] = {}  # ids that answered
        self._behind = Behind(target)
        self._heard = Diversity(scope)
        self._crowded = False  # among all that were heard of are too many of one owner
        self._paths: list[_Path] = []
        self.add_paths(seeds, paths)

    # ---- facts ---------------------------------------------------------------------------------

    def add_paths(self, seeds: Sequence[Contact], count: int) -> bool:
        """Start more paths, seeds dealt in turn. False if there was nobody new to start from."""
        fresh = [contact for contact in seeds if self._unasked(contact)]
        count = min(count, len(fresh))
        for number in range(count):
            path = _Path([], set())
            self._paths.append(path)
            self._extend(path, fresh[number::count], 1)
        return count > 0

    def answered(self, contact: Contact, contacts: Iterable[Contact]) -> None:
        """It answered, and named these."""
        candidate = self._leave(contact, State.ANSWERED)
        if candidate is None:
            return
        self._ids.setdefault(contact.node_id, contact)
        path = self._paths[candidate.path]
        closest = path.closest
        self._extend(path, list(contacts)[:MAX_CONTACTS_PER_ANSWER], candidate.hops + 1)
        if path.closest < closest:
            path.stalled = 0
            path.troubled = False
        else:
            path.stalled += 1

    def late(self, contact: Contact) -> None:
        """It is taking longer than it usually does; somebody else gets its slot."""
        candidate = self._candidates[contact]
        if candidate.state is State.ASKED:
            candidate.state = State.LATE
            path = self._paths[candidate.path]
            path.in_flight -= 1
            path.troubled = True
            self._mark_changed(contact)

    def failed(self, contact: Contact) -> None:
        """It did not answer, or not as itself."""
        candidate = self._leave(contact, State.FAILED)
        if candidate is not None:
            self._paths[candidate.path].troubled = True

    def named(self, contact: Contact, contacts: Iterable[Contact]) -> None:
        """A contact that answered before names these too."""
        candidate = self._candidates[contact]
        self._extend(self._paths[candidate.path], list(contacts)[:MAX_CONTACTS_PER_ANSWER], candidate.hops + 1)

    def widen(self, k: int) -> None:
        """Go on until the `k` closest have answered, more than before."""
        self.k = k
        for path in self._paths:
            path.done = False
            path.changed = True

    # ---- questions -----------------------------------------------------------------------------

    def next_requests(self) -> list[Contact]:
        """Whom to ask now. Each of them counts as asked from here on."""
        chosen: list[Contact] = []
        for number, path in enumerate(self._paths):
            if path.changed:
                path.changed = False
                chosen += self._choose(number, path)
        return chosen

    def question(self, contact: Contact) -> bytes:
        """The target that it is to be asked for.

        Around ours it is the contact's own id, or that of nobody in another quarter of what is around: where twenty and
        more live in one half, none of them would name anybody of the other.
        """
        if contact.distance_to(self.target) > self.around:
            return self.target
        quarter = contact.node_id[-1] % 4 << max(0, self.around.bit_length() - 2)
        return (int.from_bytes(contact.node_id, "big") ^ quarter).to_bytes(ID_BYTES, "big")

    @property
    def done(self) -> bool:
        """Nobody is left to ask or to wait for. True only after `next_requests` said so too."""
        return all(path.done for path in self._paths)

    @property
    def truncated(self) -> bool:
        """Whether requests ran out before all that is wanted was asked. Around, one path may do what another cannot."""
        if not self.around:
            return any(path.cut for path in self._paths)
        return any(c.state is State.KNOWN and c.distance <= self.around for c in self._candidates.values())

    def closest(self, count: int | None = None) -> list[Contact]:
        """The k closest contacts that answered, and all around; closest first, each id once, diversity kept."""
        k = self.k if count is None else count
        diversity = Diversity(self._scope)
        found: list[Contact] = []
        answered = sorted(c for c in self._candidates.values() if c.state is State.ANSWERED)
        for candidate in answered:
            contact = candidate.contact
            if len(found) >= k and candidate.distance > self.around:
                break
            if self._ids[contact.node_id] == contact and diversity.admit(contact.address):
                found.append(contact)
        return found

    def behind(self) -> list[Question]:
        """Whom to ask for others that may stand among the closest, once the lookup is done; see `Behind`."""
        closest = self.closest()
        if closest and closest[-1].distance_to(self.target) <= self.around:
            return []  # all were asked for their neighbours
        return self._behind.questions(self._candidates.values(), closest, self.k)

    def hops(self, contact: Contact) -> int:
        """How many answers led to the contact, itself included."""
        return self._candidates[contact].hops

    def path(self, contact: Contact) -> int:
        """Which path asked the contact, from 0; -1 if none did."""
        return self._candidates[contact].path

    def candidates(self) -> list[Candidate]:
        """All that were heard of, closest first, for a trace."""
        return sorted(self._candidates.values())

    # ---- inside --------------------------------------------------------------------------------

    def _unasked(self, contact: Contact) -> bool:
        candidate = self._candidates.get(contact)
        return contact.node_id != self._own_id and (candidate is None or candidate.state is State.KNOWN)

    def _leave(self, contact: Contact, state: State) -> Candidate | None:
        candidate = self._candidates[contact]
        if candidate.state not in (State.ASKED, State.LATE):
            return None
        if candidate.state is State.ASKED:
            self._paths[candidate.path].in_flight -= 1
        candidate.state = state
        self._mark_changed(contact)
        return candidate

    def _mark_changed(self, contact: Contact) -> None:
        for path in self._paths:
            if contact in path.known:
                path.changed = True

    def _extend(self, path: _Path, contacts: Iterable[Contact], hops: int) -> None:
        for contact in contacts:
            if contact in path.known or contact.node_id == self._own_id:
                continue
            candidate = self._candidates.get(contact)
            if candidate is None:
                candidate = Candidate(contact, contact.distance_to(self.target), hops)
                self._candidates[contact] = candidate
                self._crowded = not self._heard.admit(contact.address) or self._crowded
            path.known.add(contact)
            insort(path.view, candidate)
            if candidate.distance < path.closest:
                path.closest = candidate.distance
            path.done = False
            path.changed = True
        if len(path.view) > MAX_VIEW:
            del path.view[MAX_VIEW:]

    def _choose(self, number: int, path: _Path) -> list[Contact]:
        """The path's next requests; sets its `done`."""
        width = self._width(number, path)
        chosen: list[Contact] = []
        uncounted: list[Candidate] = []
        waiting = False
        counted = 0
        diversity = Diversity(self._scope) if self._crowded else None
        ids = self._ids
        for candidate in path.view:
            if counted >= self.k and candidate.distance > self.around:
                break
            state = candidate.state
            if state is State.FAILED:
                continue
            contact = candidate.contact
            if ids.get(contact.node_id, contact) != contact:
                continue  # that id answered from another address
            if state is State.LATE:
                waiting = True  # likely dead: it does not count, but the path waits for its last chance
                continue
            if diversity is not None and not diversity.admit(contact.address):
                if state is State.KNOWN:
                    uncounted.append(candidate)
                continue
            if state is State.ASKED:
                waiting = True
            elif state is State.KNOWN:
                if waiting and path.closest <= self.around < candidate.distance:
                    break
                if path.requests >= MAX_REQUESTS_PER_PATH:
                    path.cut = True
                    break
                waiting = True
                if path.in_flight >= width:
                    break
                chosen.append(self._ask(number, path, candidate))
            counted += 1
        while (
            uncounted
            and path.uncounted < MAX_UNCOUNTED
            and path.in_flight < width
            and path.requests < MAX_REQUESTS_PER_PATH
        ):
            path.uncounted += 1
            waiting = True
            chosen.append(self._ask(number, path, uncounted.pop(0)))
        path.done = not waiting and not path.in_flight
        return chosen

    def _ask(self, number: int, path: _Path, candidate: Candidate) -> Contact:
        candidate.state = State.ASKED
        candidate.path = number
        path.requests += 1
        path.in_flight += 1
        self.requests += 1
        return candidate.contact

    def _width(self, number: int, path: _Path) -> int:
        for candidate in path.view:
            if candidate.state is State.ANSWERED:
                return self.k
            if candidate.state in (State.KNOWN, State.ASKED):
                break
        if path.stalled >= STALLED_AFTER:
            return WIDE
        if path.requests >= APPROACH and not path.troubled:
            return 1
        paths = len(self._paths)
        return max(1, (APPROACH + paths - 1 - number) // paths)
