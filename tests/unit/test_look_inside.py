"""What a lookup's target means."""

import pytest

from dhtshare.content.keys import content_key, keyword_key
from dhtshare.errors import UsageError
from dhtshare.look_inside import target_key

NETWORK = b"netw"


@pytest.mark.parametrize(
    ("text", "kind", "key"),
    [
        ("0A" * 20, "key", b"\x0a" * 20),
        (" " + "ab" * 32, "content", content_key(NETWORK, b"\xab" * 32)),
        ("Música", "keyword", keyword_key(NETWORK, "musica")),
        ("ab" * 19, "keyword", keyword_key(NETWORK, "ab" * 19)),  # hex of neither length is a word
    ],
)
def test_a_key_a_hash_or_a_word(text: str, kind: str, key: bytes) -> None:
    assert target_key(text, NETWORK) == (kind, key)


@pytest.mark.parametrize(("text", "says"), [("two words", "'two' and 'words'"), ("…", "none"), ("", "none")])
def test_anything_else_is_refused(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        target_key(text, NETWORK)
