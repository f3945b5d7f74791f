"""Which paths of a collection a pattern takes: the rules of `--only`.

`*` and `?` stop at '/', `**` does not ('**/' also stands for no folder at all), `[…]` and `[!…]` are sets.
A pattern whose last part has no wildcard, or that ends in '/', names a file or a folder, and a folder takes
all below it. Patterns are matched against the whole path inside the collection, case counts.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from dhtshare.errors import UsageError

_TOKEN = re.compile(
    r"""
    (?P<any_folders>(?<![^/])\*\*/) | (?P<anything>\*\*+) | (?P<star>\*) | (?P<one>\?)
    | (?P<set>\[ (?:!|(?!!)) (?:\][^]/]*|[^]/]+) \])  # never empty: a ']' that comes first is a member
    | .
    """,
    re.DOTALL | re.VERBOSE,
)


def compile_globs(globs: Iterable[str]) -> re.Pattern[str]:
    """A pattern that fullmatches every path which one of `globs` takes (an empty folder's without its '/').

    No globs take nothing. Raises UsageError for a set that is none, such as '[z-a]'.
    """
    patterns = []
    for glob in globs:
        try:
            patterns.append(re.compile(_translate(glob)).pattern)
        except re.error as error:
            raise UsageError(f"The pattern {glob!a} cannot be read: {error.msg}.") from error
    return re.compile("|".join(patterns) or r"(?!)", re.DOTALL)


def _translate(glob: str) -> str:
    glob = unicodedata.normalize("NFC", glob).removeprefix("./")
    named = glob.removesuffix("/")
    tokens = list(_TOKEN.finditer(named))
    last_part = named.rfind("/") + 1
    takes_folder = named != glob or not any(token.lastgroup for token in tokens if token.start() >= last_part)
    body = "".join(map(_expression, tokens))
    return f"(?:{body})(?:/.*)?" if takes_folder else f"(?:{body})"


def _expression(token: re.Match[str]) -> str:
    text = token[0]
    match token.lastgroup:
        case "any_folders":
            return "(?:.*/)?"
        case "anything":
            return ".*"
        case "star":
            return "[^/]*"
        case "one":
            return "[^/]"
        case "set":
            negated = text.startswith("[!")
            members = re.sub(r"([\\\[\]^&~|])", r"\\\1", text[2 if negated else 1 : -1]).replace("--", r"-\-")
            return f"(?!/)[{'^' if negated else ''}{members}]"
        case _:
            return re.escape(text)
