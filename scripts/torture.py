"""Torture tests of runs: python scripts/torture.py [PART ...] [options].

kills: a run is killed at random moments, inside saves too, and resumed to its end.
disks: the disk is full or not writable at a random moment, and then it is again.
flips: bits of the files of a run are flipped, and files are cut.
writers: two commands write into one directory, and one reads while another trains.
hostile: the mistakes of `torture_inputs.py`, each as a command.
all: every part (the default).

The exit status is 1 where anything failed. Runs of failures stay in --out.
"""

import dataclasses
import importlib
import sys
import tempfile
from pathlib import Path
from typing import Annotated

from tortures.runs import Tally, progress
from wgan_jax import cli
from wgan_jax.errors import UserError

PARTS = ("kills", "disks", "flips", "writers", "hostile")


@dataclasses.dataclass(frozen=True)
class Options:
    """Torture tests of runs: kills, disks, flips, writers, hostile, or all."""

    parts: Annotated[cli.Positional[tuple[str, ...]], cli.metavar("PART")] = ("all",)
    """Parts to run."""
    seed: int = 0
    """Seed of everything random."""
    rounds: int = 1
    """Rounds of each part; a round of kills has four kills, one of flips 50 flips."""
    out: str = ""
    """Empty or new folder for the runs; by default a temporary one."""


def main(argv=None) -> int:
    """Runs the parts; returns 1 where anything failed."""
    options = cli.parse(
        Options, sys.argv[1:] if argv is None else argv, "python scripts/torture.py"
    )
    unknown = set(options.parts) - {*PARTS, "all"}
    if unknown:
        raise UserError(
            f"{unknown.pop()} is not a part: choose from {', '.join(PARTS)}"
        )
    parts = PARTS if "all" in options.parts else options.parts
    with tempfile.TemporaryDirectory(prefix="torture-") as temporary:
        folder = Path(options.out or temporary)
        if folder.is_dir() and any(folder.iterdir()):
            raise UserError(f"--out {folder} is not empty: give a new folder")
        tallies: list[Tally] = []
        for part in parts:
            (folder / part).mkdir(parents=True)
            module = importlib.import_module(f"tortures.{part}")
            for tally in module.run(folder / part, options.seed, options.rounds):
                progress(f"{part}: {tally}")
                tallies.append(tally)
        print(table(tallies))
    return 1 if any(tally.failures for tally in tallies) else 0


def table(tallies: list[Tally]) -> str:
    """The results as a Markdown table, with the failures below it."""
    lines = ["| test | passed | of |", "|---|---|---|"]
    lines += [
        f"| {t.name} | {t.count - len(t.failures)} | {t.count} |" for t in tallies
    ]
    lines += [f"FAILED {t.name}: {text}" for t in tallies for text in t.failures]
    lines += [f"skipped {t.name}: {t.skipped}" for t in tallies if t.skipped]
    return "\n".join(lines)


if __name__ == "__main__":
    cli.run(main)
