from __future__ import annotations

import pytest

from dhtshare.content.link import (
    MAX_LINK_CHARACTERS,
    MAX_LINK_PEERS,
    MAX_LINK_SIZE,
    Link,
    PeerHint,
    is_link,
    parse_hash,
    parse_link,
)
from dhtshare.errors import MalformedError

HASH = bytes(range(32))
HEX = HASH.hex()
PEER = bytes(reversed(HASH))


def test_the_shortest_link() -> None:
    assert parse_link(f"dhtshare:{HEX}") == Link(HASH)
    assert Link(HASH).format() == f"dhtshare:{HEX}"


def test_everything_a_link_can_say() -> None:
    link = Link(
        HASH,
        name="Música & more – 01.mp3",
        size=5_242_880,
        network="küche",
        peers=(
            PeerHint("192.0.2.7", 4470),
            PeerHint("2001:db8::1", 4471, PEER),
            PeerHint("seed.example.org", 65_535),
        ),
    )
    text = link.format()
    assert text == (
        f"dhtshare:{HEX}?name=M%C3%BAsica%20%26%20more%20%E2%80%93%2001.mp3&size=5242880&net=k%C3%BCche"
        f"&peer=192.0.2.7:4470&peer={PEER.hex()}@%5B2001:db8::1%5D:4471&peer=seed.example.org:65535"
    )
    assert parse_link(text) == link
    assert str(link) == text


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"  dhtshare:{HEX}\n", id="white space around"),
        pytest.param(f"DHTSHARE:{HEX.upper()}", id="capitals"),
        pytest.param(f"dhtshare:{HEX}?", id="no parameters"),
        pytest.param(f"dhtshare:{HEX}?&&", id="empty parameters"),
        pytest.param(f"dhtshare:{HEX}?later=1&x&=y", id="unknown parameters"),
        pytest.param(f"dhtshare:{HEX}#part", id="a fragment"),
        pytest.param(f"dhtshare:{HEX}?name=&net=", id="empty values"),
        pytest.param(f"dhtshare:{HEX}?net=dhtshare", id="the default network"),
    ],
)
def test_other_ways_to_write_the_shortest_link(text: str) -> None:
    assert is_link(text)
    assert parse_link(text) == Link(HASH)


def test_a_plus_is_a_plus() -> None:
    assert parse_link(f"dhtshare:{HEX}?name=C++%20Primer.pdf").name == "C++ Primer.pdf"


def test_brackets_need_not_be_encoded() -> None:
    assert parse_link(f"dhtshare:{HEX}?peer=[::1]:4470").peers == (PeerHint("::1", 4470),)


@pytest.mark.parametrize(
    "rest",
    [
        pytest.param("", id="nothing"),
        pytest.param("//" + HEX, id="slashes"),
        pytest.param(HEX[:-1], id="a digit missing"),
        pytest.param(HEX + "0", id="a digit too many"),
        pytest.param(HEX[:-1] + "g", id="no hex digit"),
        pytest.param("2:" + HEX, id="a version before"),
        pytest.param("?xt=" + HEX, id="the hash as a parameter"),
        pytest.param("٣" * 64, id="digits of another script"),
        pytest.param(HEX + "/song.mp3", id="a path behind"),
    ],
)
def test_any_other_form_is_made_by_a_newer_version(rest: str) -> None:
    with pytest.raises(MalformedError, match="made by a newer version") as refused:
        parse_link("dhtshare:" + rest)
    assert refused.value.exit_code == 2


@pytest.mark.parametrize(
    ("parameter", "why"),
    [
        ("size=-1", "size"),
        ("size=1e6", "size"),
        ("size=", "size"),
        ("size=%31%20", "size"),
        (f"size={MAX_LINK_SIZE + 1}", "size"),
        ("size=" + "9" * 5_000, "size"),
        ("name=%FF%FE", "UTF-8"),
        ("net=%ED%A0%80", "UTF-8"),
        ("name=" + "x" * 256, "limit"),
        ("net=" + "x" * 65, "limit"),
        ("peer=", "address"),
        ("peer=host", "address"),
        ("peer=host:0", "address"),
        ("peer=host:65536", "address"),
        ("peer=host:x", "address"),
        ("peer=:4470", "address"),
        ("peer=::1:4470", "address"),
        ("peer=a%0Ab:4470", "address"),
        ("peer=%1B%5B31m:4470", "address"),
        ("peer=a/b:4470", "address"),
        ("peer=b%C3%BCcher.example:4470", "address"),
        ("peer=" + "a" * 254 + ":4470", "address"),
        (f"peer={HEX[:-1]}@host:4470", "address"),
        ("peer=@host:4470", "address"),
    ],
)
def test_what_is_known_and_wrong_is_refused_with_a_sentence(parameter: str, why: str) -> None:
    with pytest.raises(MalformedError, match=why) as refused:
        parse_link(f"dhtshare:{HEX}?{parameter}")
    assert str(refused.value).isprintable()


def test_limits() -> None:
    assert parse_link(f"dhtshare:{HEX}?size={MAX_LINK_SIZE}").size == MAX_LINK_SIZE
    many = "&".join(f"peer=192.0.2.1:{port}" for port in range(1, MAX_LINK_PEERS + 20))
    assert len(parse_link(f"dhtshare:{HEX}?{many}").peers) == MAX_LINK_PEERS
    with pytest.raises(MalformedError, match="characters"):
        parse_link(f"dhtshare:{HEX}?x=" + "x" * MAX_LINK_CHARACTERS)


def test_a_peer_named_twice_is_one_peer() -> None:
    assert parse_link(f"dhtshare:{HEX}?peer=h:1&peer=h:1").peers == (PeerHint("h", 1),)


@pytest.mark.parametrize("text", ["", "magnet:?xt=1", HEX, "7", "dhtshare", "./dhtshare:x"])
def test_what_is_no_link_at_all(text: str) -> None:
    assert not is_link(text)
    with pytest.raises(MalformedError, match="is not a link"):
        parse_link(text)


def test_hashes() -> None:
    assert parse_hash(HEX) == HASH
    assert parse_hash(f" {HEX.upper()} ") == HASH


@pytest.mark.parametrize("text", ["", "abc", HEX[:-1], HEX + "00", "g" * 64, "\x1b[31m", f"0x{HEX}", "١" * 64])
def test_malformed_hashes_get_one_clear_sentence(text: str) -> None:
    with pytest.raises(MalformedError, match="64 hex digits") as refused:
        parse_hash(text)
    assert str(refused.value).isascii()
    assert str(refused.value).isprintable()
    assert refused.value.exit_code == 2
