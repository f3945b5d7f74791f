"""Texts of options become values, or one sentence, without typer's own validation."""

from pathlib import Path
from typing import Annotated, Any

import pytest
import typer

from dhtshare.cli.coercion import Coercion
from dhtshare.cli.options import Reachable


@pytest.mark.parametrize(
    ("hint", "text", "value"),
    [
        (str, "x", "x"),
        (str, "7", "7"),
        (int, "7", 7),
        (int, "-1", -1),
        (float, "1.5", 1.5),
        (float, "2", 2.0),
        (Path, "a/b", Path("a/b")),
        (bool, "1", True),
        (bool, "0", False),
        (bool, " Yes ", True),
        (bool, "off", False),
        (Reachable, "yes", Reachable.YES),
        (Reachable, "AUTO", Reachable.AUTO),
        (list[str], ["a", "b"], ["a", "b"]),
        (list[str], ("a",), ["a"]),
        (list[Path], ["a"], [Path("a")]),
        (list[str] | None, None, []),
        (int | None, None, None),
        (int | None, "3", 3),
        (Annotated[Path | None, "info"], "p", Path("p")),
        # defaults come in their own type
        (int, 7, 7),
        (float, 1.5, 1.5),
        (Path, Path(), Path()),
        (bool, True, True),
        (Reachable, Reachable.NO, Reachable.NO),
    ],
)
def test_values(hint: Any, text: object, value: object) -> None:
    coerced = Coercion(hint).coerce(text, param=None, ctx=None)
    assert coerced == value
    assert type(coerced) is type(value)


@pytest.mark.parametrize(
    ("hint", "text", "says"),
    [
        (int, "x", "whole number"),
        (int, "1.5", "whole number"),
        (float, "soon", "a number"),
        (bool, "maybe", "neither 1 nor 0"),
        (bool, "", "neither 1 nor 0"),
        (Reachable, "perhaps", "auto, yes, no"),
        (list[int], ["1", "x"], "whole number"),
    ],
)
def test_what_is_no_value_is_a_bad_parameter(hint: Any, text: object, says: str) -> None:
    with pytest.raises(typer.BadParameter, match=says):
        Coercion(hint).coerce(text, param=None, ctx=None)


def test_a_type_that_no_option_has_is_our_own_mistake() -> None:
    with pytest.raises(TypeError, match="no coercion"):
        Coercion(bytes).coerce("x", param=None, ctx=None)
