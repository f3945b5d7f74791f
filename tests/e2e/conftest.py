"""A running network for a file of end-to-end tests, and files to share in it."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.processes import Network, Node

MakeFile = Callable[..., Path]


@pytest.fixture(scope="module")
def nodes(shared_network: Network) -> list[Node]:
    """Four nodes that live as long as the file's tests; the first is the bootstrap node."""
    return shared_network.nodes(4)


@pytest.fixture
def make_file(tmp_path: Path, request: pytest.FixtureRequest) -> MakeFile:
    """Makes files of random bytes that differ from test to test and run to run alike: the same test, the same bytes."""
    rng = random.Random(request.node.nodeid)

    def make(name: str, size: int = 1000) -> Path:
        path = tmp_path / "files" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(rng.randbytes(size))
        return path

    return make
