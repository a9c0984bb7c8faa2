"""What is told across devices is counted right, and what it predicts."""

import importlib
import json
import subprocess
import sys

import pytest
from helpers import ROOT, environment

PROGRAM = """HloModule jit_f

%add (a: f32[], b: f32[]) -> f32[] {
  ROOT %sum = f32[] add(%a, %b)
}

ENTRY %main (p: f32[8,4]) -> f32[4] {
  %p = f32[8,4]{1,0} parameter(0)
  %all-reduce = f32[8,4]{1,0} all-reduce(%p), to_apply=%add
  %both = (f32[3]{0}, bf16[5]{0}) all-reduce-start(%p, %p), to_apply=%add
  %after = u8[7]{0} fusion(%all-reduce), calls=%fused
  ROOT %last = u8[14]{0} all-gather(%after), dimensions={0}
}
"""


@pytest.fixture(scope="module")
def scaling():
    sys.path.insert(0, str(ROOT / "scripts"))
    yield importlib.import_module("scaling")
    sys.path.remove(str(ROOT / "scripts"))


def test_rounds_and_bytes_of_a_program(scaling):
    assert scaling.told(PROGRAM) == (2, 8 * 4 * 4 + 3 * 4 + 5 * 2 + 14)


def test_efficiency_is_that_of_a_ring(scaling):
    row = {"flops": 1e12, "rounds": 10, "image_bytes": 1e6}
    given = {"size": 9e6, "flops": 1e13, "bandwidth": 1e9, "latency": 1e-4}
    # 0.1 s of computing; 2 * 7/8 * (9 + 8) MB at 1 GB/s and 10 rounds of 3 doublings.
    telling = 2 * 7 / 8 * 17e6 / 1e9 + 10 * 3e-4
    found = scaling.efficiency(row, 8, weak=True, **given)
    assert found == pytest.approx(0.1 / (0.1 + telling))
    telling = 2 * 7 / 8 * 10e6 / 1e9 + 10 * 3e-4
    found = scaling.efficiency(row, 8, weak=False, **given)
    assert found == pytest.approx(0.0125 / (0.0125 + telling))
    assert scaling.efficiency(row, 1, weak=True, **given) == 1


def test_a_configuration_is_counted_and_told(tmp_path):
    out = tmp_path / "scaling.json"
    words = ["--config", "toy_8gaussians", "--devices", "4", "--out", out]
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "scaling.py", *words],
        env=environment(optimised=False),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "| toy_8gaussians | 256 of each device |" in done.stdout
    (row,) = json.loads(out.read_text())["rows"]
    # 5 updates of the critic's weights and one of the generator's, three layers of 128.
    hidden = 2 * (128 * 128 + 128)
    critic = 2 * 128 + 128 + hidden + 128 + 1
    generator = 2 * 128 + 128 + hidden + 128 * 2 + 2
    assert row["gradient_bytes"] == 4 * (5 * critic + generator)
    # No activation crosses: only what becomes gradients, some of it by parts.
    assert row["gradient_bytes"] <= row["bytes"] <= 4 * row["gradient_bytes"]
    assert row["rounds"] >= 6
