"""Bad input and bad surroundings: each gets one clear sentence and its exit code, and loses nothing."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dhtshare.intake import Intake
from dhtshare.library.catalogue import Catalogue
from scripts.disk_faults.injection import Fault, injecting
from tests.e2e.conftest import MakeFile
from tests.processes import Finished, Home, Network, Node, eventually

MIB = 1 << 20
HASH = "5a" * 32

as_root = pytest.mark.skipif(os.geteuid() == 0, reason="root may read and write everything")


def _sentence(failed: Finished) -> str:
    """The one sentence of a failure, which stands in the last line and on stderr, without a traceback."""
    error = failed.result["error"]
    assert error["code"] == failed.code
    assert "Traceback" not in failed.stderr
    assert failed.stderr.strip().splitlines()[-1].endswith(error["message"])
    assert "\n" not in error["message"]
    return str(error["message"])


@pytest.mark.parametrize(
    "target",
    [
        "zz" * 32,  # no hex
        HASH[:-1],  # a digit short
        "not a hash",
        "dhtshare:",
        f"dhtshare:{HASH[:10]}",
        f"dhtshare:{HASH}?size=many",
        f"dhtshare:{HASH}?peer=nowhere",
        "dhtshare:v2/abc",  # made by a newer version
        "99999",  # no such row
        "0",
    ],
)
def test_malformed_targets(nodes: list[Node], target: str) -> None:
    _sentence(nodes[0].run("fetch", target, code=2))


@pytest.mark.parametrize("command", ["fetch", "info"])
def test_an_unknown_hash(nodes: list[Node], command: str) -> None:
    assert HASH[:8] in _sentence(nodes[0].run(command, HASH, "--timeout", 2, code=4))


@pytest.mark.parametrize("command", ["verify", "unpublish"])
def test_a_hash_that_is_not_in_the_library(nodes: list[Node], command: str) -> None:
    _sentence(nodes[0].run(command, HASH, code=4))
    _sentence(nodes[0].run(command, "nonsense", code=2))


def test_a_link_of_another_network(nodes: list[Node]) -> None:
    assert "--network other" in _sentence(nodes[0].run("fetch", f"dhtshare:{HASH}?net=other", code=2))


def test_a_missing_path(nodes: list[Node], tmp_path: Path, make_file: MakeFile) -> None:
    assert "nowhere" in _sentence(nodes[0].run("publish", tmp_path / "nowhere", code=2))
    done = nodes[0].run("publish", tmp_path / "nowhere", make_file("here.txt"), code=3)
    failed, published = done.results
    assert failed["error"]["code"] == 2
    assert failed["target"] == str(tmp_path / "nowhere")
    assert published["name"] == "here.txt"


@as_root
def test_an_unreadable_file(nodes: list[Node], make_file: MakeFile) -> None:
    path = make_file("secret.txt")
    path.chmod(0)
    assert "secret.txt" in _sentence(nodes[0].run("publish", path, code=7))


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_a_file_that_the_system_does_not_open(home: Home) -> None:
    """As an unreadable one, for whoever is root here."""
    path = home.cwd / "secret.txt"
    path.write_bytes(b"not for you")
    home.inside = injecting(Fault("here/secret.txt", "openat", 1, "EACCES"), home.cwd.parent, home.cwd / "trace")
    assert "secret.txt: Permission denied" in _sentence(home.run("info", path, code=7))


@pytest.mark.parametrize("saved", ["dht.state", "records.state", "identity"])
def test_a_saved_file_that_cannot_be_read_is_never_replaced(home: Home, saved: str) -> None:
    """Regression: a node that met one read error took it for nothing saved, and wrote over its id and its records."""
    home.path.mkdir(mode=0o700)
    path = home.path / saved
    path.mkdir()
    sentence = _sentence(home.run("node", "--port", 0, "--no-lan", code=7))
    assert f"Cannot read {path}: Is a directory. " in sentence
    assert path.is_dir()


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_a_disk_that_does_not_give_the_state_back(home: Home) -> None:
    home.path.mkdir(mode=0o700)
    path = home.path / "dht.state"
    path.write_bytes(b"what was saved")
    log = home.cwd / "trace"
    home.inside = injecting(Fault(str(path.relative_to(home.cwd.parent)), "openat", 1, "EIO"), home.cwd.parent, log)
    sentence = _sentence(home.run("node", "--port", 0, "--no-lan", code=7))
    assert "Input/output error" in sentence
    assert "move it out of the home" in sentence
    assert path.read_bytes() == b"what was saved"


@pytest.mark.parametrize("inside", [None, "link"])
def test_a_folder_with_nothing_to_share(nodes: list[Node], tmp_path: Path, inside: str | None) -> None:
    folder = tmp_path / "nothing"
    folder.mkdir()
    if inside is not None:
        (folder / inside).symlink_to("/etc/hostname")
    assert "nothing to share" in _sentence(nodes[0].run("publish", folder, code=2))


def test_names_of_any_length(nodes: list[Node], make_file: MakeFile, tmp_path: Path) -> None:
    """The longest that a disk takes goes there and back; a longer given one is cut; an empty one is none."""
    longest = make_file("l" * 251 + ".bin")
    content = nodes[0].run("publish", longest).result["hash"]
    assert Path(nodes[1].run("fetch", content, "-o", tmp_path / "out").result["path"]).name == longest.name
    assert nodes[0].run("publish", longest, "--name", "n" * 300).result["name"] == "n" * 255
    assert "--name" in _sentence(nodes[0].run("publish", longest, "--name", "", code=2))


def test_an_item_that_no_holder_would_take_does_not_end_the_node(network: Network, tmp_path: Path) -> None:
    """A library of before, in which something has a longer name than a record may."""
    home = network.home()
    home.node().stop()
    path = tmp_path / "kept.txt"
    path.write_bytes(b"kept all the same")
    catalogue = Catalogue.open(home.path / "catalogue.db")
    prepared = Intake(catalogue, progress=lambda _name, _total: lambda _count: None).path(path)
    catalogue.add([dataclasses.replace(prepared.item, name="n" * 300, words=("kept",))])
    catalogue.close()
    node = home.node()
    assert eventually(lambda: "is not found by its words" in node.running.errors())
    content = node.run("list").result["items"][0]["hash"]
    fetched = network.home().run("fetch", content, "-o", tmp_path / "out", "--peer", node.address, "--no-lan").result
    assert Path(fetched["path"]).read_bytes() == path.read_bytes()
    assert node.stop().code == 0


def test_what_stands_where_a_fetch_is_to_go(nodes: list[Node], make_file: MakeFile, tmp_path: Path) -> None:
    """A folder or a link under the file's name, a file where the folder should be, a name that is too long."""
    path = make_file("landing.bin")
    content = nodes[0].run("publish", path).result["hash"]
    (tmp_path / "a" / path.name).mkdir(parents=True)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / path.name).symlink_to("/etc/hostname")
    (tmp_path / "c").write_bytes(b"a file")
    for out, code in (("a", 2), ("b", 2), ("c", 7), ("c/d", 7), ("x" * 300, 7)):
        sentence = _sentence(nodes[1].run("fetch", content, "-o", tmp_path / out, "--no-seed", code=code))
        assert re.search("choose|Choose|Use --", sentence), "what to do next"
    assert (tmp_path / "b" / path.name).is_symlink()
    assert (tmp_path / "c").read_bytes() == b"a file"


def test_neither_file_nor_folder(nodes: list[Node], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "pipe" in _sentence(nodes[0].run("publish", tmp_path / "pipe", code=2))


def test_a_path_given_twice_is_published_once(nodes: list[Node], make_file: MakeFile) -> None:
    path = make_file("twice.txt")
    done = nodes[0].run("publish", path, path.parent / "." / path.name, path)
    assert len({result["hash"] for result in done.results}) == 1
    items = nodes[0].run("list").result["items"]
    assert len([item for item in items if item["name"] == "twice.txt"]) == 1


def test_a_file_that_changes_while_it_is_hashed(nodes: list[Node], tmp_path: Path) -> None:
    path = tmp_path / "growing.bin"
    with path.open("wb") as file:
        file.truncate(4 << 30)  # sparse: seconds of hashing, no disk
    running = nodes[0].home.start("publish", path)
    running.wait_for_event("hashing")
    with path.open("ab") as file:
        file.write(b"more")
    failed = running.finish(60)
    assert failed.code == 7
    assert "growing.bin" in failed.result["error"]["message"]
    assert "growing.bin" not in {item["name"] for item in nodes[0].run("list").result["items"]}


def test_ctrl_c_while_hashing(nodes: list[Node], tmp_path: Path) -> None:
    path = tmp_path / "endless.bin"
    with path.open("wb") as file:
        file.truncate(8 << 30)
    running = nodes[0].home.start("publish", path)
    running.wait_for_event("hashing")
    running.signal(signal.SIGINT)
    stopped = running.finish()
    assert stopped.code == 130
    assert stopped.result["error"]["code"] == 130
    nodes[0].run("status")


@pytest.mark.parametrize(
    "options",
    [
        ["--port", "70000"],
        ["--bootstrap", "no-port"],
        ["--bootstrap", "host:0"],
        ["--announce-port", "80"],
        ["--max-upload", "fast"],
        ["--reachable", "perhaps"],
        ["--encryption", "always"],
        ["--no-such-option"],
        ["--bootstrap-file", "/nowhere/list"],
        ["--share", "/nowhere/folder"],
        ["--host", "999.1.1.1"],
    ],
)
def test_bad_options_of_a_node(home: Home, options: list[str]) -> None:
    _sentence(home.run("node", "--port", 0, "--no-lan", *options, code=2))


@pytest.mark.parametrize(
    "arguments",
    [
        ["search"],
        ["search", "!?"],
        ["search", "word", "--limit", "0"],
        ["search", "word", "--min-size", "2K", "--max-size", "1K"],
        ["search", "word", "--kind", "song"],
        ["fetch", HASH, "--overwrite", "--rename"],
        ["fetch", HASH, "--timeout", "-1"],
        ["fetch"],
        ["publish"],
        ["limit", "--max-upload", "-5"],
        ["no-such-command"],
    ],
)
def test_bad_usage(nodes: list[Node], arguments: list[str]) -> None:
    _sentence(nodes[0].run(*arguments, code=2))


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM], ids=["tcp", "udp"])
def test_a_port_in_use(home: Home, kind: socket.SocketKind) -> None:
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            taken.listen()
        port = taken.getsockname()[1]
        failed = home.run("node", "--host", "127.0.0.1", "--port", port, "--no-lan", code=2)
        assert str(port) in _sentence(failed)


def test_bootstrap_nodes_that_do_not_answer_are_no_error(home: Home) -> None:
    node = home.node("--bootstrap", "127.0.0.1:9", "--bootstrap", "does-not-exist.invalid:4470")
    assert node.ready["contacts"] == 0


def test_a_second_node_in_one_home(home: Home) -> None:
    node = home.node()
    failed = home.run("node", "--host", "127.0.0.1", "--port", 0, "--no-lan", code=11)
    assert str(node.running.process.pid) in _sentence(failed)
    node.run("status")


def test_a_home_left_by_a_killed_node_is_taken_over(home: Home) -> None:
    home.node().kill()
    home.node().run("status")


def test_a_home_that_cannot_be_made(network: Network, tmp_path: Path) -> None:
    home = network.home()
    home.path = tmp_path / "file" / "home"
    (tmp_path / "file").write_bytes(b"in the way")
    _sentence(home.run("node", "--port", 0, "--no-lan", code=7))


def test_a_home_too_long_for_a_unix_socket(network: Network, tmp_path: Path) -> None:
    home = network.home()
    home.path = tmp_path / ("deep" * 20) / ("long" * 20)
    node = home.node()
    assert node.run("status").result["address"] == node.address
    node.run("stop")


def test_a_home_folder_is_published_only_by_name(network: Network) -> None:
    node = network.node()
    (network.user_home / "diary.txt").write_bytes(b"dear diary")
    assert "--name" in _sentence(node.run("publish", network.user_home, code=2))
    assert node.run("publish", network.user_home, "--name", "on purpose").result["name"] == "on purpose"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 MiB, less than what is always left free."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "none", str(folder)]
    if sys.platform != "linux" or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("a small disk needs mount, and the right to")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_too_little_space_is_said_before_anything_is_written(
    nodes: list[Node], make_file: MakeFile, small_disk: Path
) -> None:
    published = nodes[1].run("publish", make_file("too large.bin", 3 * MIB)).result
    sentence = _sentence(nodes[2].run("fetch", published["hash"], "-o", small_disk / "out", code=7))
    assert "3.0 MiB" in sentence, "how much is needed"
    assert "64.0 MiB" in sentence, "how much is free"
    assert [path for path in small_disk.rglob("*") if path.is_file()] == []


def test_a_library_on_a_full_disk_keeps_what_it_has(
    shared_network: Network, make_file: MakeFile, small_disk: Path
) -> None:
    home = shared_network.home()
    home.path = small_disk / "home"
    node = home.node()
    kept = node.run("publish", make_file("kept.txt")).result
    with (small_disk / "filler").open("wb") as filler, contextlib.suppress(OSError):
        while True:
            filler.write(bytes(MIB))
            filler.flush()
    paths = [make_file(f"not kept {number}.txt") for number in range(50)]
    node.run("publish", *paths, code=None)  # whether there is room for a few bytes more is the disk's affair
    (small_disk / "filler").unlink()
    node.stop()
    again = home.node()
    assert kept["hash"] in {item["hash"] for item in again.run("list").result["items"]}
    again.stop()


@pytest.mark.parametrize("options", [(), ("--json",)])
@pytest.mark.parametrize(
    ("stream", "code", "said"),
    [
        (">&-", 0, ""),
        ("2>&-", 0, ""),
        ("<&- >&- 2>&-", 0, ""),
        (">/dev/full", 7, "The output cannot be written: No space left on device."),
    ],
)
def test_an_output_that_is_closed_or_full(
    nodes: list[Node], make_file: MakeFile, stream: str, code: int, said: str, options: tuple[str, ...]
) -> None:
    """No traceback; a closed one is as good as the null device, one that cannot be written is the disk's fault."""
    home = nodes[1].home
    nodes[1].run("publish", make_file("for a list.txt"))
    command = ["sh", "-c", f'exec "$@" {stream}', "sh", *home.command("list", *options, json_output=False)]
    environment = home.network.environment()
    done = subprocess.run(command, env=environment, cwd=home.cwd, capture_output=True, text=True, check=False)
    assert done.returncode == code, done
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
