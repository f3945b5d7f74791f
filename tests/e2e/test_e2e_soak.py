"""Some seconds of scripts/soak: whatever happens to half of five nodes, what is shared is found and arrives."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.soaking.__main__ import WEIGHTS, soak
from tests.small_disk import SmallDisk


@pytest.fixture
def disk_faults(tmp_path: Path) -> bool:
    """Whether a small disk may be mounted here."""
    try:
        with SmallDisk(tmp_path / "disk"):
            return True
    except PermissionError:
        return False


def test_a_short_soak(disk_faults: bool) -> None:
    report = soak(0.1, 5, 3, disk_faults=disk_faults)
    assert report["faults"] == []
    assert report["ok"]
    assert all(report["acts"][act.__name__] for act in WEIGHTS)
    assert report["acts"]["found in the end"] >= 10
    assert report["acts"]["fetched in the end"] >= 5
    assert len(report["slopes"]) >= 3, "those that lived through it"
