from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from dhtshare.content.link import MAX_LINK_PEERS, MAX_LINK_SIZE, Link, PeerHint, parse_hash, parse_link
from dhtshare.errors import MalformedError

hashes = st.binary(min_size=32, max_size=32)
hosts = st.ip_addresses().map(str) | st.from_regex(
    r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?(\.[a-z]{2,8}){0,3}", fullmatch=True
)
peers = st.builds(PeerHint, hosts, st.integers(1, 65_535), st.none() | hashes)
links = st.builds(
    Link,
    content_hash=hashes,
    name=st.none() | st.text(min_size=1, max_size=60),
    size=st.none() | st.integers(0, MAX_LINK_SIZE),
    network=st.text(min_size=1, max_size=16),
    peers=st.lists(peers, max_size=MAX_LINK_PEERS, unique=True).map(tuple),
)


@given(links)
def test_what_is_formatted_is_parsed(link: Link) -> None:
    text = link.format()
    assert text.isascii()
    assert text.isprintable()
    assert " " not in text
    assert parse_link(text) == link


@given(links, st.text("abcxyz_", min_size=1).filter(lambda key: key not in ("name", "size", "net", "peer")), st.text())
def test_unknown_parameters_are_ignored(link: Link, key: str, value: str) -> None:
    known = link.format()
    separator = "&" if "?" in known else "?"
    value = value.replace("&", "").replace("#", "").strip()
    assert parse_link(f"{known}{separator}{key}={value}") == link


@given(st.text(max_size=200) | st.text("0123456789abcdef?&=%@:[]#nameizptr", max_size=200))
@example("?peer=%")
@example("?name=%ff")
def test_any_text_is_a_link_or_malformed(text: str) -> None:
    for candidate in (text, "dhtshare:" + text, "dhtshare:" + "0" * 64 + text, "dhtshare:" + "0" * 64 + "?" + text):
        try:
            link = parse_link(candidate)
        except MalformedError as refused:
            assert str(refused).isprintable()
        else:
            assert parse_link(link.format()) == link


@given(hashes)
def test_hashes(content_hash: bytes) -> None:
    assert parse_hash(content_hash.hex()) == content_hash
    assert parse_hash(content_hash.hex().upper()) == content_hash


@given(st.text(max_size=80))
def test_any_text_is_a_hash_or_malformed(text: str) -> None:
    try:
        assert parse_hash(text).hex() == text.strip().lower()
    except MalformedError as refused:
        assert str(refused).isascii()
