"""The main job between separate processes: publish by word, find by word, fetch by hash, from everyone, verified."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.conftest import MakeFile
from tests.processes import Network, Node

MIB = 1 << 20


def test_a_published_file_is_found_by_word_and_fetched_whole(nodes: list[Node], make_file: MakeFile) -> None:
    path = make_file("Amanhã Lisbon guide.txt", 3 * MIB + 1)  # four chunks, the last of one byte
    published = nodes[1].run("publish", path, "-k", "travel").result
    assert published["name"] == path.name
    assert (published["kind"], published["size"], published["files"]) == ("file", path.stat().st_size, 1)
    assert published["chunks"] == 4
    assert {"travel", "amanha", "lisbon", "guide"} == set(published["keywords"])
    receipt = published["receipt"]
    assert receipt["keys"] == 5  # four words and the content itself
    assert receipt["holders"] >= 2
    assert receipt["acks"] >= receipt["keys"]
    assert receipt["verified"] >= 1

    found = nodes[3].run("search", "lisbon", "AMANHA").result
    assert found["query"] == ["lisbon", "amanha"]
    assert found["nodes_asked"] >= 1
    [hit] = found["results"]
    assert hit["hash"] == published["hash"]
    assert (hit["name"], hit["kind"], hit["size"]) == (path.name, "file", path.stat().st_size)
    assert (hit["publishers"], hit["providers"]) == (1, 1)

    fetched = nodes[3].run("fetch", hit["hash"], "-o", "out").result
    target = nodes[3].home.cwd / "out" / path.name
    assert fetched["path"] == str(target)
    assert target.read_bytes() == path.read_bytes()
    assert fetched["hash"] == hit["hash"]
    assert (fetched["size"], fetched["downloaded"]) == (path.stat().st_size, path.stat().st_size)
    assert (fetched["reused"], fetched["discarded"]) == (0, 0)
    assert 0 < fetched["seconds"] < 60
    assert fetched["sources"] == [
        {"address": nodes[1].address, "chunks": 4, "bytes": path.stat().st_size, "bad_chunks": 0, "incoming": False}
    ]
    assert [entry.name for entry in target.parent.iterdir()] == [path.name], "only the content is left"


def test_publishing_copies_nothing(nodes: list[Node], make_file: MakeFile) -> None:
    path = make_file("in place.bin", 8 * MIB)

    def used() -> int:
        return sum(file.stat().st_size for file in nodes[1].home.path.rglob("*") if file.is_file())

    before = used()
    nodes[1].run("publish", path)
    assert used() - before < MIB


def test_one_content_of_three_publishers_is_one_hit_and_comes_from_all(nodes: list[Node], make_file: MakeFile) -> None:
    path = make_file("quartet zebra.bin", 64 * MIB)
    other = path.with_name("quartet renamed zebra.bin")
    other.hardlink_to(path)
    hashes = {node.run("publish", file).result["hash"] for node, file in zip(nodes, [path, path, other], strict=False)}
    assert len(hashes) == 1, "a file's hash depends on its bytes alone"

    [hit] = nodes[3].run("search", "zebra").result["results"]
    assert (hit["publishers"], hit["providers"]) == (3, 3)
    assert {hit["name"], *hit["names"]} == {path.name, other.name}

    fetched = nodes[3].run("fetch", *hashes, "-o", "three").result
    assert Path(fetched["path"]).read_bytes() == path.read_bytes()
    giving = [source for source in fetched["sources"] if source["chunks"]]
    assert sum(source["chunks"] for source in giving) == 64
    assert sum(source["bytes"] for source in giving) == fetched["downloaded"]
    assert {source["address"] for source in giving} <= {node.address for node in nodes[:3]}
    assert len(giving) >= 2


def test_who_fetched_is_a_seed(shared_network: Network, nodes: list[Node], make_file: MakeFile) -> None:
    path = make_file("chain letter.bin", 2 * MIB)
    published = nodes[0].run("publish", path).result
    nodes[1].run("fetch", published["hash"], "-o", "chain")
    nodes[0].run("unpublish", published["hash"])
    reader = shared_network.node()
    fetched = reader.run("fetch", published["hash"], "-o", "chain").result
    assert [source["address"] for source in fetched["sources"] if source["chunks"]] == [nodes[1].address]
    assert Path(fetched["path"]).read_bytes() == path.read_bytes()
    reader.stop()


def test_no_seed_neither_announces_nor_keeps(nodes: list[Node], make_file: MakeFile) -> None:
    published = nodes[0].run("publish", make_file("selfish owl.bin")).result
    nodes[2].run("fetch", published["hash"], "-o", "selfish", "--no-seed")
    assert published["hash"] not in {item["hash"] for item in nodes[2].run("list").result["items"]}
    [hit] = nodes[3].run("search", "selfish").result["results"]
    assert hit["providers"] == 1


def test_a_link_alone_is_enough(nodes: list[Node], make_file: MakeFile, shared_network: Network) -> None:
    path = make_file("linked & named=so.txt")
    link = nodes[1].run("publish", path).result["link"]
    assert link.startswith("dhtshare:")
    assert f"net={shared_network.name}" in link
    assert "peer=" in link
    stranger = shared_network.home()
    fetched = stranger.run("fetch", link, "--no-lan").result  # no bootstrap: the hint in the link is all it has
    assert Path(fetched["path"]) == stranger.cwd / path.name
    assert Path(fetched["path"]).read_bytes() == path.read_bytes()


def test_a_peer_named_by_hand_is_enough(nodes: list[Node], make_file: MakeFile, shared_network: Network) -> None:
    path = make_file("by hand.txt")
    published = nodes[1].run("publish", path).result
    stranger = shared_network.home()
    fetched = stranger.run("fetch", published["hash"], "--peer", nodes[1].address, "--no-lan").result
    assert Path(fetched["path"]).read_bytes() == path.read_bytes()
    assert Path(fetched["path"]).name == path.name, "for a bare hash it is what the serving peer calls it"


def test_another_peer_than_the_named_one_is_refused(
    nodes: list[Node], make_file: MakeFile, shared_network: Network
) -> None:
    published = nodes[1].run("publish", make_file("named peer.txt")).result
    stranger = shared_network.home()
    wrong = "ab" * 32
    failed = stranger.run(
        "fetch", published["hash"], "--peer", f"{wrong}@{nodes[1].address}", "--no-lan", "--timeout", 5, code=6
    )
    assert failed.result["error"]["code"] == 6
    assert list(stranger.cwd.iterdir()) == []


def test_info_tells_without_fetching(nodes: list[Node], make_file: MakeFile) -> None:
    path = make_file("informative.bin", MIB + 1)
    published = nodes[1].run("publish", path).result
    told = nodes[3].run("info", published["hash"]).result
    for field in ("hash", "kind", "size", "files", "chunks"):
        assert told[field] == published[field]
    assert told["providers"] == 1
    here = nodes[3].run("info", path).result
    assert here["hash"] == published["hash"]


def test_several_targets_give_one_result_each_in_order(nodes: list[Node], make_file: MakeFile) -> None:
    paths = [make_file(f"several {number}.txt") for number in range(3)]
    published = nodes[1].run("publish", *paths).results
    assert [result["name"] for result in published] == [path.name for path in paths]
    hashes = [result["hash"] for result in published]
    unknown = "0" * 64
    fetched = nodes[2].run("fetch", hashes[2], unknown, hashes[0], "--timeout", 3, "-o", "some", code=3)
    first, failed, last = fetched.results
    assert (first["hash"], last["hash"]) == (hashes[2], hashes[0])
    assert failed["target"] == unknown
    assert failed["error"]["code"] == 4


def test_an_empty_file_has_a_hash_and_arrives(nodes: list[Node], make_file: MakeFile) -> None:
    published = nodes[1].run("publish", make_file("empty vessel.txt", 0)).result
    assert (published["size"], published["chunks"]) == (0, 0)
    fetched = nodes[2].run("fetch", published["hash"], "-o", "empty").result
    assert Path(fetched["path"]).read_bytes() == b""


@pytest.mark.parametrize("size", [1, MIB - 1, MIB, MIB + 1])  # one byte; one chunk less one; one chunk; two chunks
def test_sizes_around_a_chunk(nodes: list[Node], make_file: MakeFile, size: int) -> None:
    path = make_file(f"edge {size}.bin", size)
    published = nodes[1].run("publish", path).result
    fetched = nodes[2].run("fetch", published["hash"], "-o", "edges").result
    assert Path(fetched["path"]).read_bytes() == path.read_bytes()


def test_sequential_fetches_the_same_bytes(nodes: list[Node], make_file: MakeFile) -> None:
    path = make_file("film.mkv", 5 * MIB)
    published = nodes[1].run("publish", path).result
    fetched = nodes[2].run("fetch", published["hash"], "-o", "film", "--sequential").result
    assert Path(fetched["path"]).read_bytes() == path.read_bytes()
