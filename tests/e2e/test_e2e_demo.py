"""`dhtshare demo`: it ends with ok, shows what it did, and leaves neither process nor file behind."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from dhtshare.cli.demo.leftovers import LOCK, PREFIX, remove_dead
from tests.processes import Home, Network, eventually, left_behind, marked

SMALL = ("--size", "12M", "--seeds", "3")


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where the demo makes its folder."""
    place = tmp_path / "tmp"
    place.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    return place


def _nothing_is_left(network: Network, place: Path) -> bool:
    return not list(place.iterdir()) and not left_behind(network.name)


def test_the_demo_tells_its_figures(home: Home, network: Network, place: Path) -> None:
    done = home.run("demo", *SMALL, timeout=120)
    result = done.result
    assert result["ok"] is True
    assert result["nodes"] == 5
    assert [search["words"] for search in result["searches"]] == [["demo"], ["demo", "noise"]]
    assert result["searches"][1]["hits"] == 1
    assert result["fetch"]["size"] == 12 << 20
    assert sum(source["bytes"] for source in result["fetch"]["sources"]) == 12 << 20
    assert result["fetch"]["identical"] is True
    assert 0 < result["folder"]["files"] < result["folder"]["of"]
    assert {event["event"] for event in done.events} >= {"generated", "node", "published", "searched", "fetched"}
    assert not home.path.exists(), "the user's home is not touched"
    assert _nothing_is_left(network, place)


def test_given_paths_are_published_and_people_read_a_table(home: Home, network: Network, place: Path) -> None:
    (home.cwd / "my song.ogg").write_bytes(b"la la la")
    folder = home.cwd / "my album"
    folder.mkdir()
    for name in ("one.txt", "two.txt", "cover.jpg"):
        (folder / name).write_text(name)
    done = home.run("demo", *SMALL, "my song.ogg", "my album", json_output=False, timeout=120)
    assert done.stdout.splitlines()[-1].startswith("OK: 5 nodes, 3 items published")
    assert "seed-1" in done.stdout
    assert "Fetched 2 files of the folder my album/ with --only '**.txt'" in done.stderr
    assert _nothing_is_left(network, place)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_midway_leaves_nothing(home: Home, network: Network, place: Path, number: signal.Signals) -> None:
    running = home.start("demo", *SMALL)
    running.wait_for_event("node")
    running.signal(number)
    done = running.finish()
    assert done.code == 130
    assert done.result["error"]["code"] == 130
    assert _nothing_is_left(network, place)


def test_the_nodes_of_a_demo_that_is_killed_go_with_it(home: Home, network: Network, place: Path) -> None:
    running = home.start("demo", *SMALL)
    running.wait_for_event("published", timeout=60)
    nodes = set(marked(network.name)) - {running.process.pid}
    assert len(nodes) >= 5
    running.kill()
    assert eventually(lambda: not marked(network.name))


def test_the_next_demo_removes_what_a_killed_one_left(home: Home, network: Network, place: Path) -> None:
    """And no folder of one that lives, or that nobody has locked yet."""
    killed, living = home.start("demo", *SMALL, "--keep"), home.start("demo", *SMALL, "--keep")
    for running in (killed, living):
        running.wait_for_event("node", timeout=60)
    folders = set(place.iterdir())
    assert len(folders) == 2
    (place / f"{PREFIX}mine").mkdir()
    for folder in folders:
        os.utime(folder / LOCK, (1, 1))  # they are no longer young
    killed.kill()
    assert eventually(lambda: remove_dead([place]) == 1), "once its nodes are gone, too"
    left = set(place.iterdir())
    assert left - folders == {place / f"{PREFIX}mine"}
    assert len(left & folders) == 1
    living.wait_for(lambda line: "ok" in line, timeout=120)
    living.signal(signal.SIGINT)
    assert living.finish().code == 0


def test_a_kept_network_can_be_talked_to(home: Home, network: Network, place: Path, tmp_path: Path) -> None:
    running = home.start("demo", *SMALL, "--keep")
    result = running.wait_for(lambda line: "ok" in line, timeout=120)
    (tmp_path / "another terminal").mkdir()
    there = Network(tmp_path / "another terminal", result["network"]).home()
    there.path = Path(result["kept"]["home"])
    assert there.run("search", "demo").result["results"]
    running.signal(signal.SIGINT)
    assert running.finish().code == 0
    assert _nothing_is_left(network, place)


@pytest.mark.parametrize("arguments", [["--seeds", "2"], ["--size", "0"], ["--size", "big"], ["nowhere.txt"]])
def test_bad_usage_of_the_demo(home: Home, arguments: list[str]) -> None:
    home.run("demo", *arguments, code=2)
