"""Whole command lines: options before and after, the environment, exit codes, both printers."""

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dhtshare import __version__
from dhtshare.cli import main as main_module
from dhtshare.cli.commands import COMMANDS, program
from dhtshare.cli.main import run, wants
from dhtshare.control.protocol import End, Event, Result
from dhtshare.errors import DhtshareError
from tests.unit.cli.cli_fakes import CommandLine, Ran, clean_environment, running_node

ROOT = Path(__file__).parents[3]


@pytest.fixture
def dhtshare(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    clean_environment(monkeypatch)
    monkeypatch.chdir(tmp_path)
    return CommandLine(tmp_path / "home", capsys)


LIMITS = {"max_upload": 1024, "max_download": 0}


def test_json_gives_the_result_as_the_last_line(dhtshare: CommandLine) -> None:
    with running_node(dhtshare.home, Event({"event": "x"}), Result(LIMITS), End()):
        ran = dhtshare("limit", "--json")
    assert (ran.code, ran.lines, ran.err) == (0, [{"event": "x"}, LIMITS], "")


def test_quiet_json_is_the_result_line_only(dhtshare: CommandLine) -> None:
    with running_node(dhtshare.home, Event({"event": "x"}), Result(LIMITS), End()):
        assert dhtshare("-q", "--json", "limit").lines == [LIMITS]


def test_text_goes_through_the_view(dhtshare: CommandLine) -> None:
    with running_node(dhtshare.home, Result(LIMITS), End()):
        assert dhtshare("limit").out.splitlines() == ["upload    1.0 KiB/s", "download  unlimited"]


def test_json_is_ascii_and_names_in_it_are_exact(dhtshare: CommandLine) -> None:
    name = "Música\u202e\x1b \udcff"
    with running_node(dhtshare.home, Result({"name": name}), End()):
        ran = dhtshare("status", "--json")
    assert ran.out.isascii()
    assert ran.last == {"name": name}


def test_a_foreign_name_never_reaches_a_terminal_raw(dhtshare: CommandLine) -> None:
    end = End(1, "bad \x1b]0;title\x07")
    with running_node(dhtshare.home, Event({"event": "m", "message": "\x9b2J"}), Result({"name": "a\u202eb\n"}), end):
        ran = dhtshare("status", "-v")
    assert ran.out == "name  a<U+202E>b<U+000A>\n"
    assert ran.err == "<U+009B>2J\ndhtshare: bad <U+001B>]0;title<U+0007>\n"


@pytest.mark.parametrize("code", [1, 2, 3, 4, 5, 6, 7, 8, 130])
def test_a_failure_without_a_result_is_the_last_line(dhtshare: CommandLine, code: int) -> None:
    with running_node(dhtshare.home, Event({"event": "x"}), End(code, "Why, and what next.")):
        ran = dhtshare("status", "--json")
    assert ran.code == code
    assert ran.last == {"error": {"code": code, "message": "Why, and what next."}}
    assert ran.err == "dhtshare: Why, and what next.\n"


def test_a_failure_with_a_result_ends_with_the_result(dhtshare: CommandLine) -> None:
    with running_node(dhtshare.home, Result({"results": []}), End(4, "No hit.")):
        ran = dhtshare("search", "x", "--json")
    assert (ran.code, ran.last) == (4, {"results": []})


def test_one_object_for_each_of_several(dhtshare: CommandLine) -> None:
    failed = {"target": "b", "error": {"code": 4, "message": "Nobody has it."}}
    with running_node(dhtshare.home, Result({"hash": "a"}), Result(failed), End(3, "1 of 2 failed.")):
        ran = dhtshare("fetch", "a", "b", "--json")
    assert (ran.code, ran.lines) == (3, [{"hash": "a"}, failed])


def test_a_bug_shows_its_traceback_only_when_asked(dhtshare: CommandLine) -> None:
    end = End(1, "Something failed.", "Traceback (most recent call last):\n  ZeroDivisionError")
    with running_node(dhtshare.home, end):
        assert "Traceback" not in dhtshare("status").err
        assert "Traceback" in dhtshare("status", "--verbose").err


def test_no_running_node_is_code_10(dhtshare: CommandLine) -> None:
    for command in (["status"], ["peers"], ["limit"], ["stop"], ["dht", "status"]):
        ran = dhtshare(*command, "--json")
        assert (ran.code, ran.last["error"]["code"]) == (10, 10)
        assert str(dhtshare.home) in ran.err


def test_a_node_that_goes_away_is_code_1(dhtshare: CommandLine) -> None:
    with running_node(dhtshare.home, Event({"event": "x"})):
        ran = dhtshare("status", "--json")
    assert (ran.code, ran.last["error"]["code"]) == (1, 1)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--json", "--network", "n", "status"],
        ["status", "--json", "--network", "n"],
        ["--json", "status", "--network", "n"],
        ["--network", "other", "--json", "status", "--network", "n"],
    ],
)
def test_global_options_before_and_after(dhtshare: CommandLine, arguments: list[str]) -> None:
    with running_node(dhtshare.home, Result({"a": 1}), End()) as node:
        assert dhtshare(*arguments).last == {"a": 1}
    assert node.requests[0].network == "n"


def test_a_group_takes_them_in_its_middle_too(dhtshare: CommandLine) -> None:
    with running_node(dhtshare.home, Result({"a": 1}), End()) as node:
        assert dhtshare("dht", "--json", "status", "--network", "n").last == {"a": 1}
    assert node.requests[0].network == "n"


def test_every_option_is_in_the_environment(dhtshare: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"JSON": "1", "LIMIT": "7", "EXT": "mp3", "MIN_SIZE": "1K", "KIND": "file"}.items():
        monkeypatch.setenv(f"DHTSHARE_{name}", value)
    with running_node(dhtshare.home, Result({"results": []}), End()) as node:
        assert dhtshare("search", "x").last == {"results": []}
    args = {"words": ["x"], "limit": 7, "ext": "mp3", "min_size": 1024, "kind": "file"}
    assert node.requests[0].args == args


def test_lists_in_the_environment_are_separated_by_spaces(
    dhtshare: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DHTSHARE_ONLY", "*.mp3 docs/**")
    monkeypatch.setenv("DHTSHARE_PEER", "a:1 b:2")
    monkeypatch.setenv("DHTSHARE_SEED", "0")
    with running_node(dhtshare.home, End()) as node:
        dhtshare("fetch", "7")
    assert node.requests[0].args["only"] == ["*.mp3", "docs/**"]
    assert node.requests[0].args["peers"] == ["a:1", "b:2"]
    assert node.requests[0].args["seed"] is False


def test_a_flag_of_0_is_off(dhtshare: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DHTSHARE_JSON", "0")
    monkeypatch.setenv("DHTSHARE_EACH", "0")
    with running_node(dhtshare.home, End(1, "No.")) as node:
        assert dhtshare("publish", "x").out == ""
    assert node.requests[0].args["each"] is False


def test_what_is_typed_before_the_command_stands_over_the_environment(
    dhtshare: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DHTSHARE_HOME", str(tmp_path / "elsewhere"))
    with running_node(dhtshare.home, End()) as node:
        assert dhtshare("status").code == 0  # the fixture types --home first
    assert node.requests


def test_the_environment_alone_names_the_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clean_environment(monkeypatch)
    monkeypatch.setenv("DHTSHARE_HOME", str(tmp_path / "h"))
    with running_node(tmp_path / "h", End()) as node:
        assert run(["status"]) == 0
    assert node.requests


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["search"], "WORD"),
        (["search", "--limit", "many", "x"], "'many' is not a whole number"),
        (["search", "--kind", "song", "x"], "not one of file, collection"),
        (["search", "--min-size", "big", "x"], "'big' is not a size"),
        (["search", "--nonsense", "x"], "--nonsense"),
        (["serch", "x"], "Did you mean 'search'?"),
        (["fetch", "x", "--timeout", "soon"], "'soon' is not a number"),
        (["dht"], "Missing command"),
        (["dht", "pong"], "ping"),
        (["info", "./nothing here"], "no such file"),
        (["node", "--port", "99999"], "outside"),
        (["node", "--announce-port", "80"], "outside"),
        (["node", "--reachable", "maybe"], "not one of auto, yes, no"),
        (["node", "--treat-as-public", "x"], "--treat-as-public"),
        (["lab", "--dead", "2"], "--dead"),
        (["lab", "--nodes", "1"], "--nodes"),
        (["lab", "--rtt", "0"], "--rtt"),
    ],
)
def test_bad_usage_is_code_2_in_both_voices(dhtshare: CommandLine, arguments: list[str], says: str) -> None:
    spoken = dhtshare(*arguments)
    assert spoken.code == 2
    assert says in spoken.err
    assert spoken.out == ""
    ran = dhtshare("--json", *arguments)
    assert ran.code == 2
    assert ran.last["error"]["code"] == 2
    assert says in ran.last["error"]["message"]


def test_a_usage_error_says_where_to_read_on(dhtshare: CommandLine) -> None:
    assert dhtshare("search").err.rstrip().endswith("See: dhtshare search --help")


def test_flags_are_known_before_the_line_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    clean_environment(monkeypatch)
    assert wants(["search", "--json"], "--json")
    assert wants(["search", "-v"], "--verbose", "-v")
    assert not wants(["search", "--", "--json"], "--json")
    monkeypatch.setenv("DHTSHARE_JSON", "1")
    assert wants(["search", "--", "--json"], "--json")


def test_version(dhtshare: CommandLine) -> None:
    assert dhtshare("--version").out == f"dhtshare {__version__}\n"
    assert dhtshare("search", "--version").out == f"dhtshare {__version__}\n"
    assert dhtshare("--version", "--json").last == {"version": __version__}


def leaf_commands() -> Iterator[tuple[list[str], Any]]:
    root = program("dhtshare", "", "")
    for name in COMMANDS:
        command = root.get_command(None, name)
        if hasattr(command, "list_commands"):
            for verb in command.list_commands(None):
                yield [name, verb], command.get_command(None, verb)
        else:
            yield [name], command


def test_every_command_of_the_contract_is_there() -> None:
    contract = "node publish search fetch info list status peers unpublish verify limit stop dht lab demo"
    assert set(COMMANDS) == set(contract.split())


def test_every_option_of_every_command_has_its_variable_once() -> None:
    before = {"--home", "--network", "--json", "--quiet", "--verbose", "--version", "--help"}
    for path, command in leaf_commands():
        for parameter in command.params:
            if parameter.param_type_name != "option":
                continue
            long = next(name for name in parameter.opts if name.startswith("--"))
            expected = None if long in before else "DHTSHARE_" + long[2:].replace("-", "_").upper()
            assert parameter.envvar == expected, (path, long)


def test_every_command_explains_itself(dhtshare: CommandLine) -> None:
    for path, command in leaf_commands():
        ran = dhtshare(*path, "--help")
        assert ran.code == 0
        assert command.help.split(".")[0].split()[0] in ran.out
    listed = dhtshare("--help").out.split()
    assert set(COMMANDS) <= set(listed)


def test_options_of_the_contract(dhtshare: CommandLine) -> None:
    joining = "host port bootstrap bootstrap-file no-lan announce-host announce-port encryption max-upload max-download"
    contract = {
        "node": f"{joining} reachable share until-eof treat-as-public",
        "publish": f"{joining} keyword name each no-wait",
        "search": f"{joining} limit kind ext min-size max-size timeout",
        "fetch": f"{joining} output only sequential peer overwrite rename seed timeout",
        "info": joining,
        "limit": "max-upload max-download",
        "lab": "nodes dead loss churn liars seed rtt",
    }
    for path, command in leaf_commands():
        options = {name for parameter in command.params for name in parameter.opts}
        assert {f"--{name}" for name in contract.get(path[0], "").split()} <= options
        assert {"--home", "--network", "--json", "--quiet", "-q", "--verbose", "-v", "--version"} <= options


def test_nothing_heavy_is_imported_to_ask_a_running_node(tmp_path: Path) -> None:
    with running_node(tmp_path / "home", Result({"results": []}), End(4, "No hit.")):
        heavy = "asyncio pydantic rich cryptography kademlia sqlite3 blake3 logging msgpack platformdirs"
        script = (
            "import sys; from dhtshare.cli.main import run;"
            f"code = run(['--home', {str(tmp_path / 'home')!r}, '--json', 'search', 'x']);"
            f"print([name for name in {heavy.split()} if name in sys.modules]); sys.exit(code)"
        )
        done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 4, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("words", "number", "completions"),
    [
        ("dhtshare se", 1, {"search"}),
        ("dhtshare dht p", 2, {"ping"}),
        ("dhtshare search --ki", 2, {"--kind"}),
        ("dhtshare node --reachable ", 3, {"auto", "yes", "no"}),
    ],
)
def test_the_shell_completes(words: str, number: int, completions: set[str]) -> None:
    environment = {"_DHTSHARE_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(number)}
    command = [sys.executable, "-m", "dhtshare"]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == completions


def ended_with(error: BaseException, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Ran:
    """What `main` makes of an error that reached it."""

    def fail(_: object) -> int:
        raise error

    streams = [io.TextIOWrapper(io.BytesIO(), write_through=True) for _ in range(2)]
    with monkeypatch.context() as patch:
        patch.setattr(main_module, "run", fail)
        patch.setattr(sys, "stdout", streams[0])
        patch.setattr(sys, "stderr", streams[1])
        patch.setattr(sys, "argv", ["dhtshare", *arguments])
        with pytest.raises(SystemExit) as ended:
            main_module.main()
    out, err = (stream.buffer.getvalue().decode() for stream in streams)  # type: ignore[attr-defined]
    assert isinstance(ended.value.code, int)
    return Ran(ended.value.code, out, err)


def test_an_interrupt_anywhere_is_130_and_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    ran = ended_with(KeyboardInterrupt(), monkeypatch, "status", "--json")
    assert (ran.code, ran.last) == (130, {"error": {"code": 130, "message": "Interrupted."}})
    assert ran.err == "dhtshare: Interrupted.\n"


def test_a_bug_anywhere_is_a_sentence_and_with_v_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    ran = ended_with(KeyError("hash"), monkeypatch, "status", "--json")
    assert (ran.code, ran.last["error"]["code"]) == (1, 1)
    assert "KeyError" in ran.err
    assert "Traceback" not in ran.err
    assert "Traceback" in ended_with(KeyError("hash"), monkeypatch, "status", "-v").err


def test_a_reader_that_has_seen_enough_gets_no_traceback(tmp_path: Path) -> None:
    items = [{"name": "x" * 200, "size": 1, "state": "shared", "hash": "0" * 64, "path": "/x"}] * 3000
    with running_node(tmp_path / "home", Result({"items": items}), End()):
        command = [sys.executable, "-m", "dhtshare", "--home", str(tmp_path / "home"), "list"]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
        process.stderr.close()
        assert process.wait() == 1


def test_an_error_raised_by_a_command_is_shown_once(dhtshare: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    from dhtshare.cli.session import Session

    def fail(*_: object) -> None:
        raise DhtshareError("It broke. Mend it.")

    monkeypatch.setattr(Session, "connect", fail)
    ran = dhtshare("status", "--json")
    assert (ran.code, ran.err) == (1, "dhtshare: It broke. Mend it.\n")
    assert json.loads(ran.out) == {"error": {"code": 1, "message": "It broke. Mend it."}}
