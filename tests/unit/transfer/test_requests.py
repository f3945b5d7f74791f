"""Each request has a number of its own and one answer, and nobody waits when the connection has ended."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dhtshare.errors import NetworkError, RemoteProtocolError
from dhtshare.network import Address
from dhtshare.transfer import requests
from dhtshare.transfer.messages import MAX_REQUESTS_IN_FLIGHT, Answer, Data
from dhtshare.transfer.parties import Landed
from dhtshare.transfer.requests import Requests

ADDRESS = Address("127.0.0.1", 4470)


class Waiting:
    def __init__(self, data: int = 1) -> None:
        self.errors: list[Exception] = []
        self.left = data

    def place(self, length: int) -> memoryview | None:
        return None

    def answered(self, answer: Answer, payload: memoryview | None) -> None:
        pass

    def data_came(self) -> tuple[Landed, bool]:
        self.left -= 1
        return self, not self.left

    def received(self, data: Data, payload: memoryview | None) -> None:
        pass

    def digest(self, data: Data, payload: memoryview | None) -> Callable[[], None]:
        return lambda: None

    def lost(self, error: Exception) -> None:
        self.errors.append(error)


def test_an_answer_is_taken_once() -> None:
    made, waiting = Requests(ADDRESS), Waiting()
    number = made.add(waiting)
    assert number in made
    assert made.of(number) is waiting
    assert made.of(number) is waiting
    assert made.take(number) is waiting
    assert len(made) == 0
    for answer in (made.of, made.take):
        with pytest.raises(RemoteProtocolError, match="never made"):
            answer(number)


def test_a_request_is_over_with_the_last_data_of_its_answer() -> None:
    made, waiting = Requests(ADDRESS), Waiting(data=3)
    number = made.add(waiting)
    for left in (1, 1, 0):
        assert made.take_data(number) is waiting
        assert len(made) == left
    with pytest.raises(RemoteProtocolError, match="never made"):
        made.take_data(number)


def test_what_was_never_asked_is_no_answer() -> None:
    with pytest.raises(RemoteProtocolError, match=str(ADDRESS)):
        Requests(ADDRESS).take(0)


def test_so_many_at_a_time_and_no_more() -> None:
    made = Requests(ADDRESS)
    numbers = [made.add(Waiting()) for _ in range(MAX_REQUESTS_IN_FLIGHT)]
    assert len(set(numbers)) == len(numbers)
    with pytest.raises(NetworkError, match="unanswered"):
        made.add(Waiting())
    made.take(numbers[0])
    assert made.add(Waiting()) not in numbers


def test_numbers_begin_again_after_the_largest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "MAX_REQUEST", 3)
    made = Requests(ADDRESS)
    numbers = []
    for _ in range(5):
        numbers.append(made.add(Waiting()))
        made.take(numbers[-1])
    assert numbers == [1, 2, 3, 1, 2]


def test_the_end_is_told_to_all_who_wait_and_once() -> None:
    made, over, unmade = Requests(ADDRESS), Waiting(), Waiting()
    waiting = [Waiting(), Waiting()]
    made.take(made.add(over))
    made.unmade(made.add(unmade))
    for one in waiting:
        made.add(one)
    error = NetworkError("closed")
    made.lose(error)
    made.lose(error)
    assert [one.errors for one in waiting] == [[error], [error]]
    assert over.errors == unmade.errors == []
    assert len(made) == 0
