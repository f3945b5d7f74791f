"""What people type must find what others named, in any script."""

from __future__ import annotations

import pytest

from dhtshare.content.keywords import (
    MAX_WORD_BYTES,
    MAX_WORDS,
    collection_words,
    content_key,
    extension_of,
    keyword_key,
    tokenize,
    words_for,
)
from dhtshare.network import network_id


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("", [], id="nothing"),
        pytest.param("  -- !? ", [], id="only signs"),
        pytest.param("Música Popular – 01", ["musica", "popular", "01"], id="Portuguese"),
        pytest.param("MUSICA popular", ["musica", "popular"], id="the same without accents, in capitals"),
        pytest.param("Mu\u0301sica", ["musica"], id="decomposed"),
        pytest.param("Ångström Façade Žižek", ["angstrom", "facade", "zizek"], id="marks of many languages"),
        pytest.param("Łódź Ørsted Đurić", ["łodz", "ørsted", "đuric"], id="strokes are no marks"),
        pytest.param("Straße STRASSE", ["strasse"], id="German sharp s"),
        pytest.param("İstanbul ISTANBUL", ["istanbul"], id="Turkish dotted I"),
        pytest.param("ﬁle ｆｕｌｌ ①", ["file", "full", "1"], id="compatibility forms"),
        pytest.param("Tiếng Việt", ["tieng", "viet"], id="two marks on one letter"),
        pytest.param("Ελληνική μουσική", ["ελληνικη", "μουσικη"], id="Greek"),
        pytest.param("ΟΔΥΣΣΕΥΣ Οδυσσεύς", ["οδυσσευσ"], id="final sigma"),
        pytest.param("Ёлка Й", ["елка", "и"], id="Cyrillic, single letters kept"),
        pytest.param("हिन्दी गीत", ["हिन्दी", "गीत"], id="Hindi vowel signs stay"),
        pytest.param("שָׁלוֹם", ["שָׁלוֹם"], id="Hebrew points stay"),
        pytest.param("العَرَبِيَّة", ["العَرَبِيَّة"], id="Arabic marks stay"),
        pytest.param("한국어 노래", ["한국어", "노래"], id="Korean has spaces"),
        pytest.param("東京物語", ["東京", "京物", "物語"], id="Han in pairs"),
        pytest.param("東", ["東"], id="a run of one"),
        pytest.param("日本のアニメ", ["日本", "本の", "のア", "アニ", "ニメ"], id="Han and Kana are one run"),
        pytest.param("ｱﾆﾒ ガ", ["アニ", "ニメ", "ガ"], id="half-width Kana"),
        pytest.param("か\u3099く", ["がく"], id="a voiced mark joins its Kana"),
        pytest.param("ラーメン・カレー", ["ラー", "ーメ", "メン", "カレ", "レー"], id="a middle dot separates"),
        pytest.param("佐々木", ["佐々", "々木"], id="an iteration mark belongs to Han"),
        pytest.param("ไทย", ["ไท", "ทย"], id="Thai in pairs"),
        pytest.param("第1話abc東京", ["第", "1", "話", "abc", "東京"], id="runs end where other letters begin"),
        pytest.param("a B c é 7 x1", ["7", "x1"], id="single Latin letters are no words"),
        pytest.param("don't rock'n'roll", ["don", "rock", "roll"], id="apostrophes separate"),
        pytest.param("under_score-hyphen.dot", ["under", "score", "hyphen", "dot"], id="signs separate"),
        pytest.param("one two ONE", ["one", "two"], id="each word once, in order"),
        pytest.param("½ 10⁶", ["1", "2", "106"], id="fractions and powers"),
        pytest.param("☀\ufe0f \u0301", [], id="marks alone are no words"),
        pytest.param("a\u200bb", [], id="a zero-width space separates"),
        pytest.param("\ud800x1\x00y2\n", ["x1", "y2"], id="what is no text separates"),
    ],
)
def test_tokenize(text: str, words: list[str]) -> None:
    assert tokenize(text) == words


def test_search_musica_finds_the_song() -> None:
    song = words_for([], "Música Popular – 01.mp3")
    assert song == ("musica", "popular", "01")
    assert set(tokenize("musica")) <= set(song)
    assert set(tokenize("POPULAR Musica")) <= set(song)


def test_a_chinese_query_without_spaces_finds_part_of_a_name() -> None:
    assert set(tokenize("京物語")) <= set(words_for([], "東京物語.mkv"))


@pytest.mark.parametrize(
    ("name", "extension"),
    [
        ("song.mp3", "mp3"),
        ("SONG.MP3", "mp3"),
        ("a.tar.gz", "gz"),
        ("x.7z", "7z"),
        ("x.torrent", "torrent"),
        ("version 1.5", ""),  # no letter in it
        ("part.001", ""),
        ("noextension", ""),
        (".bashrc", ""),  # a name, not an extension
        ("..mp3", "mp3"),
        ("dot.", ""),
        ("", ""),
        ("Mr. Smith goes home", ""),
        ("x.thisislonger", ""),
        ("x.tenletters", "tenletters"),
        ("x.mü3", ""),
        ("x.mp3\n", ""),
        ("new\nline.mp3", "mp3"),
    ],
)
def test_extensions(name: str, extension: str) -> None:
    assert extension_of(name) == extension


def test_the_extension_is_a_filter_not_a_word() -> None:
    assert words_for([], "live.mp3") == ("live",)
    assert words_for([], "version 1.5") == ("version", "1", "5")
    assert words_for([], "archive.tar.gz") == ("archive", "tar")


def test_words_come_from_keywords_name_title_and_folders_in_that_order() -> None:
    words = words_for(["Fado ao vivo", "Lisboa"], "01 Fado.mp3", "Title, ao", ["Album.zip", "Música"])
    assert words == ("fado", "ao", "vivo", "lisboa", "01", "title", "album", "zip", "musica")


def test_no_more_than_32_words() -> None:
    many = [f"word{number}" for number in range(40)]
    assert words_for(many, "name") == tuple(many[:MAX_WORDS])
    assert words_for(many[:31], "first second") == (*many[:31], "first")
    assert MAX_WORDS == 32


@pytest.mark.parametrize("letter", ["x", "ж", "ह"])
def test_long_words_are_cut_between_characters_and_find_themselves(letter: str) -> None:
    (word,) = tokenize(letter * 100)
    assert word == letter * (MAX_WORD_BYTES // len(letter.encode()))
    assert tokenize(word) == [word]


def test_a_collection_fills_its_words_from_folders_and_files() -> None:
    paths = ["CD1/01 Abertura.flac", "CD1/02 Final.flac", "scans.zip/", "readme.txt"]
    words = collection_words(["fado"], "Best of. Vol.mp3", paths)
    # The collection is a folder: what looks like its extension is a word, as for folders inside.
    assert words == (
        "fado",
        "best",
        "of",
        "vol",
        "mp3",
        "cd1",
        "01",
        "abertura",
        "02",
        "final",
        "scans",
        "zip",
        "readme",
    )


def test_a_huge_collection_is_not_read_further_than_needed() -> None:
    read = 0

    def paths() -> object:
        nonlocal read
        for number in range(100_000):
            read += 1
            yield f"file{number}"

    assert len(collection_words([], "all", paths())) == MAX_WORDS  # type: ignore[arg-type]
    assert read <= MAX_WORDS


def test_keys_are_20_bytes_and_depend_on_network_and_purpose() -> None:
    one, other = network_id("dhtshare"), network_id("other")
    keys = {keyword_key(one, "fado"), keyword_key(other, "fado"), keyword_key(one, "lisboa"), content_key(one, b"fado")}
    assert len(keys) == 4
    assert {len(key) for key in keys} == {20}
