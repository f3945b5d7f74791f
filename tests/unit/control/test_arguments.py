"""JSON arguments become a typed request, or one sentence."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dhtshare.control.arguments import decode_arguments
from dhtshare.errors import UsageError


@dataclass(frozen=True)
class Sample:
    paths: list[str]
    limit: int = 20
    name: str | None = None
    timeout: float = 10.0
    each: bool = False
    seed: bool | None = None
    tags: tuple[str, ...] = ()
    only: list[str] = field(default_factory=list)


def test_every_field_by_its_name() -> None:
    flags = {"each": True, "seed": False}
    lists = {"paths": ["/a"], "tags": ["t"], "only": ["*"]}
    assert decode_arguments(Sample, {"limit": 3, "name": "n", "timeout": 1} | flags | lists) == Sample(
        ["/a"], 3, "n", 1, True, False, ("t",), ["*"]
    )


def test_defaults_fill_what_is_missing() -> None:
    assert decode_arguments(Sample, {"paths": []}) == Sample([])


def test_a_missing_field_is_named() -> None:
    with pytest.raises(UsageError, match="'paths'"):
        decode_arguments(Sample, {})


def test_a_field_of_a_newer_program_is_refused_not_ignored() -> None:
    with pytest.raises(UsageError, match="'dry_run'"):
        decode_arguments(Sample, {"paths": [], "dry_run": True})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("paths", "/a"),
        ("paths", [1]),
        ("paths", None),
        ("limit", "3"),
        ("limit", 1.0),
        ("limit", True),
        ("limit", 1 << 63),
        ("name", 7),
        ("timeout", "soon"),
        ("timeout", float("nan")),
        ("timeout", float("inf")),
        ("timeout", 10**400),  # too large for a float
        ("timeout", True),
        ("each", 1),
        ("seed", "yes"),
        ("tags", [None]),
        ("only", {}),
    ],
)
def test_a_value_of_another_kind_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(UsageError, match=f"'{name}'"):
        decode_arguments(Sample, {"paths": [], name: value})


def test_only_dataclasses_are_requests() -> None:
    with pytest.raises(TypeError, match="no dataclass"):
        decode_arguments(int, {})


fields = st.sampled_from(["paths", "limit", "name", "timeout", "each", "seed", "tags", "only", "other"])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(fields, values))
def test_any_arguments_give_a_well_typed_request_or_a_sentence(arguments: dict[str, Any]) -> None:
    try:
        request = decode_arguments(Sample, arguments)
    except UsageError:
        return
    assert all(type(path) is str for path in [*request.paths, *request.tags, *request.only])
    assert type(request.limit) is int
    assert type(request.each) is bool
    assert request.seed in (None, True, False)
    assert request.name is None or type(request.name) is str
    assert 0 <= abs(request.timeout) < float("inf")
