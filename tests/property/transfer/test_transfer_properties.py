"""What holds for every stream of frames and every course of a fetch."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from dhtshare.errors import RemoteProtocolError
from dhtshare.transfer.codec import FrameReader, encode
from dhtshare.transfer.messages import Ask, Cancel, Choke, Data, Get, Has, Have, Hello, Message, Ping, Refused
from dhtshare.transfer.picker import MAX_DUPLICATES, Picker
from dhtshare.transfer.runs import bits_of

CONTENT = b"c" * 32
MESSAGES: list[Message] = [
    Hello(b"net1", b"n" * 16, "agent"),
    Ask(1, CONTENT, True),
    Get(3, CONTENT, 5, 100, 2, 0),
    Have(CONTENT, (1, 2, 8, 1)),
    Cancel(9),
    Refused(9, 2),
    Choke(),
    Ping(),
]


def read_all(reader: FrameReader, stream: bytes, cuts: list[int]) -> list[tuple[Message, bytes]]:
    """Feed a stream in pieces of these lengths."""
    got: list[tuple[Message, bytes]] = []
    position = turn = 0
    while position < len(stream):
        buffer = reader.get_buffer()
        count = min(len(buffer), len(stream) - position, cuts[turn % len(cuts)])
        turn += 1
        buffer[:count] = stream[position : position + count]
        position += count
        got += [(frame.message, bytes(frame.payload or b"")) for frame in reader.advance(count)]
    return got


@given(
    st.lists(st.one_of(st.sampled_from(MESSAGES), st.binary(min_size=1, max_size=3000)), min_size=1, max_size=12),
    st.lists(st.integers(1, 700), min_size=1, max_size=20),
)
def test_frames_survive_any_split(items: list[Message | bytes], cuts: list[int]) -> None:
    expected: list[tuple[Message, bytes]] = []
    stream = b""
    for number, item in enumerate(items):
        message, payload = (Data(number), item) if isinstance(item, bytes) else (item, b"")
        expected.append((message, payload))
        stream += encode(message, len(payload)) + payload
    reader = FrameReader(lambda _message, length: memoryview(bytearray(length)))
    assert read_all(reader, stream, cuts) == expected


@given(st.binary(min_size=1, max_size=400), st.lists(st.integers(1, 50), min_size=1, max_size=10))
def test_garbage_is_an_error_of_the_peer_or_waits_for_more(raw: bytes, cuts: list[int]) -> None:
    reader = FrameReader(lambda _message, length: memoryview(bytearray(length)))
    try:
        read_all(reader, raw, cuts)
    except RemoteProtocolError:
        return


def test_a_payload_where_none_belongs_is_refused() -> None:
    reader = FrameReader(lambda _message, length: memoryview(bytearray(length)))
    for message in (Choke(), Ask(1, CONTENT)):
        try:
            read_all(reader, encode(message, 5) + b"12345", [1000])
        except RemoteProtocolError:
            reader = FrameReader(lambda _message, length: memoryview(bytearray(length)))
            continue
        raise AssertionError(message)
    assert read_all(reader, encode(Has(1, 9, 3, "n", 70), 2) + b"\x07\x00", [3]) == [
        (Has(1, 9, 3, "n", 70), b"\x07\x00")
    ]


@settings(max_examples=150)
@given(st.integers(1, 40), st.integers(1, 5), st.integers(), st.booleans())
def test_an_honest_peer_alive_means_that_it_ends(chunks: int, liars: int, seed: int, sequential: bool) -> None:
    """Each chunk in one state, nobody asked for what it lacks nor twice at once, and the fetch ends."""
    chance = random.Random(seed)  # not drawn by hypothesis: it would find the run in which nobody ever answers
    picker = Picker(chunks, (1 << chunks) - 1, random.Random(1), sequential=sequential)
    has = {peer: bits_of(chunk for chunk in range(chunks) if chance.random() < 0.5) for peer in range(1, liars + 1)}
    has[0] = (1 << chunks) - 1
    for peer, bits in has.items():
        picker.peer_has(peer, bits, complete=peer == 0)
    asked: dict[int, set[int]] = {peer: set() for peer in has}
    verified: set[int] = set()
    for turn in range(50 * chunks + 200):
        if picker.done:
            break
        peer = chance.choice(list(asked))
        for chunk in picker.pick(peer, 3, now=float(turn)):
            assert has[peer] >> chunk & 1
            assert chunk not in asked[peer]
            assert chunk not in verified
            asked[peer].add(chunk)
            picker.requested(peer, chunk)
            assert sum(chunk in others for others in asked.values()) <= MAX_DUPLICATES
        for peer in list(asked):
            if not asked[peer] or chance.random() < 0.3:
                continue
            chunk = chance.choice(sorted(asked[peer]))
            asked[peer].discard(chunk)
            if peer == 0 or chance.random() < 0.5:
                for other in picker.verified(chunk):
                    asked[other].discard(chunk)
                verified.add(chunk)
            elif chance.random() < 0.2:
                picker.peer_gone(peer)
                del asked[peer]
            else:
                picker.failed(peer, chunk)
    assert picker.done
    assert verified == set(range(chunks))
