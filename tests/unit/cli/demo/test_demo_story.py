"""The story of a demo over a stand-in network: it ends only when everything was as published."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dhtshare.cli.demo.material import Material
from dhtshare.cli.demo.story import Story
from dhtshare.cli.demo.view import demo_view
from dhtshare.cli.plain import plain_lines
from dhtshare.errors import IntegrityError, NetworkError, NotFoundError

JsonObject = dict[str, Any]


class FakeNode:
    def __init__(self, name: str, number: int) -> None:
        self.name = name
        self.address = f"127.0.0.1:{number}"
        self.home = Path("/nowhere")

    def wait_until_ready(self) -> None:
        pass


class FakeAsked:
    def __init__(self, results: list[JsonObject]) -> None:
        self._results = results

    def results(self) -> list[JsonObject]:
        return self._results

    def result(self) -> JsonObject:
        return self._results[-1]


class FakeNetwork:
    """Copies files where a real network would fetch them. `lose`, `spoil` and `givers` make it fail."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = "demo-fake"
        self.nodes: list[FakeNode] = []
        self.published: dict[str, Path] = {}
        self.asked: list[tuple[str, ...]] = []
        self.lose = ""
        self.spoil = ""
        self.givers = 2

    def start_node(self, name: str, bootstrap: str | None = None) -> FakeNode:
        assert (bootstrap is None) == (name == "bootstrap")
        self.nodes.append(FakeNode(name, 1000 + len(self.nodes)))
        return self.nodes[-1]

    def ask(self, node: FakeNode, *arguments: str, on_event: Callable[[JsonObject], None] | None = None) -> FakeAsked:
        self.asked.append((node.name, *arguments))
        if on_event is not None:
            on_event({"event": "progress", "done": 1, "total": 2})
            on_event({"event": "peer", "address": "127.0.0.1:1001"})
        return FakeAsked(getattr(self, f"_{arguments[0]}")(*arguments[1:]))

    def _publish(self, *arguments: str) -> list[JsonObject]:
        results = []
        for path in map(Path, arguments[2:]):
            content_hash = path.name.encode().hex().ljust(64, "0")[:64]
            self.published[content_hash] = path
            results.append({"hash": content_hash, "receipt": {"acks": 5}})
        return results

    def _search(self, *arguments: str) -> list[JsonObject]:
        words = arguments[2:]
        hits = [
            {"hash": content_hash, "name": path.name, "publishers": 4}
            for content_hash, path in self.published.items()
            if path.name != self.lose and (len(words) == 1 or path.name.startswith(words[1]))
        ]
        return [{"results": hits, "nodes_asked": 5}]

    def _fetch(self, *arguments: str) -> list[JsonObject]:
        output, content_hash = Path(arguments[1]), arguments[-1]
        source = self.published[content_hash]
        output.mkdir(parents=True)
        target = output / source.name
        if source.is_dir():
            shutil.copytree(source, target, ignore=lambda _, names: [n for n in names if n.endswith(".txt")])
        else:
            shutil.copy(source, target)
        if source.name == self.spoil:
            for file in [target] if target.is_file() else list(target.iterdir()):
                file.write_bytes(b"other bytes")
        sources = [
            {"address": f"127.0.0.1:{1001 + number}", "chunks": 3 if number < self.givers else 0, "bytes": 3000}
            for number in range(4)
        ]
        return [{"path": str(target), "size": 9, "seconds": 0.5, "downloaded": 9, "sources": sources}]


@pytest.fixture
def network(tmp_path: Path) -> FakeNetwork:
    (tmp_path / "net").mkdir()
    return FakeNetwork(tmp_path / "net")


@pytest.fixture
def events() -> list[JsonObject]:
    return []


@pytest.fixture
def story(network: FakeNetwork, tmp_path: Path, events: list[JsonObject]) -> Story:
    (tmp_path / "real.dat").write_bytes(b"real")
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("a.py", "b.py", "c.txt"):
        (folder / name).write_text(name)
    material = Material((tmp_path / "real.dat",), (folder,))
    return Story(network, material, seeds=4, big_size=1000, emit=events.append)  # type: ignore[arg-type]


def test_a_story_that_ends_is_ok_and_has_the_figures(story: Story, network: FakeNetwork) -> None:
    result = story.tell()
    assert result["ok"] is True
    assert result["nodes"] == 6
    assert result["published"] == 3
    assert [search["words"] for search in result["searches"]] == [["demo"], ["demo", "noise"]]
    assert [search["hits"] for search in result["searches"]] == [3, 1]
    assert [source["node"] for source in result["fetch"]["sources"]] == ["seed-1", "seed-2", "seed-3", "seed-4"]
    assert result["fetch"]["bytes_per_second"] == 18
    assert result["files"] == {"files": 1, "size": 9, "identical": True}
    assert result["folder"] == {"only": "**.py", "files": 2, "of": 3, "size": 9, "identical": True}


def test_the_big_file_comes_from_all_seeds_and_the_rest_from_two(story: Story, network: FakeNetwork) -> None:
    story.tell()
    published = [call for call in network.asked if call[1] == "publish"]
    assert [call[0] for call in published] == ["seed-1", "seed-2", "seed-3", "seed-4"]
    assert all(call[4].endswith("noise 1000 B.bin") for call in published)
    rest = [Path(path).name for call in published for path in call[5:]]
    assert sorted(rest) == ["folder", "folder", "real.dat", "real.dat"]


def test_searches_and_fetches_are_asked_of_another_node(story: Story, network: FakeNetwork) -> None:
    story.tell()
    assert {call[0] for call in network.asked if call[1] in ("search", "fetch")} == {"reader"}


def test_progress_is_passed_on_under_the_files_name(story: Story, events: list[JsonObject]) -> None:
    story.tell()
    progress = [event for event in events if event["event"] == "progress"]
    assert [event["name"] for event in progress] == ["noise 1000 B.bin", "real.dat", "folder"]
    assert not [event for event in events if event["event"] == "peer"]
    assert all(event["message"] for event in events if event["event"] != "progress")


def test_a_search_that_misses_something_fails(story: Story, network: FakeNetwork) -> None:
    network.lose = "real.dat"
    with pytest.raises(NotFoundError, match=r"did not find real\.dat"):
        story.tell()


@pytest.mark.parametrize("name", ["noise 1000 B.bin", "real.dat", "folder"])
def test_a_wrong_byte_anywhere_fails(story: Story, network: FakeNetwork, name: str) -> None:
    network.spoil = name
    with pytest.raises(IntegrityError):
        story.tell()


def test_one_giver_is_not_everyone_at_once(story: Story, network: FakeNetwork) -> None:
    network.givers = 1
    with pytest.raises(NetworkError, match="Only 1 seed of 4"):
        story.tell()


def test_a_missing_file_of_the_folder_fails(
    story: Story, network: FakeNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch = network._fetch

    def lossy(*arguments: str) -> list[JsonObject]:
        results = fetch(*arguments)
        path = Path(results[0]["path"])
        if path.is_dir():
            (path / "a.py").unlink()
        return results

    monkeypatch.setattr(network, "_fetch", lossy)
    with pytest.raises(IntegrityError, match="is not what"):
        story.tell()


def test_people_see_who_gave_what_and_the_verdict(story: Story) -> None:
    lines = list(plain_lines(demo_view(story.tell())))
    assert lines[0] == "Who gave what of 9 B:"
    assert [line.split()[0] for line in lines[2:6]] == ["seed-1", "seed-2", "seed-3", "seed-4"]
    assert lines[-1].startswith("OK: 6 nodes, 3 items published, found and verified in ")
