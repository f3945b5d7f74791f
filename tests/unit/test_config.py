"""Sizes, rates, and what a node refuses to be told."""

from pathlib import Path
from typing import Any

import pytest

from dhtshare.config import NodeConfig, default_home, parse_size
from dhtshare.errors import DhtshareError, UsageError, from_code


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0", 0), ("300", 300), ("1K", 1024), ("1.5m", 1572864), ("2G", 2 << 30), ("10MiB", 10 << 20), (" 7 KB ", 7168)],
)
def test_sizes(text: str, expected: int) -> None:
    assert parse_size(text) == expected


@pytest.mark.parametrize("text", ["", "-1", "1T", "1.2.3", "K", "١", "1e3", "9" * 16])
def test_malformed_sizes(text: str) -> None:
    with pytest.raises(UsageError):
        parse_size(text)


@pytest.mark.parametrize(
    "field",
    [
        {"port": 65536},
        {"port": -1},
        {"announce_port": 1023},  # other nodes would refuse to dial it
        {"reachable": "maybe"},
        {"encryption": "always"},
        {"max_upload": -1},
        {"treat_as_public": ("not a network",)},
    ],
)
def test_a_wrong_setting_is_a_usage_error(tmp_path: Path, field: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        NodeConfig(home=tmp_path, **field)


def test_the_default_home_is_ours() -> None:
    assert default_home().name == "dhtshare"


@pytest.mark.parametrize("code", [1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 130])
def test_each_exit_code_comes_back_as_its_error(code: int) -> None:
    error = from_code(code, "sentence")
    assert error.exit_code == code
    assert str(error) == "sentence"


def test_an_unknown_code_is_a_failure() -> None:
    assert type(from_code(99, "x")) is DhtshareError
