"""What each command's result says to people."""

from typing import Any

import pytest

from dhtshare.cli.blocks import Block
from dhtshare.cli.fetch import fetched
from dhtshare.cli.info import availability, described, is_path
from dhtshare.cli.lab import lab_view
from dhtshare.cli.library import items
from dhtshare.cli.plain import plain_lines
from dhtshare.cli.publish import published, receipt_sentence, unpublished
from dhtshare.cli.running import limits, stopped
from dhtshare.cli.search import hits
from dhtshare.cli.text import failed_view

HASH = "0123456789abcdef" * 4


def text(blocks: list[Block]) -> str:
    return "\n".join(plain_lines(blocks))


def hit(**changes: Any) -> dict[str, Any]:
    return {
        "hash": HASH,
        "link": f"dhtshare:{HASH}",
        "name": "Música.mp3",
        "names": ["Música.mp3"],
        "kind": "file",
        "size": 13_002_342,
        "publishers": 5,
        "providers": 3,
        **changes,
    }


def test_hits_are_numbered() -> None:
    found = {"query": ["x"], "results": [hit(), hit(kind="collection", name="Alben")], "nodes_asked": 7, "seconds": 0.2}
    assert text(hits(found)).splitlines() == [
        "#  name                           size  peers  publishers  hash",
        "1  Música.mp3                 12.4 MiB      3           5  0123456789ab",
        "2  Alben/  (also Música.mp3)  12.4 MiB      3           5  0123456789ab",
        "2 hits  (7 nodes asked, 0.20 s). Get one with: dhtshare fetch NUMBER",
    ]


def test_providers_that_nobody_counted_are_no_zero() -> None:
    [row] = hits({"results": [hit(providers=None)], "nodes_asked": 1, "seconds": 0})[0].rows  # type: ignore[union-attr]
    assert row[3] == "?"


def test_other_names_are_told_a_few_of_them() -> None:
    others = ["Música.mp3", "b", "c", "d"]
    assert "(also b, c …)" in text(hits({"results": [hit(names=others)], "nodes_asked": 1, "seconds": 0}))


def test_no_hit_tells_how_many_were_asked() -> None:
    assert text(hits({"results": [], "nodes_asked": 12, "seconds": 1.5})) == "No hits  (12 nodes asked, 1.50 s)"


RECEIPT = {"keys": 3, "acks": 40, "holders": 20, "verified": 18}


def test_a_published_file_and_folder() -> None:
    result = {
        "hash": HASH,
        "link": f"dhtshare:{HASH}",
        "name": "a.txt",
        "kind": "file",
        "size": 10,
        "files": 1,
        "chunks": 1,
        "keywords": ["one", "two"],
        "receipt": RECEIPT,
    }
    assert text(published(result)).splitlines() == [
        "a.txt  (10 B)",
        f"hash       {HASH}",
        f"link       dhtshare:{HASH}",
        "found by   one two",
        "announced  3 keys, 40 copies on 20 holders, 18 read back",
    ]
    assert "(3 files, 10 B)" in text(published({**result, "kind": "collection", "files": 3}))


@pytest.mark.parametrize(
    ("receipt", "says"),
    [
        (None, "in the background"),
        ({**RECEIPT, "holders": 0}, "none yet"),
        ({"keys": 1, "acks": 1, "holders": 1, "verified": 1}, "1 key, 1 copy on 1 holder, 1 read back"),
    ],
)
def test_receipts(receipt: dict[str, Any] | None, says: str) -> None:
    assert says in receipt_sentence(receipt)


def test_unpublishing_says_that_files_stay() -> None:
    assert "untouched" in text(unpublished({"hash": HASH}))


def fetch_result(**changes: Any) -> dict[str, Any]:
    sources = [
        {"address": "10.0.0.1:4470", "chunks": 1, "bytes": 1 << 20, "bad_chunks": 0},
        {"address": "10.0.0.2:4470", "chunks": 3, "bytes": 3 << 20, "bad_chunks": 1},
    ]
    return {
        "hash": HASH,
        "path": "/tmp/a",
        "size": 4 << 20,
        "seconds": 2.0,
        "downloaded": 4 << 20,
        "reused": 0,
        "discarded": 0,
        "sources": sources,
        **changes,
    }


def test_a_fetch_tells_who_gave_what_the_most_first() -> None:
    assert text(fetched(fetch_result())).splitlines() == [
        "/tmp/a",
        "4.0 MiB in 2.00 s, 2.0 MiB/s",
        "from           chunks    bytes  bad",
        "10.0.0.2:4470       3  3.0 MiB    1",
        "10.0.0.1:4470       1  1.0 MiB",
    ]


def test_a_fetch_of_what_was_here_already() -> None:
    said = text(fetched(fetch_result(downloaded=0, reused=4 << 20, discarded=1, sources=[], seconds=0.0)))
    assert said == "/tmp/a\n4.0 MiB in 0.00 s, 4.0 MiB of it were here already, 1 B thrown away"


def test_info_of_a_collection() -> None:
    result = {
        "hash": HASH,
        "link": "dhtshare:x",
        "name": "docs",
        "kind": "collection",
        "size": 5,
        "files": 1,
        "chunks": 1,
        "providers": 2,
        "full_copies": 1,
        "rarest": 1,
        "keywords": ["docs"],
        "entries": [{"path": "a.txt", "size": 5}, {"path": "empty/"}],
    }
    said = text(described(result)).splitlines()
    assert said[0] == "docs"
    assert "available  2 peers answered: 1 full copy, rarest chunk 1 time" in said
    assert said[-3:] == ["path    size", "a.txt    5 B", "empty/"]
    assert "available" not in text(described({**result, "providers": None}))
    assert availability({"providers": 0}) == "0 peers answered"


def test_below_one_copy_info_says_which_part_is_missing() -> None:
    result = {
        "providers": 1,
        "full_copies": 0,
        "rarest": 0,
        "chunks": 9,
        "missing_everywhere": 3,
        "missing": [{"begin": 0, "end": 2 << 20}, {"path": "a\x1b.bin", "begin": 0, "end": 1 << 20}],
    }
    said = availability(result)
    assert said.startswith("1 peer answered: 0 full copies, nobody has 3 chunks of 9 (0 B to 2.0 MiB, ")
    assert "\x1b" not in said
    assert availability({**result, "missing": [{"begin": 0, "end": 1}] * 4}).endswith(", …)")


@pytest.mark.parametrize("target", [HASH, HASH.upper(), f"dhtshare:{HASH}", "dhtshare:new-form", "7", "0012"])
def test_what_is_no_path(target: str) -> None:
    assert not is_path(target)


@pytest.mark.parametrize("target", ["./7", "a.txt", "/x", HASH[:-1], HASH + "0", "g" * 64, "٧", ""])
def test_what_is_a_path(target: str) -> None:
    assert is_path(target)


def test_the_library() -> None:
    item = {"hash": HASH, "name": "a", "kind": "collection", "size": None, "state": "shared", "path": None}
    assert text(items({"items": [item]})).splitlines() == [
        "name  size  state   hash          path",
        "a/     0 B  shared  0123456789ab",
        "1 item",
    ]
    assert "empty" in text(items({"items": []}))


def test_limits_and_stop() -> None:
    assert "unlimited" in text(limits({"max_upload": 0, "max_download": 1}))
    assert "7" in text(stopped({"pid": 7}))


def test_the_lab() -> None:
    result = {
        "nodes": 500,
        "success": 1.0,
        "first_ms": {"p50": 90.0, "p95": 200.5},
        "complete_ms": {"p50": 300, "p95": 900},
    }
    assert text(lab_view(result)).splitlines() == [
        "nodes    500",
        "success  1",
        "ms        p50    p95",
        "first      90  200.5",
        "complete  300    900",
    ]
    assert text(lab_view({"nodes": 2})) == "nodes  2"


def test_a_failed_target_of_several() -> None:
    assert text(failed_view({"target": "x", "error": {"code": 4, "message": "Nobody."}})) == "x: Nobody."
