"""Malformed frames as answers: a fetching process among peers each of which bends one message of the conversation.

It takes the bytes from the one honest seed, drops each bad connection within 10 s, and is none the worse.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from dhtshare.transfer.messages import Descriptor, Members, Message
from tests.hostile.bent_answers import BENT, Bender, Served
from tests.hostile.process_figures import descriptors, forget_peak, peak
from tests.hostile.raw_listener import listeners
from tests.processes import Network, Running, eventually

MIB = 1 << 20
FILE_BYTES = 8 * MIB
MEMBERS = {"a.bin": 2 * MIB, "b.bin": MIB + 5, "small.txt": 1000}
BENDERS_OF_A_KIND = 6
"""With the honest seed as many as are dialled at a time, so that none has to wait."""

ONE_CONNECTION = 3
"""Descriptors: its socket, and a twin each way."""

MOST_MEMORY = 64 * MIB
CLOSE_SECONDS = 10.0
OWN_DELAY = 1.0
"""Until this process sees that a connection was ended, on a busy machine."""


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "tls"])
def test_bent_answers_cost_a_fetch_nothing_but_their_senders(network: Network, tmp_path: Path, encrypted: bool) -> None:
    """One fetch for each kind of message, all at once, each among peers that bend that one; two say half of it."""
    options = ("--treat-as-public", "127.0.0.0/8") if encrypted else ()
    seed, node = network.node(*options), network.node(*options)
    folder = tmp_path / "members"
    folder.mkdir()
    served: dict[type[Message], Served] = {}
    for kind in BENT:
        if kind is Members:
            files = {name: os.urandom(size) for name, size in MEMBERS.items()}
            for name, data in files.items():
                (folder / name).write_bytes(data)
            served[kind] = Served.of_folder(files)
        else:
            path = tmp_path / kind.__name__
            path.write_bytes(os.urandom(FILE_BYTES))
            served[kind] = Served.of_file(path.read_bytes())
            if kind is not Descriptor:
                assert seed.run("publish", path).result["hash"] == served[kind].content
    seed.run("limit", "--max-upload", "6M")  # so slow that the bent ones are asked for chunks, too
    bender = Bender(network.name, seed=7)
    kinds = [kind for kind in BENT for _ in range(2 if kind is Members else BENDERS_OF_A_KIND)]
    behaviours = [bender.bends(kind, served[kind], half=n % 3 == 2) for n, kind in enumerate(kinds)]
    before = descriptors(node)
    forget_peak(node)
    memory = peak(node)
    with listeners(*behaviours, encrypted=encrypted) as addresses:
        fetches: dict[type[Message], Running] = {}
        for kind in BENT:
            bent = [address for one, address in zip(kinds, addresses, strict=True) if one is kind]
            honest = () if kind is Descriptor else (seed.address,)  # it would be asked once, when it has nothing yet
            hints = [option for address in (*bent, *honest) for option in ("--peer", address)]
            out = tmp_path / f"out-{kind.__name__}"
            fetches[kind] = node.home.start("fetch", served[kind].content, *hints, "-o", out, "--no-seed")
        # Whoever is asked first for descriptors tells all: nobody else may have them yet.
        for first, path in ((Descriptor, tmp_path / Descriptor.__name__), (Members, folder)):
            assert eventually(lambda kind=first: any(one.kind is kind for one in bender.bad))
            assert seed.run("publish", path).result["hash"] == served[first].content
        done = {kind: running.finish(60) for kind, running in fetches.items()}
        bad = bender.bad
        assert eventually(lambda: all(one.seconds is not None for one in bad), CLOSE_SECONDS + 2.0), "some are kept"
        grown = peak(node) - memory
    for kind, one in done.items():
        assert one.code == 0, (kind, one)
        assert "Traceback" not in one.stderr
        path = Path(one.result["path"])
        got = [path.read_bytes()] if path.is_file() else [(path / name).read_bytes() for name in MEMBERS]
        assert got == list(served[kind].files)
    of_kind = Counter(one.kind for one in bad)
    assert set(of_kind) == set(BENT), of_kind
    assert len(bad) >= 5 * len(BENT)
    assert max(one.seconds or 0.0 for one in bad) <= CLOSE_SECONDS + OWN_DELAY
    assert grown <= MOST_MEMORY
    assert not node.running.errors()
    assert not seed.running.errors()
    assert eventually(lambda: descriptors(node) <= before + ONE_CONNECTION), "that to the seed may be kept"
