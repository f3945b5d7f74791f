"""A home is private, belongs to one node at a time, and always has a socket path that fits."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from dhtshare.errors import AlreadyRunningError, DiskError, UsageError
from dhtshare.library.home import Home


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def loose_umask() -> object:
    old = os.umask(0)
    yield
    os.umask(old)


def test_a_home_is_private_with_its_parents_whatever_the_umask(tmp_path: Path, loose_umask: object) -> None:
    home = Home(tmp_path / "a" / "b")
    home.prepare()
    assert mode(tmp_path / "a") == mode(tmp_path / "a" / "b") == 0o700


def test_preparing_twice_is_harmless(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.prepare()
    home.prepare()


@pytest.mark.parametrize("ours", ["lock", "identity", "catalogue.db"])
def test_an_existing_home_of_ours_is_tightened(tmp_path: Path, ours: str) -> None:
    path = tmp_path / "home"
    path.mkdir(0o755)
    (path / ours).touch()
    Home(path).prepare()
    assert mode(path) == 0o700


def test_a_folder_of_other_things_is_not_closed_to_everybody(tmp_path: Path) -> None:
    path = tmp_path / "documents"
    path.mkdir(0o755)
    (path / "letter.txt").touch()
    with pytest.raises(UsageError, match="holds other things"):
        Home(path).prepare()
    assert mode(path) == 0o755


def test_a_file_is_no_home(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="not a folder"):
        Home(tmp_path / "file").prepare()


def test_a_home_below_a_file_is_a_disk_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DiskError):
        Home(tmp_path / "file" / "home").prepare()


def test_one_node_per_home(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert not home.is_running()
    assert home.running_pid() is None
    with home.lock():
        assert home.is_running()
        assert home.running_pid() == os.getpid()
        with pytest.raises(AlreadyRunningError, match=str(os.getpid())):
            Home(tmp_path).lock()
    assert not home.is_running()
    assert home.running_pid() is None
    home.lock().release()


def test_asking_whether_a_node_runs_does_not_take_its_lock(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with home.lock():
        for _ in range(3):
            assert home.is_running()
        with pytest.raises(AlreadyRunningError):
            home.lock()


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    program = "import sys; from pathlib import Path; from dhtshare.library.home import Home\n"
    program += "lock = Home(Path(sys.argv[1])).lock(); print('locked', flush=True); sys.stdin.read()"
    holder = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        home = Home(tmp_path)
        assert home.running_pid() == holder.pid
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    assert not home.is_running()
    home.lock().release()


def test_the_socket_lies_in_the_home(tmp_path: Path) -> None:
    home = Home(Path("/h"))
    assert home.new_control_socket() == Path("/h/control.sock")


def test_a_long_home_has_its_socket_in_the_runtime_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory(prefix="run", dir="/tmp") as runtime:
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
        one, other = (Home(tmp_path / ("x" * 100) / name) for name in ("one", "other"))
        assert one.new_control_socket().parent == Path(runtime)
        assert one.new_control_socket() != other.new_control_socket()
        assert len(os.fsencode(one.prepare_control_socket())) <= 103


def test_a_client_with_another_runtime_folder_finds_the_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path / ("x" * 110))
    home.prepare()
    with home.lock():
        at_start = home.new_control_socket()
        elsewhere = tmp_path / "r"
        elsewhere.mkdir(0o700)
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(elsewhere))
        assert home.control_socket() == at_start


def test_a_runtime_folder_that_others_may_enter_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dhtshare.library.home._runtime_folder", lambda: tmp_path / "open")
    (tmp_path / "open").mkdir(0o755)
    with pytest.raises(DiskError, match="not private"):
        Home(tmp_path / ("x" * 120)).prepare_control_socket()


def test_home_needs_the_standard_library_alone() -> None:
    """A command that only talks to a running node pays for what this imports."""
    heavy = "asyncio sqlite3 msgpack blake3 cryptography rich platformdirs"
    program = f"import sys, dhtshare.library.home; print(*(m for m in '{heavy}'.split() if m in sys.modules))"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == []
