"""Commands on a node of their own: what is started is stopped, whatever ends them."""

import asyncio
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from dhtshare.control.alone import Alone
from dhtshare.control.client import connect
from dhtshare.control.interruption import Interruption
from dhtshare.control.operations import Emit, Operation, Returned
from dhtshare.control.protocol import Answer, End, Event, Request, Result
from dhtshare.control.server import CUT_OFF
from dhtshare.errors import AlreadyRunningError, DiskError, InterruptedByUserError


@dataclass
class FakeNode:
    """Notes what is done to it. `start_blocks` joins for ever; `start_fails` finds the home taken."""

    start_blocks: bool = False
    start_fails: bool = False
    calls: list[str] = field(default_factory=list)
    entered: asyncio.Event = field(default_factory=asyncio.Event)

    async def start(self) -> None:
        self.calls.append("start")
        if self.start_fails:
            raise AlreadyRunningError("Another node runs here.")
        if self.start_blocks:
            self.entered.set()
            try:
                await asyncio.Event().wait()
            finally:
                self.calls.append("start undone")

    async def open(self) -> None:
        self.calls.append("open")

    async def stop(self) -> None:
        self.calls.append("stop")

    def ready_event(self) -> dict[str, Any]:
        return {"event": "ready", "contacts": 0}


@dataclass(frozen=True)
class Nothing:
    pass


async def work(node: FakeNode, request: Nothing, emit: Emit) -> Returned:
    emit({"event": "working"})
    return {"done": True}


async def hang(node: FakeNode, request: Nothing, emit: Emit) -> Returned:
    node.entered.set()
    await asyncio.Event().wait()
    return {}


async def stubborn(node: FakeNode, request: Nothing, emit: Emit) -> Returned:
    """Already past the point where cancelling helps: it was just about to return."""
    node.entered.set()
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        return {"done": True}
    return {}


async def fail(node: FakeNode, request: Nothing, emit: Emit) -> Returned:
    raise AlreadyRunningError("no")


OPERATIONS = {
    name: Operation(Nothing, story)
    for name, story in {"work": work, "hang": hang, "stubborn": stubborn, "fail": fail}.items()
}


@dataclass
class Scene:
    alone: Alone[FakeNode]
    node: FakeNode
    delivered: list[Answer]
    interruption: Interruption
    socket: Path

    def path(self) -> Path:
        assert "start" in self.node.calls  # the home is prepared by then
        return self.socket


@pytest.fixture
def at_once() -> list[str]:
    return []


@pytest.fixture
async def scene(tmp_path: Path, at_once: list[str]) -> Scene:
    node, delivered = FakeNode(), list[Answer]()
    interruption = Interruption(lambda: at_once.append("now"))
    alone = Alone(node, OPERATIONS, "dhtshare", delivered.append, interruption)
    return Scene(alone, node, delivered, interruption, tmp_path / "s")


async def test_a_command_joins_works_and_leaves(scene: Scene) -> None:
    assert await scene.alone.command(Request("work", {})) == End()
    assert scene.delivered == [Event({"event": "working"}), Result({"done": True})]
    assert scene.node.calls == ["start", "stop"]


async def test_an_offline_command_never_joins(scene: Scene) -> None:
    assert await scene.alone.offline(Request("work", {})) == End()
    assert scene.node.calls == ["open", "stop"]


async def test_a_failed_start_is_the_end_and_leaves_nothing(scene: Scene) -> None:
    scene.node.start_fails = True
    for end in (
        await scene.alone.command(Request("work", {})),
        await scene.alone.serve(scene.path),
        await scene.alone.command_then_serve(Request("work", {}), scene.path, lambda: None),
    ):
        assert end == End(11, "Another node runs here.")
    assert scene.node.calls == ["start"] * 3


async def interrupted(scene: Scene, life: Callable[[], Any]) -> End:
    task = asyncio.create_task(life())
    await scene.node.entered.wait()
    scene.interruption.request()
    end: End = await task
    return end


async def test_an_interrupt_while_joining_cuts_off(scene: Scene) -> None:
    scene.node.start_blocks = True
    assert await interrupted(scene, lambda: scene.alone.command(Request("work", {}))) == End(130, CUT_OFF)
    assert scene.node.calls == ["start", "start undone"]


async def test_an_interrupt_while_working_cuts_off_and_stops_the_node(scene: Scene) -> None:
    assert await interrupted(scene, lambda: scene.alone.command(Request("hang", {}))) == End(130, CUT_OFF)
    assert scene.node.calls == ["start", "stop"]


async def test_an_interrupt_that_comes_too_late_changes_nothing(scene: Scene) -> None:
    assert await interrupted(scene, lambda: scene.alone.command(Request("stubborn", {}))) == End()
    assert scene.delivered == [Result({"done": True})]


async def test_a_node_says_it_is_ready_and_ends_well_when_interrupted(scene: Scene) -> None:
    task = asyncio.create_task(scene.alone.serve(scene.path))
    while not scene.delivered:
        await asyncio.sleep(0)
    assert scene.delivered == [Event({"event": "ready", "contacts": 0})]
    scene.interruption.request()
    assert await task == End()
    assert scene.node.calls == ["start", "stop"]
    assert not scene.socket.exists()


async def test_a_node_interrupted_while_joining_ends_well_too(scene: Scene) -> None:
    scene.node.start_blocks = True
    assert await interrupted(scene, lambda: scene.alone.serve(scene.path)) == End()


def ask_to_stop(path: Path) -> list[Answer]:
    client = connect(path)
    assert client is not None
    with client:
        return list(client.ask(Request("stop", {})))


async def test_stop_through_the_control_socket_ends_a_node(scene: Scene) -> None:
    task = asyncio.create_task(scene.alone.serve(scene.path))
    while not scene.delivered:
        await asyncio.sleep(0)
    assert await asyncio.to_thread(ask_to_stop, scene.socket) == [Result({"pid": os.getpid()}), End()]
    assert await task == End()


async def test_after_success_it_goes_on_serving_until_interrupted(scene: Scene) -> None:
    serving = asyncio.Event()
    task = asyncio.create_task(scene.alone.command_then_serve(Request("work", {}), scene.path, serving.set))
    await serving.wait()
    assert scene.delivered[-1] == Result({"done": True})  # told before, not after
    assert scene.node.calls == ["start"]
    scene.interruption.request()
    assert await task == End()
    assert scene.node.calls == ["start", "stop"]


async def test_after_a_failure_it_does_not_stay(scene: Scene) -> None:
    def unexpected() -> None:
        raise AssertionError("it must not stay")

    assert (await scene.alone.command_then_serve(Request("fail", {}), scene.path, unexpected)).code == 11
    assert scene.node.calls == ["start", "stop"]


async def test_an_interrupt_before_serving_cuts_off(scene: Scene) -> None:
    end = await interrupted(
        scene, lambda: scene.alone.command_then_serve(Request("hang", {}), scene.path, lambda: None)
    )
    assert end == End(130, CUT_OFF)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_the_first_signal_asks_and_the_second_does_not(
    scene: Scene, at_once: list[str], number: signal.Signals
) -> None:
    with scene.interruption:
        signal.raise_signal(number)
        await scene.interruption.wait()
        assert at_once == []
        signal.raise_signal(number)
        while not at_once:
            await asyncio.sleep(0)
    assert at_once == ["now"]


async def test_what_a_guarded_work_raises_comes_through(scene: Scene) -> None:
    async def bad() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        await scene.interruption.guard(bad())


async def test_an_error_while_winding_down_comes_through_and_leaves_no_cancellation_behind(scene: Scene) -> None:
    async def winds_down_badly() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise AlreadyRunningError("while winding down") from None

    asyncio.get_running_loop().call_soon(scene.interruption.request)
    with pytest.raises(AlreadyRunningError):
        await scene.interruption.guard(winds_down_badly())
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_what_a_guarded_start_enters_can_be_left_after_it(scene: Scene) -> None:
    """A task group has to be left by the task that entered it: a node enters one in start and leaves it in stop."""
    group = asyncio.TaskGroup()
    await scene.interruption.guard(group.__aenter__())
    group.create_task(asyncio.sleep(0))
    await group.__aexit__(None, None, None)


@dataclass
class CrashingNode(FakeNode):
    """A task that it owns dies while it serves, or while a command works."""

    error: Exception = field(default_factory=lambda: ZeroDivisionError("a bug in a task"))

    async def start(self) -> None:
        await super().start()
        self.group = asyncio.TaskGroup()
        await self.group.__aenter__()
        self.group.create_task(self._crash())

    async def _crash(self) -> None:
        await asyncio.sleep(0.01)
        raise self.error

    async def stop(self) -> None:
        await super().stop()
        await self.group.__aexit__(None, None, None)


@pytest.mark.parametrize("life", ["serve", "command"])
async def test_a_task_of_the_node_that_dies_takes_it_down_with_a_sentence(scene: Scene, life: str) -> None:
    node = CrashingNode()
    scene.node.calls = node.calls
    alone = Alone(node, OPERATIONS, "dhtshare", scene.delivered.append, scene.interruption)
    end = await (alone.serve(scene.path) if life == "serve" else alone.command(Request("hang", {})))
    assert end.code == 1
    assert "ZeroDivisionError: a bug in a task" in (end.message or "")
    assert "Traceback" in (end.traceback or "")
    assert node.calls == ["start", "stop"]


async def test_a_bug_at_the_start_is_a_sentence_too(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    async def start() -> None:
        raise NameError("a name")

    monkeypatch.setattr(scene.node, "start", start)
    end = await scene.alone.serve(scene.path)
    assert (end.code, "NameError" in (end.message or "")) == (1, True)


async def test_a_task_that_fails_for_a_known_reason_keeps_its_code(scene: Scene) -> None:
    node = CrashingNode(error=DiskError("The disk is full."))
    scene.node.calls = node.calls
    alone = Alone(node, OPERATIONS, "dhtshare", scene.delivered.append, scene.interruption)
    assert await alone.serve(scene.path) == End(7, "The disk is full.")


async def test_guarding_itself_can_be_cancelled(scene: Scene) -> None:
    undone = asyncio.Event()

    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            undone.set()

    task = asyncio.create_task(scene.interruption.guard(forever()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert undone.is_set()


async def test_an_interrupt_before_the_work_begins_counts(scene: Scene) -> None:
    scene.interruption.request()
    with pytest.raises(InterruptedByUserError):
        await scene.interruption.guard(hang(scene.node, Nothing(), lambda _: None))
