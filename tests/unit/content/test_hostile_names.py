"""Every way a name enters: as a name of its own, as a path in a descriptor, in a link, on the disk of a publisher."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from blake3 import blake3

from dhtshare.content.canonical import encode
from dhtshare.content.descriptor import CollectionDescriptor, CollectionEntry, decode
from dhtshare.content.folder import scan_folder
from dhtshare.content.keywords import tokenize, words_for
from dhtshare.content.link import Link, parse_link
from dhtshare.content.paths import NAMELESS, check_relative_path, dot_name, safe_name
from dhtshare.errors import MalformedError
from tests.hostile.names import COLLIDING, HARMLESS, HOSTILE

HASH = blake3(b"x").digest()

hostile = pytest.mark.parametrize(("name", "safe"), [pytest.param(*case, id=what) for what, case in HOSTILE.items()])
harmless = pytest.mark.parametrize("name", [pytest.param(name, id=what) for what, name in HARMLESS.items()])


@hostile
def test_is_made_safe(name: str, safe: str) -> None:
    assert safe_name(name) == safe
    assert safe_name(safe) == safe
    check_relative_path(safe)


@hostile
def test_is_refused_as_a_path_of_a_collection(name: str, safe: str) -> None:
    with pytest.raises(MalformedError):
        check_relative_path(f"folder/{name}/file")
    with pytest.raises(MalformedError):
        check_relative_path(f"{name}/file")
    with pytest.raises(MalformedError):
        CollectionEntry(name, 1, HASH)


@hostile
def test_is_refused_in_a_descriptor(name: str, safe: str) -> None:
    try:
        raw = encode({0: 1, 2: "collection", 8: [{0: name, 2: 1, 4: HASH}]})
    except UnicodeEncodeError:  # a surrogate: what is no text cannot be sent as one, so send its bytes
        text = name.encode(errors="surrogatepass")
        raw = encode({0: 1, 2: "collection", 8: [{0: "@" * len(text), 2: 1, 4: HASH}]}).replace(b"@" * len(text), text)
    with pytest.raises(MalformedError):
        decode(raw)


@pytest.mark.parametrize(("one", "other"), [pytest.param(*case, id=why) for why, case in COLLIDING.items()])
def test_two_that_collide_are_refused_in_a_descriptor(one: str, other: str) -> None:
    def item(path: str) -> dict[int, object]:
        return {0: path} if path.endswith("/") else {0: path, 2: 1, 4: HASH}

    for pair in ((one, other), (other, one)):
        with pytest.raises(MalformedError):
            decode(encode({0: 1, 2: "collection", 8: [item(path) for path in pair]}))
    with pytest.raises(MalformedError):
        CollectionDescriptor.of(
            [CollectionEntry(path) if path.endswith("/") else CollectionEntry(path, 1, HASH) for path in (one, other)]
        )


@hostile
def test_the_reason_is_shown_without_doing_what_the_name_tries(name: str, safe: str) -> None:
    with pytest.raises(MalformedError) as refused:
        check_relative_path(f"a/{name}/b")
    assert str(refused.value).isascii()
    assert str(refused.value).isprintable()


@hostile
def test_in_a_link_it_is_a_claim_that_is_read_exactly_or_refused(name: str, safe: str) -> None:
    text = Link(HASH, name=name).format()
    assert text.isascii()
    assert text.isprintable()
    assert not set(text) & set(" /\\\"<>|'`")
    if len(name.encode(errors="replace")) > 255:
        with pytest.raises(MalformedError):
            parse_link(text)
    else:
        expected = name.encode(errors="replace").decode() or None
        assert parse_link(text).name == expected


@hostile
def test_its_words_hold_nothing_but_letters_numbers_and_marks(name: str, safe: str) -> None:
    for word in (*tokenize(name), *words_for([name], name, name, [name])):
        assert word.isprintable()
        assert not set(word) & set(' ./\\:*?"<>|')
        word.encode()


@hostile
def test_its_unfinished_file_stays_beside_it(name: str, safe: str) -> None:
    unfinished = dot_name(safe)
    assert unfinished.startswith(".")
    assert len(unfinished.encode()) <= 255
    assert safe_name(unfinished) == unfinished


def can_be_on_a_disk(name: str) -> bool:
    if name in ("", ".", "..") or {"/", "\0"} & set(name):
        return False
    return len(name.encode(errors="surrogatepass")) <= 255


@pytest.mark.parametrize(
    "name", [pytest.param(name, id=what) for what, (name, _) in HOSTILE.items() if can_be_on_a_disk(name)]
)
def test_a_publisher_with_such_a_file_publishes_it_under_a_safe_path(tmp_path: Path, name: str) -> None:
    on_disk = os.fsdecode(name.encode(errors="surrogateescape" if name != "a\ud800b" else "surrogatepass"))
    try:
        (tmp_path / on_disk).write_bytes(b"content")
    except OSError:
        pytest.skip("this file system does not take the name")
    (found,) = scan_folder(tmp_path).files
    check_relative_path(found.path)
    assert found.path == safe_name(on_disk)
    assert Path(found.local).read_bytes() == b"content"


@harmless
def test_harmless_names_are_left_as_they_are(name: str) -> None:
    assert safe_name(name) == name
    check_relative_path(name)
    check_relative_path(f"a/{name}/{name}/")


def test_nameless_is_safe() -> None:
    assert safe_name(NAMELESS) == NAMELESS
