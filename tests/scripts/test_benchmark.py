"""Benchmarks: options, tables, and short runs of each."""

import json
import math
import subprocess
import sys

import numpy as np
import pytest
from helpers import ROOT, environment

import benchmark
from benchmarks import breakdown, scaling, speed, streaming
from benchmarks import features as feature_benchmark
from wgan_jax.errors import UserError
from wgan_jax.validation import validate

PROVENANCE = {
    "commit": "abc+",
    "device": "cpu: cpu",
    "cpu": "a CPU",
    "cores": 2,
    "versions": {"jax": "0.10"},
    "date": "2026-11-22",
}

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


def run_script(*arguments):
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "benchmark.py", *map(str, arguments)],
        env=environment(optimised=False),
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# ------------------------------------------------------------------ the command line


@pytest.mark.parametrize("name", benchmark.NAMES)
def test_help_lists_the_options(capsys, name):
    with pytest.raises(SystemExit) as stop:
        benchmark.main([name, "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: benchmark.py {name} ")
    assert "--out" in text


def test_speed_is_the_default(capsys):
    with pytest.raises(SystemExit):
        benchmark.main(["--help"])
    assert "usage: benchmark.py speed" in capsys.readouterr().out


def test_an_unknown_benchmark_is_named():
    with pytest.raises(UserError, match="growth is not a benchmark: choose from speed"):
        benchmark.main(["growth"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--config", "mnist"), "cat_faces"),
        (("--side", "theirs"), "compiled"),
        (("--features", "0"), "--features 0 must"),
        (("--batch-size", "-1"), "--batch-size -1 must"),
    ],
)
def test_wrong_arguments_are_named(capsys, arguments, message):
    with pytest.raises(SystemExit) as stop:
        benchmark.main(arguments)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_without_torch_one_sentence(monkeypatch):
    monkeypatch.setattr(speed, "torch", None)
    with pytest.raises(UserError, match="pip install torch"):
        benchmark.main(["--tiny"])


# ------------------------------------------------------------------------------- speed


def test_every_row_can_be_trained():
    for name, widths in speed.FEATURES.items():
        for features in (*widths, *speed.GPU_FEATURES[name]):
            validate(speed.make_config(name, features))


class Clock:
    """A side that takes one second per cycle."""

    def __init__(self):
        self.requests = []

    def ask(self, cycles):
        self.requests.append(cycles)
        return float(cycles)


def test_a_turn_has_the_intended_length():
    clocks = {"eager": Clock(), "ours": Clock()}
    assert speed.measure(clocks, 2, 6.0) == {"eager": [1, 1], "ours": [1, 1]}
    # Warm-up doubles until a quarter of a turn; then each turn lasts six seconds.
    assert clocks["ours"].requests == [1, 2, 6, 6]


def test_ratios_are_of_our_speed():
    rates = {"eager": 1.0, "tuned": 2.0, "compiled": 4.0, "ours": 3.0}
    row = {side: {"cycles_per_s": rate} for side, rate in rates.items()}
    assert speed.times_as_fast(row, ["eager"]) == 3.0
    assert speed.times_as_fast(row, ["tuned", "compiled"]) == 0.75
    del row["compiled"]
    assert speed.times_as_fast(row, ["tuned", "compiled"]) == 1.5
    assert speed.times_as_fast(row, ["compiled"]) is None


@pytest.mark.slow
@pytest.mark.torch
def test_a_row_is_written_with_its_sides(tmp_path):
    out, table = tmp_path / "out.json", tmp_path / "table.md"
    # eager and compiled are run by test_torch_loops.py: each side is a process.
    options = ("--side", "tuned", "ours", "--config", "fashion_mnist_mlp")
    text = run_script("--tiny", *options, "--out", out, "--markdown", table)
    assert text == table.read_text()
    report = json.loads(out.read_text())
    (row,) = report["rows"]
    assert row["config"] == "fashion_mnist_mlp"
    assert report["versions"].keys() == {"jax", "torch", "python", "numpy"}
    assert all(report[k] for k in ("device", "cpu", "cores", "commit", "date"))
    assert report["matrix_gflop_per_s"] > 0
    numbers = [row["gflop_per_cycle"]]
    for side in ("tuned", "ours"):
        rates = row[side]
        numbers += [*rates.pop("min_max"), *rates.values()]
        updates = rates["cycles_per_s"] * row["n_critic"]
        assert rates["critic_updates_per_s"] == pytest.approx(updates)
        assert rates["images_per_s"] == pytest.approx(updates * row["batch"])
    assert all(math.isfinite(n) and n > 0 for n in numbers)
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    assert len({line.count("|") for line in lines}) == 1
    assert [line.split(" | ")[6] for line in lines[2:]] == ["PyTorch tuned", "ours"]


# --------------------------------------------------------------------------- breakdown


def test_shares_of_a_breakdown_add_up():
    row = {
        "config": "net",
        "features": 4,
        "s_per_cycle": 2.0,
        "gflop": 10.0,
        "gb": 3.0,
        "products_s": 1.0,
        "others_s": 0.8,
        "most": {"dot": 1.0, "copy": 0.4},
    }
    report = PROVENANCE | {"matrix_gflop_per_s": 20, "gb_per_s": 6.0}
    text = breakdown.markdown(report | {"rows": [row]})
    assert "commit abc+" in text
    assert "| net | 4 | 2 | 25% | 20% | 55% | 10: 0.5 | 3: 0.5 | copy 10% |" in text


@pytest.mark.slow
def test_time_is_reported_by_operation(tmp_path):
    out = tmp_path / "breakdown.json"
    options = ("--tiny", "--config", "fashion_mnist_mlp", "--out", out)
    text = run_script("breakdown", *options)
    (row,) = json.loads(out.read_text())["rows"]
    assert row["products_s"] > 0
    assert row["others_s"] > 0
    assert row["gb"] > 0
    assert "| fashion_mnist_mlp | 4 |" in text


# --------------------------------------------------------------------------- streaming


def test_images_repeat_and_compress_like_photographs(tmp_path):
    images = streaming.make_images(16, 5)
    assert (images.shape, images.dtype) == ((5, 16, 16, 3), np.uint8)
    assert len(np.unique(images.reshape(5, -1), axis=0)) == 5
    np.testing.assert_array_equal(images, streaming.make_images(16, 5))


def test_a_streaming_report_has_three_tables():
    stall = {"size": 8, "workers": None, "cycles_per_s": 2, "slowest": 1, "fastest": 3}
    stall |= {"data_wait_fraction": 0.25, "largest_data_wait_fraction": 0.5}
    memory = {"images": 1000, "process_mb": 90, "workers_mb": 30}
    rate = {"size": 8, "format": "png", "workers": 2, "batches_per_s": 20}
    rows = {"rates": [rate], "stalls": [stall], "memory": [memory]}
    text = streaming.markdown(PROVENANCE | rows)
    assert "| 8x8 colour | png | 2 | 20 | 1,280 |" in text
    assert "| 8x8 colour | memory | 2 (1-3) | 25.0% | 50.0% |" in text
    assert "| 1,000 | 90 | 30 |" in text


@pytest.mark.slow
@pytest.mark.stream
def test_streams_are_measured(tmp_path):
    out = tmp_path / "streaming.json"
    text = run_script("streaming", "--tiny", "--out", out)
    report = json.loads(out.read_text())
    rows = [(row["format"], row["workers"]) for row in report["rates"]]
    assert rows == [("png", 0), ("png", 1), ("ppm", 0), ("ppm", 1)]
    assert all(row["batches_per_s"] > 0 for row in report["rates"])
    assert [row["workers"] for row in report["stalls"]] == [None, 1]
    assert all(0 <= row["data_wait_fraction"] <= 1 for row in report["stalls"])
    assert report["memory"][-1]["images"] == 1984
    assert report["memory"][-1]["workers_mb"] > 10
    assert report["versions"]["grain"]
    assert text.count("\n| ") == 3 * 2 + 4 + 2 + 11


# ----------------------------------------------------------------------------- scaling


def test_rounds_and_bytes_of_a_program():
    assert scaling.communication(PROGRAM) == (2, 8 * 4 * 4 + 3 * 4 + 5 * 2 + 14)


def test_efficiency_is_that_of_a_ring():
    row = {"flops": 1e12, "rounds": 10, "image_bytes": 1e6}
    given = {"size": 9e6, "flops": 1e13, "bandwidth": 1e9, "latency": 1e-4}
    # 0.1 s of computing; 2 * 7/8 * (9 + 8) MB at 1 GB/s and 10 rounds of 3 doublings.
    seconds = 2 * 7 / 8 * 17e6 / 1e9 + 10 * 3e-4
    weak = scaling.efficiency(row, 8, weak=True, **given)
    assert weak == pytest.approx(0.1 / (0.1 + seconds))
    seconds = 2 * 7 / 8 * 10e6 / 1e9 + 10 * 3e-4
    strong = scaling.efficiency(row, 8, weak=False, **given)
    assert strong == pytest.approx(0.0125 / (0.0125 + seconds))
    assert scaling.efficiency(row, 1, weak=True, **given) == 1


@pytest.mark.slow
def test_communication_of_a_configuration_is_counted(tmp_path):
    out = tmp_path / "scaling.json"
    options = ["--config", "toy_8gaussians", "--devices", "4", "--out", out]
    assert "| toy_8gaussians | 256 per device |" in run_script("scaling", *options)
    (row,) = json.loads(out.read_text())["rows"]
    # 5 updates of the critic's weights and one of the generator's, three layers of 128.
    hidden = 2 * (128 * 128 + 128)
    critic = 2 * 128 + 128 + hidden + 128 + 1
    generator = 2 * 128 + 128 + hidden + 128 * 2 + 2
    assert row["gradient_bytes"] == 4 * (5 * critic + generator)
    # No activation is sent: only sums for gradients, some of them in parts.
    assert row["gradient_bytes"] <= row["bytes"] <= 4 * row["gradient_bytes"]
    assert row["rounds"] >= 6


# ---------------------------------------------------------------------------- features


def test_disturbances_change_the_images_by_their_amounts():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (240, 8, 8, 1)).astype(np.uint8)
    labels = np.arange(240) % 5
    sets = feature_benchmark.disturbances(images, labels, 120)
    base = images[:120].astype(float)
    for name, amounts in sets.items():
        for _, changed in amounts:
            assert changed.dtype == np.uint8
            assert changed.shape[1:] == (8, 8, 1)
            assert len(changed) == (120 if name != "classes" else len(changed))
            assert not np.array_equal(changed, images[:120])
    off = [np.abs(changed - base).mean() for _, changed in sets["darker by"]]
    assert off[0] < off[1] < off[2] < off[3]
    assert len(np.unique(dict(sets["distinct images"])[3], axis=0)) == 3
    assert [k for k, _ in sets["classes"]] == [4, 2]
    assert len(dict(sets["classes"])[2]) == 96
    assert "classes" not in feature_benchmark.disturbances(images, None, 120)


@pytest.mark.slow
def test_features_are_compared_on_the_digits(tmp_path, capsys):
    out = tmp_path / "features.json"
    words = ["--count", "100", "--image-size", "8", "--features", "patches"]
    assert benchmark.main(["features", *words, "--out", str(out)]) == 0
    assert "| disturbance | amount | patches |" in capsys.readouterr().out
    row = json.loads(out.read_text())["features"]["patches"]
    assert row["floor"] > 0
    noise = [ratio for _, ratio in row["ratios"]["noise, standard deviation"]]
    assert noise[-1] > noise[0] > 0.5
