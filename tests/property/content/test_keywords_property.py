from __future__ import annotations

import unicodedata

from hypothesis import example, given
from hypothesis import strategies as st

from dhtshare.content.keywords import (
    MAX_WORD_BYTES,
    MAX_WORDS,
    collection_words,
    extension_of,
    keyword_key,
    tokenize,
    words_for,
)

scripts = st.sampled_from(list("aZé7ßŁİﬁ αΣς жЙ हिन्दी 東京語 ガｶﾞー ไท 한 שָׁ ☀\ufe0f\u0301\u0338-_'.\u200b"))
texts = st.text(st.characters(codec=None), max_size=60) | st.lists(scripts, max_size=30).map("".join)
latin = st.text(st.sampled_from("abcdefgéüñçãÅŽ"), min_size=2, max_size=12)


@given(texts)
@example("\u0345\u0301")
@example("\u1e9e ﷺ")
def test_words_are_clean(text: str) -> None:
    words = tokenize(text)
    assert len(set(words)) == len(words)
    for word in words:
        assert 0 < len(word.encode()) <= MAX_WORD_BYTES
        assert unicodedata.is_normalized("NFC", word)
        assert all(unicodedata.category(character)[0] in "LNM" for character in word)


@given(texts)
def test_case_and_normal_form_do_not_matter(text: str) -> None:
    words = tokenize(text)
    for form in ("NFC", "NFD"):
        assert tokenize(unicodedata.normalize(form, text)) == words
    assert tokenize(text.casefold()) == words


@given(st.lists(latin, min_size=1, max_size=6, unique=True))
def test_words_found_without_their_accents(words: list[str]) -> None:
    name = " ".join(words)
    bare = "".join(c for c in unicodedata.normalize("NFD", name) if not unicodedata.combining(c))
    assert tokenize(name) == tokenize(bare.upper())
    assert set(tokenize(bare)) <= set(words_for([], name + ".mp3"))


@given(st.lists(latin, min_size=1, max_size=8))
def test_order_and_separators_of_words_do_not_matter(words: list[str]) -> None:
    assert set(tokenize(" ".join(words))) == set(tokenize("-_.".join(reversed(words))))


@given(texts, texts)
def test_what_stands_apart_is_tokenized_apart(one: str, other: str) -> None:
    assert set(tokenize(f"{one} {other}")) == set(tokenize(one)) | set(tokenize(other))


@given(st.text(st.sampled_from("東京物語日本アニメカ"), min_size=2, max_size=12), st.data())
def test_any_part_of_a_name_without_spaces_finds_it(name: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(name) - 2))
    end = data.draw(st.integers(start + 2, len(name)))
    assert set(tokenize(name[start:end])) <= set(tokenize(name))


@given(st.lists(texts, max_size=6), texts, texts, st.lists(texts, max_size=6))
def test_words_of_a_file(keywords: list[str], name: str, title: str, folders: list[str]) -> None:
    words = words_for(keywords, name, title, folders)
    assert len(words) == len(set(words)) <= MAX_WORDS
    first = tokenize(" ".join(keywords))
    assert list(words[: len(first)]) == first[:MAX_WORDS]
    assert words_for(words, "") == words, "words are words of themselves"


@given(st.lists(texts, max_size=4), texts, st.lists(texts, max_size=6))
def test_words_of_a_collection(keywords: list[str], name: str, paths: list[str]) -> None:
    words = collection_words(keywords, name, paths)
    assert len(words) == len(set(words)) <= MAX_WORDS
    own = tokenize(" ".join([*keywords, name]))
    assert list(words[: len(own)]) == own[:MAX_WORDS]


@given(texts)
def test_an_extension_is_short_and_plain(name: str) -> None:
    extension = extension_of(name)
    assert len(extension) <= 10
    assert extension == extension.lower()
    assert not extension or (extension.isascii() and extension.isalnum() and name.lower().endswith("." + extension))


@given(st.binary(min_size=4, max_size=4), texts)
def test_every_word_has_a_key(network: bytes, text: str) -> None:
    words = tokenize(text)
    assert len({keyword_key(network, word) for word in words}) == len(words)
