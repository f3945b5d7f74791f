"""The network of a soak: what is done to it, and what must come of it however often nodes fail meanwhile."""

from __future__ import annotations

import random
import shutil
import socket
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from blake3 import blake3

from dhtshare.network import network_id
from dhtshare.transfer.exchange import IDLE_SECONDS
from scripts.soaking.gauges import descriptors, folder_bytes, settled
from scripts.soaking.members import DISTURBED_SECONDS, Content, Member
from scripts.soaking.tally import Tally
from tests.processes import Finished, Network, eventually
from tests.small_disk import SmallDisk

EACH_AT_FIRST = 4  # contents that every member publishes before the soak begins, and the mean of what it holds later
LARGEST_BYTES = 4 << 20
SMALLEST_BYTES = 64  # no two are alike
COMMAND_SECONDS = 120.0
MOST_ABSENT_SECONDS = 8.0
FETCH_SECONDS = 20  # without progress; of what is away or damaged:
HOPELESS_SECONDS = 4
SETTLED_SECONDS = IDLE_SECONDS + 40  # idle connections are looked for every few seconds
MOST_HOME_BYTES = 16 << 20  # catalogue, its log of at most 4 MiB and its copy, records: contents are shared in place


class World:
    """Acts on the network. What came of them is in `tally`, how often each was done in `done`."""

    def __init__(self, network: Network, rng: random.Random, nodes: int, disk: SmallDisk | None) -> None:
        """Half the nodes live through the run, the bootstrap node first; the last one's home is on the small disk."""
        self.network = network
        self.rng = rng
        self.tally = Tally()
        self.done: Counter[str] = Counter()
        self._numbers = 0
        self._withdrawn: set[str] = set()
        self._disk = disk
        self.members = [self._member(number, steady=number < (nodes + 1) // 2) for number in range(nodes)]
        if disk is not None:
            self.members[-1].home.path = disk.folder / "home"
        for member in self.members:
            self._start(member)
        self._at_first = {member: descriptors(member.pid) for member in self.members if member.steady and member.up}
        for member in self.members:
            self._publish(member, [self._new_file(member) for _ in range(EACH_AT_FIRST)], cause=None)

    def _member(self, number: int, *, steady: bool) -> Member:
        home = self.network.home()
        folder = home.cwd / "shared"
        folder.mkdir()
        return Member(f"node {number}", home, folder, steady)

    # ---- what people do --------------------------------------------------------------------------

    def publish(self) -> None:
        """A file under a word of its own; something else is withdrawn where there is enough."""
        owner = self.rng.choice(self._up())
        self._publish(owner, [self._new_file(owner)], self._any_disturbance())
        contents = [content for content in self._contents() if content.owner.up]
        if contents and len(self._contents()) > EACH_AT_FIRST * len(self.members):
            self._withdraw(self.rng.choice(contents))

    def search(self) -> None:
        """By the word of something published. Its holders are many: only its asker's own plight explains a miss."""
        if (content := self._sound()) is not None:
            asker = self.rng.choice(self._up())
            ran = self._run(asker, "search", content.word, codes=(0, 4))
            if ran is not None and content.hash in _hashes(ran):
                self.tally.succeeded("search")
            elif ran is not None:
                self.tally.failed("search", f"{content.word} by {asker.name}: {ran.result}", asker.disturbance())

    def fetch(self) -> None:
        """Into a folder of its own, compared byte by byte with what was published, then deleted.

        Of what is damaged, or whose only seed is away, nothing is expected but that no other bytes arrive.
        """
        content = self.rng.choice(self._contents())
        asker = self.rng.choice([member for member in self._up() if member is not content.owner])
        expected = content.owner.up and not content.damaged
        cause = content.owner.disturbance() or asker.disturbance()
        target = asker.home.cwd / f"got{self._numbers}-{self.rng.randrange(10**9)}"
        ran = self._fetch(asker, [content], target, FETCH_SECONDS if expected else HOPELESS_SECONDS)
        if ran is not None and ran.code == 0:
            self.tally.succeeded("fetch" if expected else "fetch of the damaged or absent")
        elif ran is not None and expected:
            self.tally.failed("fetch", f"{content.word} of {content.owner.name} by {asker.name}: {ran.result}", cause)
        elif ran is not None:
            self.tally.failed("fetch of the damaged or absent", "", "damaged" if content.damaged else "absent")
        shutil.rmtree(target, ignore_errors=True)

    def look(self) -> None:
        """The commands that only look."""
        member = self.rng.choice(self._up())
        self._run(member, self.rng.choice(("status", "list", "peers")), codes=(0,))

    # ---- what happens to them ---------------------------------------------------------------------

    def restart(self) -> None:
        """A polite stop, and later a start: nothing of the library is lost."""
        if (member := self._mortal()) is not None:
            self._stop(member)
            self._away(member, "restarted")

    def kill(self) -> None:
        """`kill -9` at any moment, and later a start: every acknowledged publish is still there."""
        if (member := self._mortal()) is not None:
            assert member.node is not None
            member.node.kill()
            self._away(member, "killed")

    def freeze(self) -> None:
        """A node stands still for some seconds, as a laptop that sleeps, while the others go on."""
        if (member := self._mortal()) is not None:
            member.freeze(self.rng.uniform(1, MOST_ABSENT_SECONDS))

    def garbage(self) -> None:
        """Random bytes by UDP and TCP, some behind the right network id."""
        node = self.rng.choice(self._up()).node
        assert node is not None
        host, _, port = node.address.rpartition(":")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            for _ in range(200):
                head = network_id(self.network.name) if self.rng.random() < 0.5 else b""
                udp.sendto(head + self.rng.randbytes(self.rng.randrange(1200)), (host, int(port)))
        try:
            with socket.create_connection((host, int(port)), timeout=5) as tcp:
                tcp.sendall(self.rng.randbytes(self.rng.randrange(1, 100_000)))
        except OSError:
            return  # closed in our face, as it should be

    def damage(self) -> None:
        """A published file changes under its owner: wrong bytes may never arrive anywhere. It is replaced."""
        if (content := self._sound()) is not None:
            with content.path.open("r+b") as file:
                file.seek(self.rng.randrange(content.path.stat().st_size))
                file.write(b"\0changed\0")
            content.damaged = True
            damaged = [content for content in self._contents() if content.damaged and content.owner.up]
            if len(damaged) > len(self.members) // 2:
                self._withdraw(damaged[0])

    def fill(self) -> None:
        """The disk of a home and of a fetch's target is full, then it is not: told, survived, nothing lost."""
        member = self.members[-1]
        if self._disk is None or not member.up:
            return
        disk, target = self._disk, self._disk.folder / "out"
        others = [other for other in self._up() if other is not member]
        disk.fill()
        member.disturb("its disk was full")
        late = self._new_file(member)
        self._publish(member, [late], cause="its disk was full", kind="publish on a full disk")
        self._run(member, "status", codes=(0,))
        content = self._sound()
        if content is not None and content.owner.up and content.owner is not member:
            ran = self._fetch(self.rng.choice(others), [content], target)
            if ran is not None and ran.code not in (7, 4, 5):  # what is not found needs no space
                self.tally.fault(f"a fetch to a full disk ended with {ran.code}: {ran.result}")
        self.done["fetches of a full disk's library"] += 1
        for held in [held for held in member.contents if not held.damaged][:1]:
            into = others[0].home.cwd / "of the full"
            ran = self._fetch(others[0], [held], into)
            if ran is not None and ran.code != 0:
                self.tally.failed("fetch", f"{held.word} of a full disk: {ran.result}", others[0].disturbance())
            shutil.rmtree(into, ignore_errors=True)
        if self.rng.random() < 0.3:
            assert member.node is not None
            member.node.kill()
            self._away(member, "killed on a full disk")
        disk.free()
        shutil.rmtree(target, ignore_errors=True)

    # ---- what must be true -------------------------------------------------------------------------

    def look_after(self) -> None:
        """Whoever was away long enough comes back; nobody else may have ended."""
        for member in self.members:
            if member.node is not None and member.node.running.process.poll() is not None:
                self.tally.fault(f"{member.name} ended by itself: {member.node.running.errors()[-800:]}")
                member.node = None
            if time.monotonic() >= member.back_at:
                if member.frozen:
                    member.thaw()
                elif member.node is None:
                    self._start(member)

    def examine(self) -> None:
        """Everybody is back: then all that is shared is found and fetched by one of them, within DISTURBED_SECONDS.

        No injected fault explains a failure here.
        """
        for member in self.members:
            member.back_at = 0.0
        self.look_after()
        sound = [content for content in self._contents() if not content.damaged]
        if not sound:
            self.tally.fault("nothing was shared in the end")
        asker, deadline = self.members[0], time.monotonic() + DISTURBED_SECONDS
        while (missed := self._missed(asker, sound)) and time.monotonic() < deadline:
            time.sleep(1)
        self.tally.succeeded("search", len(sound) - len(missed))
        for content in missed:
            self.tally.failed("search", f"{content.word} of {content.owner.name} in the end", None)
        foreign = [content for content in sound if content.owner is not asker]
        target = asker.home.cwd / "in the end"
        ran = self._fetch(asker, foreign, target)
        got = [done for done in ran.results if "path" in done] if ran is not None else []
        self.tally.succeeded("fetch", len(got))
        if len(got) < len(foreign):
            self.tally.failed("fetch", f"of {len(foreign)} in the end: {ran and ran.results}", None)
        self.done["fetched in the end"] = len(got)
        shutil.rmtree(target, ignore_errors=True)
        for member in self.members:
            self._check_library(member)

    def _missed(self, asker: Member, contents: list[Content]) -> list[Content]:
        """Those of them that a search for the word of all does not show."""
        ran = self._run(asker, "search", "soak", "--limit", 1000, codes=(0, 4))
        found = _hashes(ran) if ran is not None else set()
        missed = [content for content in contents if content.hash not in found]
        self.done["found in the end"] = len(contents) - len(missed)
        self.done["withdrawn and still shown"] = len(found & self._withdrawn)
        return missed

    def settle(self) -> None:
        """Whoever lived through it all has given back, once left alone, what each fetch and command opened."""
        held = {member: descriptors(member.pid) for member in self._at_first}
        if not eventually(lambda: all(map(self._settled, self._at_first)), SETTLED_SECONDS):
            for member in filter(lambda member: not self._settled(member), self._at_first):
                figures = f"{self._at_first[member]} at first, {held[member]} in the end, {descriptors(member.pid)}"
                self.tally.fault(f"{member.name} keeps descriptors: {figures} when left alone")

    def _settled(self, member: Member) -> bool:
        return settled(descriptors(member.pid), self._at_first[member])

    def end(self) -> None:
        """Stop everybody politely; what they wrote must be free of tracebacks."""
        for member in self.members:
            if member.frozen:
                member.thaw()
            if member.node is not None:
                self._stop(member)

    # ---- inside ------------------------------------------------------------------------------------

    def _new_file(self, owner: Member) -> Path:
        self._numbers += 1
        path = owner.folder / f"thing{self._numbers} soak.bin"
        path.write_bytes(self.rng.randbytes(max(SMALLEST_BYTES, int(LARGEST_BYTES ** self.rng.random()))))
        return path

    def _publish(self, owner: Member, paths: list[Path], cause: str | None, kind: str = "publish") -> None:
        ran = self._run(owner, "publish", *paths, codes=(0, 7, 8))
        lines = [line for line in ran.results if "hash" in line] if ran is not None else []
        shared = {line["hash"]: line for line in lines}
        for path in paths:
            digest = blake3(path.read_bytes()).hexdigest()
            found = next((line["hash"] for line in shared.values() if line["name"] == path.name), None)
            if found is None:
                owner.refused.add(path)
            else:
                owner.contents.append(Content(found, path.name.split()[0], path, digest, owner))
        if ran is not None and ran.code == 0:
            self.tally.succeeded(kind)
        elif ran is not None:
            self.tally.failed(kind, f"by {owner.name} ({ran.code}): {ran.stderr[-500:]}", cause)

    def _fetch(
        self, asker: Member, contents: Iterable[Content], target: Path, timeout: int = FETCH_SECONDS
    ) -> Finished | None:
        """Whatever lands in `target` has the bytes that were published, or it is a fault."""
        by_hash = {content.hash: content for content in contents}
        options = ("-o", target, "--no-seed", "--timeout", timeout)
        ran = self._run(asker, "fetch", *by_hash, *options, codes=(0, 3, 4, 5, 6, 7))
        for done in ran.results if ran is not None else []:
            if "path" in done:
                content, path = by_hash[done["hash"]], Path(done["path"])
                if blake3(path.read_bytes()).hexdigest() != content.digest:
                    self.tally.fault(f"wrong bytes of {content.word} in {path}")
        return ran

    def _withdraw(self, content: Content) -> None:
        content.owner.contents.remove(content)
        self._withdrawn.add(content.hash)
        self._run(content.owner, "unpublish", content.hash, codes=(0,))
        content.path.unlink()

    def _start(self, member: Member) -> None:
        began = time.monotonic()
        try:
            member.node = member.home.node()
        except AssertionError as error:
            self.tally.fault(f"{member.name} does not start: {error}")
            member.back_at = time.monotonic() + MOST_ABSENT_SECONDS
            return
        self.network.bootstrap = self.network.bootstrap or member.node.address
        self.done["slowest start ms"] = max(self.done["slowest start ms"], round(1000 * (time.monotonic() - began)))
        if member.disturbance() or member.back_at:
            member.disturb("restarted")
        self._check_library(member)

    def _stop(self, member: Member) -> None:
        assert member.node is not None
        ended = member.node.stop()
        member.node = None
        if ended.code != 0:
            self.tally.fault(f"a polite stop ended with {ended.code}: {ended.stderr[-300:]}")
        self._no_traceback("node", ended.stderr)

    def _away(self, member: Member, how: str) -> None:
        member.node = None
        member.back_at = time.monotonic() + self.rng.uniform(0, MOST_ABSENT_SECONDS)
        member.disturb(how)

    def _check_library(self, member: Member) -> None:
        """It holds what was acknowledged and was not withdrawn, and nothing else; its disk holds little beside that."""
        ran = self._run(member, "list", codes=(0,))
        if ran is None:
            return
        listed = {Path(item["path"]) for item in ran.result["items"] if item["state"] != "withdrawn"}
        known = {content.path for content in member.contents}
        if lost := known - listed:
            self.tally.fault(f"acknowledged, and not in the library of {member.name}: {sorted(map(str, lost))}")
        if more := listed - known - member.refused:
            self.tally.fault(f"in the library of {member.name}, and never published: {sorted(map(str, more))}")
        if left := {path for path in member.home.cwd.rglob("*") if path.is_file()} - known - member.refused:
            self.tally.fault(f"left beside what {member.name} shares: {sorted(map(str, left))}")
        size = folder_bytes(member.home.path)
        self.done["largest home bytes"] = max(self.done["largest home bytes"], size)
        if size > MOST_HOME_BYTES:
            self.tally.fault(f"the home of {member.name}, which copies nothing, takes {size} bytes")

    def _contents(self) -> list[Content]:
        return [content for member in self.members for content in member.contents]

    def _sound(self) -> Content | None:
        contents = [content for content in self._contents() if not content.damaged]
        return self.rng.choice(contents) if contents else None

    def _up(self) -> list[Member]:
        return [member for member in self.members if member.up]

    def _mortal(self) -> Member | None:
        mortal = [member for member in self._up() if not member.steady]
        return self.rng.choice(mortal) if mortal else None

    def _any_disturbance(self) -> str | None:
        return next((how for member in self.members if (how := member.disturbance())), None)

    def _run(self, member: Member, *arguments: object, codes: tuple[int, ...]) -> Finished | None:
        """The command's end, or None where it failed as it may not."""
        try:
            ran = member.home.run(*arguments, code=None, timeout=COMMAND_SECONDS)
        except Exception as error:  # whatever it is, it is a finding of the soak
            self.tally.fault(f"{arguments[0]}: {error}")
            return None
        self._no_traceback(str(arguments[0]), ran.stderr)
        if ran.code not in codes:
            self.tally.fault(f"{arguments[0]} ended with {ran.code}: {ran.stderr[-500:]}")
            return None
        return ran

    def _no_traceback(self, what: str, errors: str) -> None:
        if "Traceback" in errors:
            self.tally.fault(f"{what}: {errors[-1500:]}")


def _hashes(ran: Finished) -> set[str]:
    return {hit["hash"] for hit in ran.result.get("results", [])}
