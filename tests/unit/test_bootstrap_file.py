"""The list of nodes to ask first."""

from pathlib import Path

import pytest

from dhtshare.bootstrap_file import MAX_ENTRIES, parse_bootstrap, read_bootstrap_file, shipped_bootstrap_nodes
from dhtshare.errors import UsageError


def test_names_addresses_comments_and_blank_lines() -> None:
    text = "# who\n\nnode.example:4470  # a name\n192.0.2.1:4471\n[2001:db8::1]:4472\nnode.example:4470\n"
    assert parse_bootstrap(text, "f") == [("node.example", 4470), ("192.0.2.1", 4471), ("2001:db8::1", 4472)]


def test_a_malformed_line_is_named() -> None:
    with pytest.raises(UsageError, match="list, line 2: 'no port'"):
        parse_bootstrap("a:1\nno port\n", "list")


def test_the_number_of_entries_is_bounded() -> None:
    with pytest.raises(UsageError):
        parse_bootstrap("\n".join(f"h{number}:1" for number in range(MAX_ENTRIES + 1)), "f")


@pytest.mark.parametrize("content", [None, b"\xff\xfe", b"x" * ((1 << 20) + 1)])
def test_a_file_that_is_none(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "nodes.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError):
        read_bootstrap_file(path)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        read_bootstrap_file(tmp_path)


def test_the_shipped_list_parses() -> None:
    assert isinstance(shipped_bootstrap_nodes(), list)
