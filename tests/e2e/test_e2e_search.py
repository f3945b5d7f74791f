"""Keyword search as people expect it, through the running nodes of a network."""

from __future__ import annotations

import json

import pytest

from tests.e2e.conftest import MakeFile
from tests.processes import Node


def _names(node: Node, *arguments: object) -> set[str]:
    return {hit["name"] for hit in node.run("search", *arguments).result["results"]}


def test_case_marks_and_order_do_not_matter(nodes: list[Node], make_file: MakeFile) -> None:
    path = make_file("Música Popular – 01.mp3")
    nodes[1].run("publish", path)
    for words in (["musica"], ["MÚSICA"], ["popular", "música"], ["música", "popular", "01"]):
        assert path.name in _names(nodes[2], *words)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Ελληνική μουσική.ogg", ["ελληνικη"]),
        ("हिन्दी गीत.mp3", ["गीत"]),
        ("北京欢迎你.mp3", ["北京"]),
        ("北京欢迎你 二.mp3", ["欢迎你"]),
        ("さくらの花.txt", ["さくら"]),
        ("Ärger größer.txt", ["arger", "GRÖSSER"]),
        ("Война и мир.fb2", ["война", "мир"]),
    ],
)
def test_any_script_works(nodes: list[Node], make_file: MakeFile, name: str, words: list[str]) -> None:
    path = make_file(name)
    published = nodes[1].run("publish", path).result
    assert published["name"] == name
    assert name in _names(nodes[3], *words)


def test_all_words_must_match(nodes: list[Node], make_file: MakeFile) -> None:
    nodes[1].run("publish", make_file("alpha beta.txt"), make_file("alpha gamma.txt"))
    assert _names(nodes[2], "alpha") >= {"alpha beta.txt", "alpha gamma.txt"}
    assert _names(nodes[2], "alpha", "gamma") == {"alpha gamma.txt"}
    assert nodes[2].run("search", "beta", "gamma", code=4).result["results"] == []


def test_filters_are_applied(nodes: list[Node], make_file: MakeFile) -> None:
    small, large = make_file("filter small.txt", 100), make_file("filter large.dat", 5000)
    folder = make_file("filter folder/inside.txt").parent
    nodes[1].run("publish", small, large, folder)
    everything = _names(nodes[2], "filter")
    assert everything == {small.name, large.name, folder.name}
    assert _names(nodes[2], "filter", "--ext", "TXT") == {small.name}
    assert _names(nodes[2], "filter", "--kind", "collection") == {folder.name}
    assert _names(nodes[2], "filter", "--kind", "file", "--min-size", 101) == {large.name}
    assert _names(nodes[2], "filter", "--kind", "file", "--max-size", "1K") == {small.name}


def test_nothing_found_says_who_was_asked_and_exits_4(nodes: list[Node]) -> None:
    done = nodes[2].run("search", "unheardofword", code=4)
    assert done.result["results"] == []
    assert done.result["nodes_asked"] >= 1
    assert "unheardofword" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_row_number_of_the_last_search_is_a_target(nodes: list[Node], make_file: MakeFile) -> None:
    nodes[1].run("publish", *[make_file(f"rowing {letter}{letter}.txt") for letter in "abc"])
    rows = nodes[2].run("search", "rowing").result["results"]
    assert len(rows) == 3
    fetched = nodes[2].run("fetch", 2, "-o", "rows").result
    assert fetched["hash"] == rows[1]["hash"]
    assert fetched["path"] == str(nodes[2].home.cwd / "rows" / rows[1]["name"])
    failed = nodes[2].run("fetch", 4, code=2)
    assert failed.result["error"]["code"] == 2


def test_many_hits_are_all_reachable_with_limit(nodes: list[Node], make_file: MakeFile) -> None:
    paths = [make_file(f"plenty {number:03}.txt", 20 + number) for number in range(120)]
    results = nodes[1].run("publish", *paths, timeout=120).results
    assert len(results) == 120
    assert all(result["receipt"]["acks"] > 0 for result in results)
    assert _names(nodes[3], "plenty", "--limit", 500) == {path.name for path in paths}
    assert len(nodes[3].run("search", "plenty", "--limit", 7).result["results"]) == 7


def test_hits_stream_before_the_result(nodes: list[Node], make_file: MakeFile) -> None:
    published = nodes[1].run("publish", make_file("streaming heron.txt")).result
    done = nodes[2].run("search", "heron")
    assert [event["hash"] for event in done.events if event["event"] == "hit"] == [published["hash"]]
    assert "event" not in done.lines[-1]


def test_a_collection_is_found_by_the_names_in_it(nodes: list[Node], make_file: MakeFile) -> None:
    folder = make_file("Holiday album/Funchal/harbour.jpg").parents[1]
    published = nodes[1].run("publish", folder).result
    for word in ("holiday", "funchal", "harbour"):
        hashes = {hit["hash"] for hit in nodes[2].run("search", word, "--kind", "collection").result["results"]}
        assert published["hash"] in hashes


def test_hostile_names_are_exact_in_json_and_harmless_as_text(nodes: list[Node], make_file: MakeFile) -> None:
    name = "evil \x1b[31m \u202egpj.exe \u200b widget"
    nodes[1].run("publish", make_file(name))
    done = nodes[2].run("search", "widget")
    assert done.stdout.isascii()
    [hit] = done.result["results"]
    assert json.dumps(hit["name"]).isascii()
    text = nodes[2].run("search", "widget", json_output=False)
    for shown in (text.stdout, text.stderr):
        assert not {"\x1b", "\u202e", "\u200b"} & set(shown)
    assert "widget" in text.stdout
