"""The life of a node: start, stop, restart, sharing what changes, and its own state."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

from tests.e2e.conftest import MakeFile
from tests.processes import Home, JsonObject, Network, Node, eventually

MIB = 1 << 20


def _item(node: Node, content_hash: str) -> JsonObject:
    [item] = [item for item in node.run("list").result["items"] if item["hash"] == content_hash]
    return item


def test_ready_tells_what_scripts_need(network: Network) -> None:
    first = network.node()
    assert first.ready["contacts"] == 0, "the first node of a network is alone, which is no error"
    assert len(first.ready["node_id"]) == 40
    assert len(first.ready["peer_id"]) == 64
    assert first.ready["node_id"] in first.ready["ids"].values()
    second = network.node()
    assert second.ready["contacts"] >= 1
    host, _, port = second.address.rpartition(":")
    assert host == "127.0.0.1"
    socket.create_connection((host, int(port)), 5).close()


def test_status_and_peers_agree_with_ready(network: Network) -> None:
    first, second = network.nodes(2)
    status = second.run("status").result
    for field in ("node_id", "address", "ids", "peer_id"):
        assert status[field] == second.ready[field]
    assert status["contacts"] >= 1
    addresses = {contact["address"] for contact in second.run("peers").result["contacts"]}
    assert first.address in addresses


def test_sigterm_and_ctrl_c_end_a_node_well(network: Network) -> None:
    one, two = network.nodes(2)
    assert one.stop().code == 0
    two.running.signal(signal.SIGINT)
    done = two.running.finish()
    assert done.code == 0
    assert "Traceback" not in done.stderr


def test_stop_returns_when_the_node_is_gone(network: Network) -> None:
    node = network.node()
    node.run("stop")
    assert node.running.process.wait(5) == 0
    node.home.run("status", code=10)
    again = node.home.node()
    again.stop()


def test_a_restart_keeps_everything(network: Network, make_file: MakeFile) -> None:
    bootstrap, node = network.nodes(2)
    path = make_file("keepsake.txt", 2 * MIB)
    published = node.run("publish", path).result
    node.run("search", "keepsake")
    node.stop()
    again = node.home.node()
    assert again.ready["node_id"] == node.ready["node_id"]
    assert again.ready["peer_id"] == node.ready["peer_id"]
    assert _item(again, published["hash"])["path"] == str(path)
    fetched = bootstrap.run("fetch", published["hash"], "--timeout", 20).result
    assert Path(fetched["path"]).read_bytes() == path.read_bytes()
    reused = again.run("fetch", 1, "-o", "rows").result
    assert reused["hash"] == published["hash"], "row numbers are kept, too"


def test_saved_contacts_are_enough_to_come_back(network: Network) -> None:
    _, node = network.nodes(2)
    node.stop()
    network.bootstrap = None  # the restart is told of nobody
    again = node.home.node()
    assert again.ready["contacts"] >= 1


def test_an_acknowledged_publish_survives_kill_9(network: Network, make_file: MakeFile) -> None:
    node = network.node()
    published = node.run("publish", make_file("durable.txt"), "--no-wait").result
    assert published["receipt"] is None
    node.kill()
    assert _item(node.home.node(), published["hash"])["name"] == "durable.txt"


def test_a_changed_file_is_no_longer_offered(network: Network, make_file: MakeFile) -> None:
    node, reader = network.nodes(2)
    path = make_file("mutable.txt", 2 * MIB)
    published = node.run("publish", path).result
    path.write_bytes(b"something else")
    reader.run("fetch", published["hash"], "--timeout", 3, code=None, timeout=30)
    assert not (reader.home.cwd / path.name).exists()
    assert _item(node, published["hash"])["state"] == "changed"
    verified = node.run("verify", code=6)
    assert published["hash"] in json.dumps(verified.result)


def test_a_vanished_file_is_no_longer_offered(network: Network, make_file: MakeFile) -> None:
    node = network.node()
    path = make_file("fleeting.txt")
    published = node.run("publish", path).result
    path.unlink()
    node.run("verify", code=6)
    assert _item(node, published["hash"])["state"] == "missing"


def test_silent_rot_is_found_by_verify(network: Network, make_file: MakeFile) -> None:
    node = network.node()
    path = make_file("rotten.txt", 1000)
    published = node.run("publish", path, make_file("sound.txt")).results[0]
    node.run("verify")
    before = path.stat()
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # size and time as before: only the hash tells
    node.run("verify", published["hash"], code=6)
    node.stop()
    node.home.run("verify", code=6)  # works offline, too


def test_unpublish_withdraws_and_deletes_nothing(network: Network, make_file: MakeFile) -> None:
    node, reader, _ = network.nodes(3)
    path = make_file("withdrawn heron.txt")
    published = node.run("publish", path).result
    assert reader.run("search", "heron").result["results"]
    node.run("unpublish", published["hash"])
    assert path.exists()
    reader.run("search", "heron", code=4)
    reader.run("fetch", published["hash"], "--timeout", 2, code=4)
    node.run("verify")
    assert node.run("publish", path).result["hash"] == published["hash"], "it can be shared again"
    assert reader.run("search", "heron").result["results"]


def test_unpublish_without_a_running_node_withdraws_from_the_network(network: Network, make_file: MakeFile) -> None:
    node, reader, _ = network.nodes(3)
    published = node.run("publish", make_file("withdrawn walrus.txt")).result
    node.stop()
    assert reader.run("search", "walrus").result["results"]
    assert node.home.run("unpublish", published["hash"], *network.join()).result["acks"] >= 1
    reader.run("search", "walrus", code=4)


def test_publishing_again_renews(network: Network, make_file: MakeFile) -> None:
    node, _ = network.nodes(2)
    path = make_file("again.txt")
    first, second = node.run("publish", path).result, node.run("publish", path).result
    assert first["hash"] == second["hash"]
    assert second["receipt"]["acks"] >= 1
    assert len(node.run("list").result["items"]) == 1


def test_one_that_starts_after_a_publish_finds_it(network: Network, make_file: MakeFile) -> None:
    lonely = network.node()
    done = lonely.run("publish", make_file("early bird.txt"))
    assert done.result["receipt"]["holders"] == 0
    late = network.node()
    assert [hit["hash"] for hit in late.run("search", "early", "bird").result["results"]] == [done.result["hash"]]


def test_a_shared_folder_is_watched(network: Network, make_file: MakeFile) -> None:
    folder = make_file("watched/before.txt").parent
    (folder / ".hidden.txt").write_bytes(b"not for others")
    node = network.node("--share", folder)

    def listed(condition: Callable[[set[str]], bool]) -> bool:
        items = node.run("list").result["items"]
        return condition({item["name"] for item in items if item["state"] == "shared"})

    assert eventually(lambda: listed(lambda names: names == {"before.txt"}))
    (folder / "after.txt").write_bytes(b"new")
    assert eventually(lambda: listed(lambda names: names == {"before.txt", "after.txt"}))
    (folder / "before.txt").unlink()
    assert eventually(lambda: listed(lambda names: names == {"after.txt"}))


def test_limits_hold_and_can_be_changed(network: Network, make_file: MakeFile) -> None:
    node, seed = network.nodes(2)
    published = seed.run("publish", make_file("slow.bin", 4 * MIB)).result
    limits = node.run("limit", "--max-download", "2M", "--max-upload", "500K").result
    assert (limits["max_download"], limits["max_upload"]) == (2 * MIB, 500 * 1024)
    assert node.run("limit").result == limits
    fetched = node.run("fetch", published["hash"]).result
    assert fetched["seconds"] > 1.0, "4 MiB at 2 MiB a second, with the first second's burst"
    node.run("limit", "--max-download", "0")
    assert node.run("limit").result["max_download"] == 0


def test_a_home_is_private_whatever_the_umask(home: Home) -> None:
    before = os.umask(0)
    try:
        node = home.node()
    finally:
        os.umask(before)
    assert home.path.stat().st_mode & 0o777 == 0o700
    for path in home.path.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0 or path.parent.stat().st_mode & 0o077 == 0
        if path.name == "identity":
            assert path.stat().st_mode & 0o777 == 0o600
    node.stop()


def test_garbage_on_the_control_socket_is_harmless(network: Network) -> None:
    node = network.node()
    [path] = [path for path in node.home.path.rglob("*") if path.is_socket()]
    assert path.stat().st_mode & 0o777 == 0o600
    for garbage in (b"\0" * 5000 + b"\n", b'{"op":7}\n', b"[" * 100_000 + b"\n", b'{"op":"fetch","args":[]}\n', b"x"):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(path))
            connection.sendall(garbage)
    node.run("status")


def test_a_node_that_lives_until_its_input_ends_ends_with_it(home: Home) -> None:
    ended = home.run("node", "--until-eof", "--no-lan", "--host", "127.0.0.1", "--port", 0)  # its input is /dev/null
    assert ended.stderr == ""
