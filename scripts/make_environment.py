"""make_environment.py NAME [GROUP…]: makes the virtual environment .environments/NAME of this checkout.

Runs on a bare Python 3.11 (standard library only). Two that start at once do not meet: the second waits for the
first and uses what it made. Quiet but for one line; what pip said is kept and shown when it failed.
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENTS = ROOT / ".environments"
MARK = "pyproject.toml"

NO_VENV = """\
{python} (Python {version}) cannot make virtual environments: its venv and ensurepip modules are not installed.
Install one of these and run the command again:
  Debian, Ubuntu:  sudo apt install python{version}-venv
  Fedora:          sudo dnf install python3-pip
  anywhere:        uv (https://docs.astral.sh/uv) or virtualenv\
"""


def group_requirements(groups: dict[str, list[str | dict[str, str]]], name: str) -> Iterator[str]:
    """The requirements of a dependency group, included groups resolved (PEP 735; pip before 25.1 cannot)."""
    for item in groups[name]:
        if isinstance(item, str):
            yield item
        else:
            yield from group_requirements(groups, item["include-group"])


def creation_command(target: Path) -> list[str]:
    """How to make an empty environment with what this machine has. Exits with advice where it has nothing."""
    if importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip"):
        return [sys.executable, "-m", "venv", str(target)]
    if uv := shutil.which("uv"):
        return [uv, "venv", "--quiet", "--python", sys.executable, str(target)]
    if virtualenv := shutil.which("virtualenv"):
        return [virtualenv, "--quiet", "--python", sys.executable, str(target)]
    if importlib.util.find_spec("virtualenv"):
        return [sys.executable, "-m", "virtualenv", "--quiet", str(target)]
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    sys.exit(NO_VENV.format(python=sys.executable, version=version))


def install_command(target: Path) -> list[str]:
    """The installer inside the environment: its own pip, or uv for an environment that uv made without one."""
    python = target / "bin" / "python"
    if any(target.glob("lib/python3*/site-packages/pip")):
        return [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    return ["uv", "pip", "install", "--quiet", "--python", str(python)]


def run(command: list[str], log: Path) -> None:
    """Runs a step with its output in `log`; on failure shows the output and ends."""
    with log.open("ab") as output:
        finished = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False)
    if finished.returncode != 0:
        sys.stderr.write(log.read_text(errors="replace"))
        sys.exit(f"Setting up failed at: {' '.join(command)}\nSee the lines above; nothing was installed elsewhere.")


def make(name: str, groups: list[str]) -> None:
    """Makes the environment unless another process just did."""
    target, wanted = ENVIRONMENTS / name, (ROOT / "pyproject.toml").read_bytes()
    mark, log = target / MARK, ENVIRONMENTS / f"{name}.log"
    if mark.exists() and mark.read_bytes() == wanted and os.access(target / "bin" / "python", os.X_OK):
        return
    print(f"dhtshare: preparing {target} (once, about half a minute) …", file=sys.stderr, flush=True)
    shutil.rmtree(target, ignore_errors=True)
    log.unlink(missing_ok=True)
    create = creation_command(target)
    table = tomllib.loads(wanted.decode())["dependency-groups"]
    requirements = [requirement for group in groups for requirement in group_requirements(table, group)]
    run(create, log)
    run([*install_command(target), "--editable", str(ROOT), *requirements], log)
    mark.write_bytes(wanted)


def main() -> None:
    name, *groups = sys.argv[1:]
    try:
        ENVIRONMENTS.mkdir(exist_ok=True)
        lock = (ENVIRONMENTS / f"{name}.lock").open("w")
    except OSError as error:
        sys.exit(f"Cannot write {ENVIRONMENTS}: {error.strerror}. Make the checkout writable, or use `pipx install .`.")
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        make(name, groups)


if __name__ == "__main__":
    main()
