"""The command line as scripts see it: where options stand, what goes where, the last line, the environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import dhtshare
from dhtshare.cli.commands import COMMANDS
from tests.e2e.conftest import MakeFile
from tests.processes import ROOT, Home, Network, Node


def _program(*arguments: object, environment: dict[str, str], cwd: Path) -> subprocess.CompletedProcess[str]:
    """dhtshare with exactly these arguments: nothing of a home or network is added."""
    command = [sys.executable, "-P", "-m", "dhtshare", *map(str, arguments)]
    return subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True, check=False, timeout=60)


def test_version(network: Network, tmp_path: Path) -> None:
    done = _program("--version", environment=network.environment(), cwd=tmp_path)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, f"dhtshare {dhtshare.__version__}", "")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(network: Network, tmp_path: Path, command: str) -> None:
    done = _program(command, "--help", environment=network.environment(), cwd=tmp_path)
    assert done.returncode == 0
    assert "Usage" in done.stdout
    assert done.stderr == ""


def test_help_names_every_command(network: Network, tmp_path: Path) -> None:
    done = _program("--help", environment=network.environment(), cwd=tmp_path)
    assert done.returncode == 0
    assert all(command in done.stdout for command in COMMANDS)


def test_global_options_stand_before_or_after_the_command(nodes: list[Node], tmp_path: Path) -> None:
    network = nodes[0].home.network
    options = ["--home", nodes[0].home.path, "--network", network.name, "--json"]
    before = _program(*options, "list", environment=network.environment(), cwd=tmp_path)
    after = _program("list", *options, environment=network.environment(), cwd=tmp_path)
    assert (before.returncode, after.returncode) == (0, 0)
    assert json.loads(before.stdout) == json.loads(after.stdout)


def test_every_option_is_an_environment_variable(nodes: list[Node], make_file: MakeFile, tmp_path: Path) -> None:
    network = nodes[0].home.network
    nodes[0].run("publish", make_file("environment gull.txt"), make_file("environment gull 2.txt"))
    environment = network.environment() | {
        "DHTSHARE_HOME": str(network.home().path),
        "DHTSHARE_NETWORK": network.name,
        "DHTSHARE_JSON": "1",
        "DHTSHARE_QUIET": "1",
        "DHTSHARE_BOOTSTRAP": f"127.0.0.1:9 {nodes[0].address}",  # lists are separated by spaces
        "DHTSHARE_LIMIT": "1",
    }
    done = _program("search", "gull", environment=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    [line] = done.stdout.splitlines()
    assert len(json.loads(line)["results"]) == 1
    assert done.stderr == ""


def test_quiet_json_is_the_result_line_alone(nodes: list[Node], make_file: MakeFile) -> None:
    path = make_file("quiet.bin", 3 << 20)
    [published] = nodes[1].run("publish", path, "--quiet").lines
    done = nodes[2].run("fetch", published["hash"], "-q", "-o", "quiet")
    [fetched] = done.lines
    assert fetched["hash"] == published["hash"]
    assert done.stderr == ""


def test_results_go_to_stdout_and_the_rest_to_stderr(nodes: list[Node], make_file: MakeFile) -> None:
    path = make_file("spoken.txt")
    published = nodes[1].run("publish", path, json_output=False)
    assert path.name in published.stdout
    assert "\x1b" not in published.stdout + published.stderr, "no terminal, no colours"
    missing = nodes[1].run("search", "unspoken", json_output=False, code=4)
    assert missing.stderr.startswith("dhtshare: ")


def test_json_is_ascii_and_names_are_exact(nodes: list[Node], make_file: MakeFile) -> None:
    path = make_file("naïve 名前 🎵.txt")
    done = nodes[1].run("publish", path)
    assert done.stdout.isascii()
    assert done.result["name"] == path.name


@pytest.mark.parametrize(
    ("command", "fields"),
    [
        (["status"], {"node_id", "ids", "peer_id", "address", "contacts", "transfers", "memory"}),
        (["peers"], {"contacts", "peers"}),
        (["list"], {"items"}),
        (["limit"], {"max_upload", "max_download"}),
        (["verify"], set()),
    ],
)
def test_results_have_their_fields(nodes: list[Node], command: list[str], fields: set[str]) -> None:
    assert fields <= nodes[0].run(*command).result.keys()


def test_list_items_have_their_fields(nodes: list[Node], make_file: MakeFile) -> None:
    published = nodes[3].run("publish", make_file("itemised.txt")).result
    items = {item["hash"]: item for item in nodes[3].run("list").result["items"]}
    item = items[published["hash"]]
    assert {"hash", "name", "path", "state", "kind", "size"} <= item.keys()
    assert item["state"] == "shared"


def test_a_traceback_is_only_for_the_verbose(home: Home) -> None:
    failed = home.run("fetch", "rubbish", "--no-lan", code=2)
    assert "Traceback" not in failed.stderr


def test_the_folder_one_stands_in_is_not_searched_for_modules(nodes: list[Node], tmp_path: Path) -> None:
    (tmp_path / "random.py").write_text("raise SystemExit('somebody else')")
    (tmp_path / "dhtshare.py").write_text("raise SystemExit('somebody else')")
    command = nodes[0].home.command("list")
    environment = nodes[0].home.network.environment()
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0


def test_the_program_of_a_checkout_is_the_same(network: Network, tmp_path: Path) -> None:
    made = ROOT / ".environments" / "run" / "pyproject.toml"
    if not made.exists() or made.read_bytes() != (ROOT / "pyproject.toml").read_bytes():
        pytest.skip("./scripts/dhtshare has not made its environment here; that takes half a minute")
    (tmp_path / "link to it").symlink_to(ROOT / "scripts" / "dhtshare")
    environment = network.environment() | {"PATH": os.environ["PATH"]}
    done = subprocess.run(
        [tmp_path / "link to it", "--version"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, f"dhtshare {dhtshare.__version__}")
