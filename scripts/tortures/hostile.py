"""Hostile inputs: each mistake ends soon, with one sentence, and leaves nothing."""

import concurrent.futures
import importlib
import multiprocessing
from functools import partial
from pathlib import Path

import torture_inputs
from tortures.runs import Tally, progress
from wgan_jax.__main__ import COMMANDS

EVERY = 1
"""Every how many-th input is tried."""


def run(folder: Path, seed: int, rounds: int):
    """Yields one tally. The inputs are fixed: seed and rounds have no effect."""
    inputs = folder / "inputs"
    cases = torture_inputs.cases(inputs)[::EVERY]
    tally = Tally("hostile inputs")
    # Commands are forks of a process that has imported them and used no device.
    pool = concurrent.futures.ProcessPoolExecutor(
        1, multiprocessing.get_context("spawn"), initializer=import_commands
    )
    with pool:
        attempt = partial(torture_inputs.run, folder=inputs)
        faults = pool.map(attempt, [words for _, words in cases])
        for (name, _), fault in zip(cases, faults, strict=True):
            tally.record(f"{name}: {fault}" if fault else None)
            if tally.count % 50 == 0:
                progress(f"hostile inputs: {tally.count} of {len(cases)}")
    yield tally


def import_commands() -> None:
    """Imports the commands once, and not in each fork."""
    for name in COMMANDS:
        importlib.import_module(f"wgan_jax.{name}")
