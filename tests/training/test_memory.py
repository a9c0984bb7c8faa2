"""Memory of a long run."""

import subprocess
import sys
from pathlib import Path

import pytest
from helpers import ROOT, TOY, environment, last_of_each

MEASURE = """if True:
    import os, sys
    from wgan_jax import cli, train
    from wgan_jax.training import loop

    update, chunks = loop.RunRecorder.update, []

    def measured(*arguments):
        update(*arguments)
        chunks.append(0)
        if len(chunks) in (500, 2500):
            pages = int(open("/proc/self/statm").read().split()[1])
            print("MEMORY", pages * os.sysconf("SC_PAGE_SIZE"), flush=True)

    loop.RunRecorder.update = measured
    cli.run(train.main)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux")
def test_2000_chunks_take_no_memory(tmp_path):
    words = [*TOY, "--run.steps", "2500", "--run.chunk", "1", "--run.log-every", "1"]
    words += ["--run.sample-every", "500", "--run.checkpoint-every", "10"]
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *last_of_each([*words, "--out", tmp_path])],
        env=environment(),
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("MEMORY")]
    before, after = (int(line.split()[1]) for line in lines)
    assert after - before < 3e6
