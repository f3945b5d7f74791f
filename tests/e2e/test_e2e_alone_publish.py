"""Publishing before anybody else is there: a warning, no failure, and found by who comes later."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.processes import Network, eventually


def test_a_publish_alone_warns_and_is_found_by_who_comes_later(network: Network, make_file: Any) -> None:
    first = network.node()
    path: Path = make_file("early walrus.bin", 1000)
    done = first.run("publish", path)
    assert "No other node is known yet" in done.stderr + done.stdout
    assert done.result["receipt"]["acks"] == 0
    second = network.node()
    assert eventually(lambda: bool(second.run("search", "walrus", code=None).result["results"]))
    found = second.run("search", "walrus").result["results"]
    assert [hit["name"] for hit in found] == ["early walrus.bin"]
    fetched = second.run("fetch", 1, "-o", "out").result
    assert Path(fetched["path"]).read_bytes() == path.read_bytes()
