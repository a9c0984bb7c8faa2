"""Hostile inputs: each mistake ends soon, with one sentence, and leaves nothing."""

import importlib
import multiprocessing
import os
import signal
from pathlib import Path

from tortures.runs import ROOT, Tally, progress, unclear_error
from wgan_jax import cli

SECONDS = 10
"""Processor time that a command may take."""
EVERY = 1
"""Every how many-th input is tried."""
WAIT = 120
"""Seconds after which a command that waits for something is ended."""
COMMANDS = ("train", "sample", "evaluate", "sweep", "anomaly", "convert", "prepare")


def run(folder: Path, seed: int, rounds: int):
    """Yields one tally. The inputs are fixed: seed and rounds have no effect."""
    import torture_inputs

    inputs = folder / "inputs"
    inputs.mkdir()
    cases = torture_inputs.cases(inputs)[::EVERY]
    yield attempt_all(cases, inputs, folder / "output")


def attempt_all(cases, inputs: Path, output: Path) -> Tally:
    """Tally of commands (name, words); they may write nothing below `inputs`."""
    # A fork of a process that has imported the commands starts at once.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([f"wgan_jax.{name}" for name in COMMANDS])
    tally, accepted = Tally("hostile inputs"), 0
    for number, (name, words) in enumerate(cases, 1):
        before = everything(inputs)
        process = context.Process(target=work, args=([*map(str, words)], str(output)))
        process.start()
        process.join(WAIT)
        if process.is_alive():
            process.kill()
            process.join()
        failure = None
        if process.exitcode == 0:
            accepted += 1
        elif process.exitcode in (-signal.SIGXCPU, -signal.SIGKILL):
            failure = f"no answer within {SECONDS} s"
        else:
            stderr = output.read_text(errors="replace")
            failure = unclear_error(process.exitcode, stderr)
            left = sorted(everything(inputs) - before)
            failure = failure or (f"it left {left[0]}" if left else None)
        tally.record(failure and f"{name}: {failure}")
        if number % 50 == 0:
            progress(f"hostile inputs: {number} of {len(cases)}")
    tally.name += f" ({accepted} accepted)"
    return tally


def everything(folder: Path) -> set[str]:
    """Names of all files and folders below `folder`."""
    return {os.path.join(place, n) for place, d, f in os.walk(folder) for n in d + f}


def work(words: list[str], output: str) -> None:
    """Runs a command in this process, with stderr in a file and limited time."""
    import resource

    with open(output, "wb") as file:
        os.dup2(file.fileno(), 2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.chdir(ROOT)
    # The system ends a process that takes more.
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 1))
    module = importlib.import_module(f"wgan_jax.{words[0]}")
    cli.run(lambda: module.main(words[1:]))
