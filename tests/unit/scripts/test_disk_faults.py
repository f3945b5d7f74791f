"""What scripts/disk-faults reads in a trace, and how it goes on."""

from __future__ import annotations

from pathlib import Path

from scripts.disk_faults.__main__ import Journal
from scripts.disk_faults.injection import Fault, faults_of, happened_at
from scripts.disk_faults.stories import Outcome

TRACE = """\
70 1.0 openat(AT_FDCWD</b/here>, "/b/home/.identity.70", O_WRONLY|O_CREAT, 0600) = 3</b/home/.identity.70>
70 1.1 write(3</b/home/.identity.70>, "x"..., 73) = 73
70 1.2 link("/b/home/.identity.70", "/b/home/identity") = -1 EIO (Input/output error) (INJECTED)
70 1.3 fsync(4</b/home>) = 0
71 1.4 pwrite64(5</b/home/catalogue.db-wal>, "y"..., 24, 0) = 24
72 1.5 pwrite64(5</b/home/catalogue.db-wal>, "y"..., 24, 24) = 24
72 1.6 pwrite64(5</b/home/catalogue.db-wal>, "y"..., 24, 48) = 24
70 1.7 linkat(9</b/here/out>, ".f.part", 9</b/here/out>, "f", 0 <unfinished ...>
70 1.8 <... linkat resumed>) = 0
70 1.9 openat(AT_FDCWD</b/here>, "/usr/lib/python3/x.py", O_RDONLY|O_CLOEXEC) = 6</usr/lib/python3/x.py>
70 2.0 write(1</dev/null>, "z", 1) = 1
70 2.1 +++ exited with 0 +++
"""


def test_every_call_on_an_own_file_is_a_fault_to_come(tmp_path: Path) -> None:
    log = tmp_path / "trace"
    log.write_text(TRACE)
    assert {(f.file, f.call, f.number) for f in faults_of(log, Path("/b"), 70)} == {
        ("home/.identity.PID", "openat", 1),
        ("home/.identity.PID", "write", 1),
        ("home/.identity.PID", "link", 1),
        ("home", "fsync", 1),
        ("home/catalogue.db-wal", "pwrite64", 1),  # threads are counted each for itself
        ("home/catalogue.db-wal", "pwrite64", 2),
        ("here/out/.f.part", "linkat", 1),
    }
    assert happened_at(log) == 1.2


def test_a_later_run_goes_on_from_the_outcomes_of_an_earlier(tmp_path: Path) -> None:
    fault, outcome = f"fetch {Fault('home', 'fsync', 1, 'EIO')}", Outcome(happened=True, failed=True, wrong=["lost"])
    Journal(tmp_path / "outcomes").add(fault, outcome)
    assert Journal(tmp_path / "outcomes").outcomes == {fault: outcome}
