"""Hostile names between real processes: in search results, links, descriptors, from peers, on terminals and in logs.

Whatever a name tries, no byte lands outside the target, and none that steers a terminal reaches one, or a log.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from blake3 import blake3

from dhtshare.cli.logs import VisibleFormatter
from dhtshare.content.canonical import encode
from dhtshare.content.descriptor import FileDescriptor
from dhtshare.content.format import Kind
from dhtshare.content.link import Link
from dhtshare.content.paths import safe_name
from dhtshare.dht.records.entry import sign_entry
from dhtshare.identity import SigningKey
from dhtshare.network import network_id
from dhtshare.targets import parse_peer
from dhtshare.transfer.messages import Ask, Data, Descriptor, Get, GetDescriptor, Has, Hello
from tests.hostile.names import COLLIDING, HARMLESS, HOSTILE, steers
from tests.hostile.raw_listener import listeners
from tests.hostile.raw_node import RawNode
from tests.hostile.terminal import on_terminal, strangers
from tests.processes import Home, Network, Node, Running
from tests.unit.transfer.raw_peer import RawPeer

EVERY = [name for name, _ in HOSTILE.values()] + list(HARMLESS.values())
HOSTILE_ARGUMENT = (
    "nowhere \x1b[31mred\x1b[0m \x1b]0;owned\x07 in\u202evoice a\u200bb a\x9b31mb a\rb \x1b[1;32mgreen \udcff"
)
PUBLISHER = SigningKey.from_seed(b"hostile publisher".ljust(32))


def can_be_sent(name: str) -> bool:
    """Text of 1 to 255 bytes: nothing else passes the decoder, see the fuzz targets."""
    try:
        return 0 < len(name.encode()) <= 255
    except UnicodeEncodeError:
        return False


def can_be_on_a_disk(name: str) -> bool:
    return bool(name) and name not in (".", "..") and not {"/", "\0"} & set(name) and len(os.fsencode(name)) <= 255


SENT = list(dict.fromkeys(filter(can_be_sent, EVERY)))
ON_DISK = list(dict.fromkeys(name for name in EVERY if name != "a\ud800b" and can_be_on_a_disk(name)))


def harmless_on_a_terminal(text: str, *, dumb: bool = False) -> bool:
    """Nothing that steers, but what our own bars and tables need, which on a dumb terminal is nothing."""
    bad = steers(text) if dumb else strangers(text, [*EVERY, HOSTILE_ARGUMENT])
    where = {text[max(0, (place := text.index(piece)) - 40) : place + 40] for piece in bad}
    assert not bad, f"{bad!a} in {where!a}"
    return True


def shown(home: Home, *arguments: object, timeout: float = 60.0) -> tuple[int, str]:
    """Exit code and text of a command on a terminal, where nothing of a stranger acted: in colour, and on a dumb one.

    The text is that of the dumb terminal.
    """
    code, text = on_terminal(home, *arguments, timeout=timeout, NO_COLOR="")
    assert harmless_on_a_terminal(text)
    again, plain = on_terminal(home, *arguments, timeout=timeout, TERM="dumb")
    assert harmless_on_a_terminal(plain, dumb=True)
    assert again == code
    return code, plain


@dataclass(frozen=True)
class Scene:
    """A seed, a fetching node with a verbose log, and a stranger's entries that give the seed's files their names."""

    seed: Node
    node: Node
    hashes: dict[str, str]

    @property
    def log(self) -> Running:
        return self.node.running


@pytest.fixture(scope="module")
def scene(shared_network: Network) -> Iterator[Scene]:
    seed = shared_network.node()
    node = shared_network.node("--verbose")
    folder = shared_network.folder / "honest"
    folder.mkdir()
    for number in range(len(SENT)):
        (folder / f"plain{number}.bin").write_bytes(b"content %d" % number)
    published = seed.run("publish", *sorted(folder.iterdir())).results
    hashes = dict(zip(SENT, (result["hash"] for result in published), strict=True))
    with RawNode(shared_network.name) as stranger:
        records = [
            sign_entry(
                PUBLISHER,
                network_id(shared_network.name),
                content_hash=bytes.fromhex(content),
                sequence=int(time.time() * 1000),
                expires=int(time.time()) + 3600,
                kind=Kind.FILE,
                size=10,
                name=name,
                words=["hostile"],
            )
            for name, content in hashes.items()
        ]
        assert set(stranger.store([seed.address, node.address], records)) == {0}
    yield Scene(seed, node, hashes)


@pytest.mark.parametrize("name", [name for name in SENT if steers(name)], ids=ascii)
def test_a_raw_name_among_our_own_bars_would_be_seen(name: str) -> None:
    """The judge of the tests below: what a stranger sends is no bar of ours, whatever it looks like."""
    ours = "\x1b[?25l\r\x1b[2K\r\x1b[1A\x1b[2Ka  \x1b[38;5;70m\u2501\u2501\x1b[0m  1 B\n\x1b[?25h"
    assert not strangers(ours, EVERY)
    assert strangers(ours.replace("a ", name), EVERY)


def test_a_script_gets_every_name_exactly(scene: Scene) -> None:
    done = scene.node.run("search", "hostile", "--limit", 500)
    assert done.stdout.isascii()
    assert {result["hash"]: result["name"] for result in done.result["results"]} == {
        content: name for name, content in scene.hashes.items()
    }


def test_people_see_every_name_and_none_acts(scene: Scene) -> None:
    code, text = shown(scene.node.home, "search", "hostile", "--limit", 500)
    assert code == 0
    assert "<U+001B>[31mred" in text
    assert "invoice<U+202E>fdp.exe" in text
    piped = scene.node.run("search", "hostile", "--limit", 500, json_output=False)
    assert not steers(piped.stdout + piped.stderr)
    assert "<U+001B>[31mred" in piped.stdout


def test_whatever_a_row_is_called_its_file_lands_in_the_target(scene: Scene, tmp_path: Path) -> None:
    rows = [result["hash"] for result in scene.node.run("search", "hostile", "--limit", 500).result["results"]]
    before = tree(scene.seed.home.network.folder)
    numbers = range(1, len(rows) + 1)
    done = scene.node.run("fetch", *numbers, "-o", tmp_path / "a" / "out", "--rename", "--no-seed", timeout=120)
    assert [result["hash"] for result in done.results] == rows
    for result in done.results:
        path = Path(result["path"])
        assert path.parent == tmp_path / "a" / "out"
        assert path.read_bytes().startswith(b"content ")
        assert safe_name(path.name) == path.name
    assert sorted(path.name for path in (tmp_path / "a" / "out").iterdir()) == sorted(
        Path(result["path"]).name for result in done.results
    )
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert tree(scene.seed.home.network.folder) == before


def tree(folder: Path) -> set[Path]:
    """Every file of the network's folder but the nodes' own state."""
    return {path for path in folder.rglob("*") if "home" not in path.relative_to(folder).parts}


def test_bars_and_results_of_a_fetch_on_a_terminal(scene: Scene, tmp_path: Path) -> None:
    links = [
        Link(bytes.fromhex(content), name=name, network=scene.seed.home.network.name).format()
        for name, content in scene.hashes.items()
    ]
    options = ("--rename", "--no-seed", "--verbose")
    code, text = on_terminal(
        scene.node.home, "fetch", *links, "-o", tmp_path / "a", *options, timeout=120.0, NO_COLOR=""
    )
    assert code == 0
    assert "\r\x1b[2K" in text, "there were bars"
    assert harmless_on_a_terminal(text)
    code, text = on_terminal(
        scene.node.home, "fetch", *links, "-o", tmp_path / "b", *options, timeout=120.0, TERM="dumb"
    )
    assert code == 0
    assert harmless_on_a_terminal(text, dumb=True)
    assert len(list((tmp_path / "a").iterdir())) == len(list((tmp_path / "b").iterdir())) == len(links)


@pytest.mark.parametrize(
    "command", ["fetch", "info", "search", "publish", "unpublish", "verify", "dht lookup", "dht ping"]
)
def test_a_sentence_about_a_hostile_argument(scene: Scene, command: str) -> None:
    words = command.split()
    code, _ = shown(scene.node.home, *words, HOSTILE_ARGUMENT)
    assert code in (2, 4)
    failed = scene.node.run(*words, HOSTILE_ARGUMENT, code=None)
    assert failed.stdout.isascii()
    assert not steers(failed.stderr)


def test_publishing_files_with_such_names(scene: Scene, tmp_path: Path) -> None:
    made = []
    for number, name in enumerate(ON_DISK):
        path = tmp_path / str(number) / name
        path.parent.mkdir()
        path.write_bytes(b"file %d" % number)
        made.append(path)
    done = scene.seed.run("publish", *made, "-k", "ondisk", timeout=120)
    assert [result["name"] for result in done.results] == [safe_name(name) for name in ON_DISK]
    code, _ = shown(scene.seed.home, "publish", *made, timeout=120.0)
    assert code == 0
    for command in (["list"], ["list", "--members"], ["list", "--verbose"]):
        code, _ = shown(scene.seed.home, *command)
        assert code == 0
    listed = scene.seed.run("list")
    assert listed.stdout.isascii()
    assert not steers(scene.seed.run("list", json_output=False).stdout)
    assert {os.fsencode(path) for path in made} <= {os.fsencode(item["path"]) for item in listed.result["items"]}
    for path in made[:3]:
        code, _ = shown(scene.seed.home, "info", path)
        assert code == 0
    _rot_and_withdraw(scene.seed, made, [result["hash"] for result in done.results])


def _rot_and_withdraw(node: Node, made: list[Path], hashes: list[str]) -> None:
    """What is said of files with such names when they are not what they were."""
    for number, path in enumerate(made):
        status = path.stat()
        path.write_bytes(b"FILE %d" % number)
        if number % 2:  # rot that no date tells of
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    code, text = shown(node.home, "verify")
    assert code == 6
    assert "<U+001B>" in "".join(text.split()), "cells fold"
    for command in (["status"], ["status", "--verbose"], ["list"]):
        code, _ = shown(node.home, *command)
        assert code == 0
    for content in hashes[::8]:
        code, _ = shown(node.home, "unpublish", content)
        assert code == 0
    assert not steers(node.run("verify", code=6, json_output=False).stdout)


def test_what_looks_into_the_dht_shows_nobody_that_steers(scene: Scene) -> None:
    for command in (["status"], ["status", "--verbose"], ["lookup", "hostile"], ["ping", scene.seed.address]):
        code, _ = shown(scene.node.home, "dht", *command)
        assert code == 0


def test_a_file_that_is_called_like_an_option(scene: Scene) -> None:
    """From its own folder, as the shell's `*` would have it: behind `--`, or told how."""
    path = scene.node.home.cwd / "-rf"
    path.write_bytes(b"rm")
    published = scene.node.run("publish", "--", "-rf").result
    assert published["name"] == "-rf"
    assert [item["path"] for item in scene.node.run("list").result["items"] if item["hash"] == published["hash"]] == [
        str(path)
    ]
    refused = scene.node.run("publish", "-rf", code=2)
    assert "publish -- -rf" in refused.result["error"]["message"]
    assert path.read_bytes() == b"rm"


async def _serve_false_descriptors(raw: RawPeer, served: dict[bytes, bytes], name: str, network: str) -> None:
    await raw.hear_a(Hello)
    raw.say(Hello(network_id(network), b"n" * 16, "\x1b[2Jagent\u202e"))
    while True:
        message, _ = await raw.hear()
        if isinstance(message, Ask):
            raw.say(Has(message.request, 1, 1, name, len(served[message.content])))
        elif isinstance(message, GetDescriptor):
            raw.say(Descriptor(message.request, len(served[message.content])), served[message.content])
        elif isinstance(message, Get):
            raw.say(Data(message.request), b"x")


def _collection(*paths: str) -> bytes:
    digest = FileDescriptor(1, blake3(b"x").digest()).content_hash
    items: list[dict[int, object]] = [
        {0: path} if path.endswith("/") and len(paths) > 1 else {0: path, 2: 1, 4: digest} for path in paths
    ]
    return encode({0: 1, 2: "collection", 8: items})


def test_a_collection_with_such_a_path_is_refused_whole(scene: Scene, tmp_path: Path) -> None:
    """A peer sends descriptors that have the right hash: their publisher made them so."""
    raws = [_collection(name) for name, _ in HOSTILE.values() if can_be_sent(name)]
    raws += [_collection(*sorted(pair)) for pair in COLLIDING.values()]
    served = {blake3(raw).digest(): raw for raw in raws}
    network = scene.seed.home.network.name

    async def behave(raw: RawPeer) -> None:
        await _serve_false_descriptors(raw, served, "album", network)

    with listeners(behave) as (address,):
        targets = [content.hex() for content in served]
        done = scene.node.run(
            "fetch", *targets, "--peer", address, "-o", tmp_path / "out", "--no-seed", code=None, timeout=120
        )
        assert done.code == 3 or {result["error"]["code"] for result in done.results} == {done.code}
        assert [result["target"] for result in done.results] == targets
        for result in done.results:
            assert result["error"]["code"] in (2, 6), result
            assert result["error"]["message"].isprintable()
        assert not steers(done.stderr)
        code, _ = shown(scene.node.home, "fetch", *targets[:30], "--peer", address, "-o", tmp_path / "out")
        assert code
        code, text = shown(scene.node.home, "peers")
        assert "agent<U+2" in text, "cells fold"
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


def test_what_a_peer_calls_a_content(scene: Scene, tmp_path: Path) -> None:
    """A bare hash is called what peers call it."""
    described = FileDescriptor(1, blake3(b"x").digest())
    network = scene.seed.home.network.name
    for name in ("../../x", "/etc/x", "\x1b[31mred\x1b[0m", "C:\\x", "..", "a\u202eb", "con"):

        async def behave(raw: RawPeer, name: str = name) -> None:
            await _serve_false_descriptors(raw, {described.content_hash: described.encode()}, name, network)

        with listeners(behave) as (address,):
            out = tmp_path / safe_name(name)
            arguments = (described.content_hash.hex(), "--peer", address)
            result = scene.node.run("fetch", *arguments, "-o", out, "--no-seed").result
            assert result["path"] == str(out / safe_name(name))
            link = Link(described.content_hash, network=network, peers=(parse_peer(address),)).format()
            code, _ = shown(scene.node.home, "info", link)
            assert code == 0
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 7


def test_links_planted_on_the_way(scene: Scene, tmp_path: Path) -> None:
    album = tmp_path / "album"
    (album / "music").mkdir(parents=True)
    (album / "music" / "one.mp3").write_bytes(os.urandom(100))
    (album / "two.mp3").write_bytes(os.urandom(100))
    content = scene.seed.run("publish", album).result["hash"]
    outside = tmp_path / "outside"
    outside.mkdir()
    for number, planted in enumerate(("album", "album/music", "album/two.mp3", ".album.dhtshare-part")):
        out = tmp_path / f"out{number}"
        (out / planted).parent.mkdir(parents=True)
        (out / planted).symlink_to(outside / "two.mp3" if planted.endswith(".mp3") else outside)
        done = scene.node.run("fetch", content, "-o", out, "--overwrite", "--no-seed", code=None)
        assert list(outside.iterdir()) == [], f"{planted} led outside: {done}"
        if done.code == 0:
            assert not any(path.is_symlink() for path in (out / "album").rglob("*"))
            assert (out / "album" / "two.mp3").read_bytes() == (album / "two.mp3").read_bytes()


@pytest.mark.parametrize("verbose", [False, True])
def test_a_log_line_with_a_name_in_it_is_one_line_and_steers_nothing(verbose: bool) -> None:
    formatter = VisibleFormatter(verbose=verbose)
    for name in EVERY:
        try:
            raise ValueError(name)
        except ValueError:
            record = logging.LogRecord("x", logging.WARNING, "x.py", 1, "lost %s", (name,), sys.exc_info())
        lines = formatter.format(record)
        assert not steers(lines)
        assert verbose or lines.count("\n") == 0


def test_the_log_of_all_this_steers_nothing(scene: Scene) -> None:
    """Last in this file: the verbose log of the node that met all these names."""
    log = scene.log.errors()
    assert not steers(log)
    assert "Traceback" not in log
    assert not steers(scene.seed.running.errors())
