"""Runs the fuzz targets of tests/fuzz; see scripts/fuzz. Exit code 1 when an input broke a decoder."""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz.mutate import MAX_BYTES, mutations
from tests.fuzz.target import Target
from tests.fuzz.test_fuzz_targets import TARGETS

HAS_ATHERIS = importlib.util.find_spec("atheris") is not None


def keep(target: Target, data: bytes) -> Path:
    """Where the input that broke a target is from now on."""
    target.folder.mkdir(parents=True, exist_ok=True)
    path = target.folder / hashlib.sha256(data).hexdigest()[:16]
    path.write_bytes(data)
    return path


def fault_of(target: Target, data: bytes) -> str:
    """What an input breaks; empty if nothing."""
    try:
        target.run(data)
    except Exception as error:  # any error that a target lets through is a find
        return f"{type(error).__name__}: {error}"
    return ""


def mutate_for(target: Target, seconds: float) -> dict[str, object]:
    """Mutations of the seeds until time is up or one breaks the target."""
    seed = random.SystemRandom().randrange(1 << 32)
    deadline = time.monotonic() + seconds
    inputs = mutations([*target.seeds, *(path.read_bytes() for path in target.found())], random.Random(seed))
    for count, data in enumerate(inputs, start=1):
        if fault := fault_of(target, data):
            return {"inputs": count, "seed": seed, "fault": fault, "kept": str(keep(target, data))}
        if time.monotonic() > deadline:
            return {"inputs": count, "seed": seed}
    raise AssertionError("mutations never end")


def guided_for(target: Target, seconds: float) -> dict[str, object]:
    """A run of libFuzzer in a process of its own, which it ends itself."""
    target.folder.mkdir(parents=True, exist_ok=True)
    before = set(target.found())
    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(target.seeds):
            (Path(corpus) / f"seed-{number}").write_bytes(seed)
        options = [
            f"-max_total_time={seconds:.0f}",
            f"-max_len={MAX_BYTES}",
            "-timeout=5",
            f"-artifact_prefix={target.folder}/",
        ]
        command = [sys.executable, "-m", "scripts.fuzzing", "--one", target.name, "--", *options, corpus]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    runs = [line.split()[1] for line in done.stderr.splitlines() if line.startswith("Done ")]
    outcome: dict[str, object] = {"inputs": int(runs[0]) if runs else None}
    if done.returncode != 0:
        outcome["fault"] = done.stderr[-1500:] or done.stdout[-1500:]
        outcome["kept"] = [str(path) for path in set(target.found()) - before]
    if not any(target.folder.iterdir()):
        target.folder.rmdir()
    return outcome


def guide(target: Target, options: list[str]) -> None:
    """Becomes libFuzzer for one target; never returns."""
    import atheris

    atheris.instrument_all()
    atheris.Setup([sys.argv[0], *options], target.run)
    atheris.Fuzz()


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description=__doc__)
    names = {target.name: target for target in TARGETS}
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(names))
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--plain", action="store_true", help="mutations only, no atheris")
    parser.add_argument("--one", choices=names, help=argparse.SUPPRESS)
    arguments, options = parser.parse_known_args()
    if arguments.one:
        guide(names[arguments.one], [*arguments.targets, *options])
    if unknown := set(arguments.targets) - set(names):
        parser.error(f"no such target: {', '.join(unknown)}; there are {', '.join(names)}")
    broken = False
    for name in arguments.targets or names:
        run = guided_for if HAS_ATHERIS and not arguments.plain else mutate_for
        outcome = run(names[name], arguments.seconds)
        broken |= "fault" in outcome
        print(json.dumps({"target": name, "guided": run is guided_for, **outcome}), flush=True)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
