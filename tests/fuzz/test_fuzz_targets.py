"""Every decoder against a few thousand bent inputs, and against each input that once broke it.

`scripts/fuzz` runs the same targets for as long as one likes.
"""

from __future__ import annotations

import itertools
import random
import time

import pytest

from dhtshare.transfer.messages import KINDS
from tests.fuzz.kept_targets import TARGETS as KEPT_TARGETS
from tests.fuzz.mutate import mutations
from tests.fuzz.serving_targets import TARGETS as SERVING_TARGETS
from tests.fuzz.target import FOUND, SLOW_SECONDS, Target
from tests.fuzz.text_targets import TARGETS as TEXT_TARGETS
from tests.fuzz.wire_targets import MESSAGES
from tests.fuzz.wire_targets import TARGETS as WIRE_TARGETS

TARGETS = (*WIRE_TARGETS, *SERVING_TARGETS, *TEXT_TARGETS, *KEPT_TARGETS)
INPUTS = 4000

by_name = pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)


@by_name
def test_well_formed_inputs_pass(target: Target) -> None:
    for seed in target.seeds:
        target.run(seed)
    target.run(b"")


@by_name
def test_bent_inputs_break_nothing(target: Target) -> None:
    rng = random.Random(f"{target.name} 1")
    for data in itertools.islice(mutations(target.seeds, rng), INPUTS):
        try:
            target.run(data)
        except BaseException:
            print(f"target {target.name}, input {data!r}")  # noqa: T201 - for the input file
            raise


@by_name
def test_inputs_that_once_broke_it(target: Target) -> None:
    for path in target.found():
        target.run(path.read_bytes())


def test_there_are_such_inputs() -> None:
    assert any(target.found() for target in TARGETS)


def test_a_slow_input_is_a_fault() -> None:
    def spin(data: bytes) -> None:
        until = time.thread_time() + SLOW_SECONDS + 0.1
        while time.thread_time() < until:
            pass

    with pytest.raises(AssertionError, match="took"):
        Target("slow", spin, ()).run(b"")


def test_every_kind_of_message_is_a_seed_of_frames() -> None:
    assert [type(message) for message, _ in MESSAGES] == list(KINDS.values())


def test_kept_inputs_belong_to_a_target() -> None:
    assert {folder.name for folder in FOUND.iterdir() if folder.is_dir()} <= {target.name for target in TARGETS}


def test_mutations_repeat_for_a_seed_and_differ_between_seeds() -> None:
    def first(seed: int) -> list[bytes]:
        return list(itertools.islice(mutations([b"abcdef", b"ghijkl"], random.Random(seed)), 50))

    assert first(1) == first(1) != first(2)
    assert len(set(first(1))) > 40
