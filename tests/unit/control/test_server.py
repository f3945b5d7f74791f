"""A real control socket and the real client: answers, cancellation, several at once, garbage."""

import asyncio
import json
import os
import socket
import stat
import sys
import threading
from pathlib import Path

import pytest

from dhtshare.control import credentials
from dhtshare.control import server as server_module
from dhtshare.control.client import WENT_AWAY, Client, connect
from dhtshare.control.protocol import Answer, End, Event, Request, Result
from dhtshare.control.server import CUT_OFF, ControlServer
from dhtshare.errors import DhtshareError, DiskError
from tests.unit.control.control_fakes import OPERATIONS, Notebook, serving


def ask(path: Path, request: Request) -> list[Answer]:
    client = connect(path)
    assert client is not None
    with client:
        return list(client.ask(request))


async def answers_of(path: Path, op: str, /, network: str | None = None, **args: object) -> list[Answer]:
    return await asyncio.to_thread(ask, path, Request(op, args, network))


async def test_events_then_the_result_then_the_end(tmp_path: Path) -> None:
    async with serving(tmp_path / "s"):
        assert await answers_of(tmp_path / "s", "say", words=["a", "b"]) == [
            Event({"event": "word", "word": "a"}),
            Event({"event": "word", "word": "b"}),
            Result({"count": 2}),
            End(),
        ]


async def test_several_results_come_in_order(tmp_path: Path) -> None:
    async with serving(tmp_path / "s"):
        assert await answers_of(tmp_path / "s", "two") == [Result({"number": 1}), Result({"number": 2}), End()]


async def test_a_failure_with_a_result_gives_both(tmp_path: Path) -> None:
    async with serving(tmp_path / "s"):
        assert await answers_of(tmp_path / "s", "miss") == [
            Result({"results": []}),
            End(4, "No hit. 3 nodes answered."),
        ]


async def test_bad_arguments_are_the_users_fault(tmp_path: Path) -> None:
    async with serving(tmp_path / "s"):
        [end] = await answers_of(tmp_path / "s", "say", words="no list")
        assert isinstance(end, End)
        assert end.code == 2
        assert "'words'" in (end.message or "")


async def test_an_unknown_operation_is_refused(tmp_path: Path) -> None:
    async with serving(tmp_path / "s"):
        [end] = await answers_of(tmp_path / "s", "paint")
        assert isinstance(end, End)
        assert (end.code, "'paint'" in (end.message or "")) == (2, True)


async def test_a_bug_costs_the_command_not_the_node(tmp_path: Path) -> None:
    async with serving(tmp_path / "s"):
        [end] = await answers_of(tmp_path / "s", "broken")
        assert isinstance(end, End)
        assert end.code == 1
        assert "Traceback" not in (end.message or "")
        assert "a bug" in (end.traceback or "")
        assert (await answers_of(tmp_path / "s", "two"))[-1] == End()


async def test_another_network_is_not_served(tmp_path: Path) -> None:
    async with serving(tmp_path / "s"):
        assert (await answers_of(tmp_path / "s", "two", network="dhtshare"))[-1] == End()
        [end] = await answers_of(tmp_path / "s", "two", network="elsewhere")
        assert isinstance(end, End)
        assert end.code == 2
        assert "'dhtshare'" in (end.message or "")


async def test_stop_answers_before_the_node_goes(tmp_path: Path) -> None:
    async with serving(tmp_path / "s") as node:
        assert await answers_of(tmp_path / "s", "stop") == [Result({"pid": os.getpid()}), End()]
        assert node.stopped


async def test_operations_run_at_the_same_time(tmp_path: Path) -> None:
    path = tmp_path / "s"
    async with serving(path) as node:
        waiting = asyncio.create_task(answers_of(path, "wait"))
        await node.started.wait()
        assert (await answers_of(path, "two"))[-1] == End()
        assert not waiting.done()
    assert (await waiting)[-1] == End(130, CUT_OFF)


async def test_ending_ones_half_cancels_and_still_tells_how_it_ended(tmp_path: Path) -> None:
    path = tmp_path / "s"
    answers: list[Answer] = []

    def ask_and_cancel() -> None:
        client = connect(path)
        assert client is not None
        with client:
            for answer in client.ask(Request("wait", {})):
                answers.append(answer)
                client.cancel()

    async with serving(path) as node:
        await asyncio.to_thread(ask_and_cancel)
        assert node.cancelled.is_set()
    assert answers == [Event({"event": "waiting"}), End(130, CUT_OFF)]


async def test_hanging_up_cancels(tmp_path: Path) -> None:
    path = tmp_path / "s"
    async with serving(path) as node:
        _, writer = await asyncio.open_unix_connection(path)
        writer.write(b'{"op":"wait"}\n')
        await node.started.wait()
        writer.close()
        await writer.wait_closed()
        await node.cancelled.wait()


async def test_a_command_that_does_not_read_loses_events_but_not_its_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "MAX_UNREAD_BYTES", 100_000)
    async with serving(tmp_path / "s"):
        answers = await answers_of(tmp_path / "s", "chatter")
    assert answers[-2:] == [Result({"done": True}), End()]
    assert len(answers) < 4000


@pytest.mark.parametrize(
    "garbage",
    [b"\n", b"\x00" * 100 + b"\n", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"[" * 10_000 + b"\n", b'{"op":{}}\n'],
)
async def test_garbage_gets_one_sentence_and_harms_nobody(tmp_path: Path, garbage: bytes) -> None:
    path = tmp_path / "s"
    async with serving(path):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(garbage)
        said = json.loads(await reader.readline())
        assert said["end"]["code"] == 2
        assert await reader.read() == b""
        writer.close()
        assert (await answers_of(path, "two"))[-1] == End()


async def test_a_huge_line_is_not_swallowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "MAX_REQUEST_BYTES", 10_000)
    path = tmp_path / "s"
    async with serving(path):
        [end] = await answers_of(path, "say", words=["x" * 50_000])
        assert isinstance(end, End)
        assert end.code in (1, 2)  # 1 where the kernel dropped the refusal together with the unread line
        assert (await answers_of(path, "two"))[-1] == End()


async def test_silence_is_hung_up_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "REQUEST_SECONDS", 0.05)
    async with serving(tmp_path / "s"):
        reader, writer = await asyncio.open_unix_connection(tmp_path / "s")
        assert await reader.read() == b""
        writer.close()


async def test_half_a_line_is_no_request(tmp_path: Path) -> None:
    async with serving(tmp_path / "s"):
        reader, writer = await asyncio.open_unix_connection(tmp_path / "s")
        writer.write(b'{"op":"stop"}')
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()


async def test_stopping_does_not_wait_for_silent_connections(tmp_path: Path) -> None:
    async with serving(tmp_path / "s"):
        reader, writer = await asyncio.open_unix_connection(tmp_path / "s")
        await answers_of(tmp_path / "s", "two")  # by now the silent one was accepted, too
    assert await reader.read() == b""
    writer.close()


async def test_too_many_conversations_are_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "MAX_CONVERSATIONS", 1)
    path = tmp_path / "s"
    async with serving(path) as node:
        waiting = asyncio.create_task(answers_of(path, "wait"))
        await node.started.wait()
        [end] = await answers_of(path, "two")
        assert isinstance(end, End)
        assert end.code == 1
    await waiting


async def test_the_socket_is_for_its_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        async with serving(tmp_path / "s"):
            assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o600
    finally:
        os.umask(before)


async def test_another_user_is_hung_up_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "peer_uid", lambda connection: os.geteuid() + 1)
    async with serving(tmp_path / "s") as node:
        assert await answers_of(tmp_path / "s", "stop") == [End(1, WENT_AWAY)]
        assert not node.stopped


async def test_the_uid_of_the_other_end_is_known(tmp_path: Path) -> None:
    if sys.platform not in ("linux", "darwin"):
        pytest.skip("this platform does not tell")
    async with serving(tmp_path / "s"):
        client = await asyncio.to_thread(connect, tmp_path / "s")
        assert client is not None
        with client:
            assert credentials.peer_uid(client._connection) == os.geteuid()
            assert (await asyncio.to_thread(list, client.ask(Request("two", {}))))[-1] == End()


async def test_a_leftover_socket_is_replaced_and_the_new_one_removed(tmp_path: Path) -> None:
    path = tmp_path / "s"
    async with serving(path):
        path.rename(tmp_path / "kept")
    (tmp_path / "kept").rename(path)
    assert connect(path) is None  # nobody listens on it
    async with serving(path):
        assert (await answers_of(path, "two"))[-1] == End()
    assert not path.exists()


async def test_a_socket_that_cannot_be_made_is_a_disk_error(tmp_path: Path) -> None:
    server = ControlServer(Notebook(), OPERATIONS, tmp_path / "no" / "s", network="n", on_stop=lambda: None)
    with pytest.raises(DiskError, match="control socket"):
        await server.start()
    await server.stop()


def test_no_node_is_none(tmp_path: Path) -> None:
    assert connect(tmp_path / "absent") is None
    assert connect(tmp_path / "absent" / "folder") is None


def test_a_path_that_is_no_socket_path_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DhtshareError, match="Cannot talk"):
        connect(tmp_path / ("x" * 200))


def test_a_node_that_dies_in_mid_sentence_is_said_to_have_gone(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()

    def die() -> None:
        theirs.recv(1000)
        theirs.sendall(b'{"event":{"event":"half')
        theirs.close()

    thread = threading.Thread(target=die)
    thread.start()
    with Client(ours) as client:
        assert list(client.ask(Request("say", {}))) == [End(1, WENT_AWAY)]
    thread.join()
