"""How the scripts set themselves up, without doing it: requirements, what makes an environment, what is said."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import make_environment
from scripts.make_environment import creation_command, group_requirements, install_command, make, run

FIND_PYTHON = Path(make_environment.__file__).parent / "find-python"


def test_groups_include_groups() -> None:
    groups = {"a": ["one", {"include-group": "b"}], "b": ["two>=2"], "c": ["three"]}
    assert list(group_requirements(groups, "a")) == ["one", "two>=2"]


@pytest.mark.parametrize("group", ["test", "check", "fuzz", "dev"])
def test_the_projects_groups_are_there(group: str) -> None:
    import tomllib

    table = tomllib.loads((make_environment.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]
    assert list(group_requirements(table, group))


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The modules that Python is made to have."""
    names = {"venv", "ensurepip"}
    spec = importlib.machinery.ModuleSpec("any", None)
    monkeypatch.setattr(make_environment.importlib.util, "find_spec", lambda name: spec if name in names else None)
    return names


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The programs that the machine is made to have."""
    names: set[str] = set()
    monkeypatch.setattr(make_environment.shutil, "which", lambda name: f"/bin/{name}" if name in names else None)
    return names


def test_pythons_own_venv_is_preferred(modules: set[str], programs: set[str]) -> None:
    programs |= {"uv", "virtualenv"}
    assert creation_command(Path("/e")) == [sys.executable, "-m", "venv", "/e"]


def test_uv_then_virtualenv_stand_in_for_it(modules: set[str], programs: set[str]) -> None:
    modules.remove("ensurepip")  # Debian's Python: the module venv is there and cannot work
    modules.add("virtualenv")
    assert creation_command(Path("/e"))[:3] == [sys.executable, "-m", "virtualenv"]
    programs.add("virtualenv")
    assert creation_command(Path("/e"))[0] == "/bin/virtualenv"
    programs.add("uv")
    assert creation_command(Path("/e"))[:2] == ["/bin/uv", "venv"]


def test_with_nothing_at_hand_it_says_what_to_install(modules: set[str], programs: set[str]) -> None:
    modules.remove("ensurepip")
    with pytest.raises(SystemExit) as stopped:
        creation_command(Path("/e"))
    sentence = str(stopped.value)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert f"sudo apt install python{version}-venv" in sentence
    assert "uv" in sentence


def test_the_installer_is_the_one_inside(tmp_path: Path) -> None:
    assert install_command(tmp_path)[:2] == ["uv", "pip"]
    (tmp_path / "lib" / "python3.11" / "site-packages" / "pip").mkdir(parents=True)
    assert install_command(tmp_path)[:3] == [str(tmp_path / "bin" / "python"), "-m", "pip"]


def test_a_step_that_fails_shows_what_it_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    step = [sys.executable, "-c", "import sys; print('no such release'); sys.exit(1)"]
    with pytest.raises(SystemExit, match="Setting up failed"):
        run(step, tmp_path / "log")
    assert "no such release" in capsys.readouterr().err
    run([sys.executable, "-c", "print('fine')"], tmp_path / "log")
    assert capsys.readouterr().err == "", "quiet when all is well"


def test_a_finished_environment_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the second of two that started at once finds when its turn comes."""
    monkeypatch.setattr(make_environment, "ENVIRONMENTS", tmp_path)
    (tmp_path / "run" / "bin").mkdir(parents=True)
    (tmp_path / "run" / "bin" / "python").symlink_to(sys.executable)
    wanted = (make_environment.ROOT / "pyproject.toml").read_bytes()
    (tmp_path / "run" / "pyproject.toml").write_bytes(wanted)
    before = (tmp_path / "run").stat().st_mtime_ns
    make("run", [])
    assert (tmp_path / "run").stat().st_mtime_ns == before


def test_a_changed_project_makes_it_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make_environment, "ENVIRONMENTS", tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "pyproject.toml").write_text("older")
    (tmp_path / "run" / "leftover").write_text("of the older one")
    steps: list[list[str]] = []

    def note(command: list[str], log: Path) -> None:
        (tmp_path / "run").mkdir(exist_ok=True)
        steps.append(command)

    monkeypatch.setattr(make_environment, "run", note)
    make("run", ["test"])
    assert not (tmp_path / "run" / "leftover").exists()
    assert "--editable" in steps[1]
    assert any(step.startswith("pytest") for step in steps[1])
    assert (tmp_path / "run" / "pyproject.toml").read_bytes() == (make_environment.ROOT / "pyproject.toml").read_bytes()


def _find_python(folder: Path, **programs: str) -> subprocess.CompletedProcess[str]:
    """find-python on a path where only these programs are."""
    for name, script in programs.items():
        (folder / name.replace("_", ".")).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name.replace("_", ".")).chmod(0o755)
    command = ["/bin/sh", str(FIND_PYTHON)]
    return subprocess.run(command, env={"PATH": str(folder)}, capture_output=True, text=True, check=False)


def test_a_python_that_starts_nothing_is_passed_over(tmp_path: Path) -> None:
    found = _find_python(tmp_path, python3="exit 127", python3_12=f'exec {sys.executable} "$@"')
    assert found.returncode == 0
    assert Path(found.stdout.strip()).samefile(sys.executable)


def test_one_that_can_make_environments_is_preferred(tmp_path: Path) -> None:
    found = _find_python(tmp_path, python3="echo bare /one", python3_13="echo full /two")
    assert found.stdout == "/two\n"
    assert _find_python(tmp_path, python3_13="exit 1").stdout == "/one\n"


def test_without_any_python_it_says_what_to_install(tmp_path: Path) -> None:
    found = _find_python(tmp_path, python3="exit 1")
    assert found.returncode == 1
    assert "Python 3.11" in found.stderr
    assert "sudo apt install" in found.stderr
