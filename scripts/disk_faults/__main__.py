"""Lists every single fault that the stories can meet, has each happen once, and prints what came of it as JSON."""

from __future__ import annotations

import argparse
import dataclasses
import json
import random
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scripts.disk_faults.injection import Fault
from scripts.disk_faults.stories import MOST_CHUNKS_AGAIN, MOST_SECONDS, STORIES, Outcome
from tests.processes import Network

Wanted = Callable[[str], bool]


class Journal:
    """The outcomes so far, in a file that a later run goes on from; kept in memory without one."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.outcomes: dict[str, Outcome] = {}
        if path is not None and path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                fields = json.loads(line)
                fault = fields.pop("fault")
                self.outcomes[fault] = Outcome(**fields)

    def add(self, fault: str, outcome: Outcome) -> None:
        self.outcomes[fault] = outcome
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"fault": fault, **dataclasses.asdict(outcome)}) + "\n")


def disk_faults(
    seed: int, journal: Journal, most: int | None = None, wanted: Wanted = lambda name: True
) -> dict[str, Any]:
    """The report; `ok` is False where anything was not as it has to be. `most` samples the faults of each story."""
    rng = random.Random(seed)
    report: dict[str, Any] = {"seed": seed}
    for story_name, story_of in STORIES.items():
        names: list[str] = []
        with tempfile.TemporaryDirectory() as folder, Network(Path(folder)) as network:
            story = story_of(network, rng)
            faults = [fault for fault in story.faults() if wanted(f"{story_name} {fault}")]
            if most is not None:
                faults = rng.sample(faults, min(most, len(faults)))
            for number, fault in enumerate(faults, start=1):
                names.append(f"{story_name} {fault}")
                if names[-1] not in journal.outcomes:
                    _tell(f"{number} of {len(faults)}: {names[-1]}")
                    journal.add(names[-1], _suffered(story.suffer, fault))
        report[story_name] = _tally({name: journal.outcomes[name] for name in names})
    report["ok"] = all(_is_well(report[name]) for name in STORIES)
    return report


def _suffered(suffer: Callable[[Fault], Outcome], fault: Fault) -> Outcome:
    """A process that does not end, or a node that does not start again, is a find like any other."""
    try:
        return suffer(fault)
    except AssertionError as error:
        return Outcome(happened=True, wrong=[str(error)[-1000:]])


def _tally(outcomes: dict[str, Outcome]) -> dict[str, Any]:
    met = {name: outcome for name, outcome in outcomes.items() if outcome.happened}
    slowest = max(met, key=lambda name: met[name].seconds, default="")
    return {
        "faults": len(met),
        "did_not_come": len(outcomes) - len(met),
        "failed": sum(outcome.failed for outcome in met.values()),
        "survived": sum(not outcome.failed for outcome in met.values()),
        "slowest_s": met[slowest].seconds if slowest else 0.0,
        "slowest": slowest,
        "chunks_again": max((outcome.chunks_again for outcome in met.values()), default=0),
        "chunks_in_flight": max((outcome.chunks_in_flight for outcome in met.values()), default=0),
        "wrong": [f"{name}: {wrong}" for name, outcome in met.items() for wrong in outcome.wrong],
    }


def _is_well(figures: dict[str, Any]) -> bool:
    return (
        not figures["wrong"] and figures["slowest_s"] <= MOST_SECONDS and figures["chunks_again"] <= MOST_CHUNKS_AGAIN
    )


def _tell(what: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{what}", end="", file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/disk-faults", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--most", type=int, help="a sample of so many faults of each story (default: all)")
    parser.add_argument("--journal", type=Path, help="a file of outcomes: those in it are not tried again")
    parser.add_argument("words", nargs="*", metavar="WORD", help="only faults with all these, e.g. fetch fsync EIO")
    chosen = parser.parse_args()
    if shutil.which("strace") is None:
        parser.error("strace is not installed")
    words = set(chosen.words)
    report = disk_faults(chosen.seed, Journal(chosen.journal), chosen.most, lambda name: words <= set(name.split()))
    print(json.dumps(report))
    return 0 if report["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
