"""The command `python -m wgan_jax.evaluate`."""

import dataclasses
import json
import math
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import TINY, in_process, python_m

from wgan_jax import evaluate, train
from wgan_jax.data.dataset import load_in_memory
from wgan_jax.data.toys import toy_sample
from wgan_jax.evaluation.distances import LABELS
from wgan_jax.metrics import transport
from wgan_jax.runs import restore, sampling

pytestmark = pytest.mark.usefixtures("restore_each_once")

QUICK = ("--num", "60", "--repeats", "2")
CRITIC = {
    f"critic_{name}"
    for name in (
        "estimate",
        "mean_norm",
        "largest_norm",
        "calibrated",
        "lower_bound_on_points",
    )
}
MODES = {"modes", "high_quality", "smallest_mode", "largest_mode"}
DISTANCES = {"wasserstein", "sliced_wasserstein"}


@pytest.fixture(scope="module")
def image_run(tmp_path_factory):
    out = tmp_path_factory.mktemp("images") / "run"
    steps = ("--run.steps", "5", "--run.checkpoint-every", "5")
    code, error = in_process(train, *TINY, *steps, "--out", out)
    assert code == 0, error
    return out


@pytest.fixture(scope="module")
def toy_run(tmp_path_factory):
    out = tmp_path_factory.mktemp("toy") / "run"
    tiny = "--model.features 8 --data.batch-size 16 --data.heldout 64 --run.steps 10"
    rhythm = "--run.chunk 5 --run.log-every 5 --run.sample-every 5"
    options = f"{tiny} {rhythm} --run.checkpoint-every 5 --optimizer.ema-decay 0.5"
    configuration = "--config configs/toy_8gaussians.py"
    code, error = in_process(
        train, *configuration.split(), *options.split(), "--out", out
    )
    assert code == 0, error
    return out


def measured(run, *more, out=None):
    """{measure: result} of one evaluation."""
    out = out or run / "evaluation.json"
    out.unlink(missing_ok=True)
    code, error = in_process(evaluate, run, *QUICK, *more)
    assert code == 0, error
    results = json.loads(out.read_text())["results"]
    return {result["measure"]: result for result in results}


def restored(monkeypatch, change):
    """The command gets change(config, spec, state) of the run."""
    original = restore.restore_run
    monkeypatch.setattr(restore, "restore_run", lambda *a: change(*original(*a)))


def no_wgan(config, spec, state):
    """A run whose critic does not estimate W1."""
    objective = dataclasses.replace(config.objective, kind="lsgan")
    return dataclasses.replace(config, objective=objective), spec, state


def test_a_mixture_has_distances_modes_and_the_critic_s_estimate(toy_run, capsys):
    measures = measured(toy_run)
    assert set(measures) == DISTANCES | MODES | CRITIC
    facts = {
        "run": str(toy_run),
        "source": "8gaussians",
        "step": 10,
        "weights": "averaged",
        "num": 60,
        "repeats": 2,
        "seed": 0,
        "training_seed": 0,
    }
    table = capsys.readouterr().out
    for key, measure in measures.items():
        assert facts.items() <= measure.items()
        assert measure["samples"] == [60] if key in MODES else [60, 60]
        mean = f"{measure['value']['mean']:.3g} +- "
        rows = [r for r in table.split("\n") if r.startswith(LABELS[key])]
        assert len(rows) == 1, key
        assert mean in rows[0]


def test_a_distribution_without_modes_has_no_mode_measures(toy_run, monkeypatch):
    def swiss(config, spec, state):
        source = dataclasses.replace(config.data, source="swiss_roll")
        return dataclasses.replace(config, data=source), spec, state

    restored(monkeypatch, swiss)
    assert set(measured(toy_run)) == DISTANCES | CRITIC


def test_the_numbers_are_those_of_the_seeded_samples(toy_run):
    measures = measured(toy_run, "--seed", "5", "--raw")
    config, spec, state = restore.restore_run(toy_run)
    sampler = sampling.make_sampler(config, spec)
    values, floors, estimates = [], [], []

    def truth(seed):
        return np.asarray(toy_sample(config.data.source, jax.random.key(seed), 60))

    def score(x):
        return spec.critic.apply(state.critic.params, state.critic.stats, x, False)[0]

    for a, b in transport.pair_seeds(5, 2).tolist():
        z = sampling.noise(a, 60, spec.z_dim)
        fake = sampler(state.generator.params, state.generator.stats, z)
        values.append(transport.wasserstein_1(fake, truth(b)))
        floors.append(transport.wasserstein_1(truth(a), truth(b)))
        estimates.append(float(score(truth(b)).mean() - score(fake).mean()))
    for key, numbers, field in (
        ("wasserstein", values, "value"),
        ("wasserstein", floors, "reference"),
        ("critic_estimate", estimates, "value"),
        ("critic_calibrated", values, "reference"),
    ):
        expected = {"mean": np.mean(numbers), "std": np.std(numbers, ddof=1)}
        assert measures[key][field] == pytest.approx(expected, rel=1e-3, abs=1e-6), key
    ratio = np.mean(values) / np.mean(floors)
    assert measures["wasserstein"]["ratio"] == pytest.approx(ratio, rel=1e-6)
    calibrated = measures["critic_calibrated"]
    assert calibrated["ratio"] == pytest.approx(
        calibrated["value"]["mean"] / np.mean(values), rel=1e-6
    )


def test_a_generator_of_the_truth_is_at_the_floor(toy_run, monkeypatch):
    def perfect(config, spec):
        def draw(params, stats, z, labels):
            # As random as the noise is.
            key = jax.random.key(int(abs(z[0, 0]) * 1e6))
            return np.asarray(toy_sample(config.data.source, key, len(z)))

        return draw

    monkeypatch.setattr(sampling, "make_sampler", perfect)
    measures = measured(toy_run, "--num", "300", "--repeats", "4")
    for key in DISTANCES:
        value, floor = measures[key]["value"], measures[key]["reference"]
        error = 4 * math.hypot(value["std"], floor["std"]) / math.sqrt(4)
        assert value["mean"] == pytest.approx(floor["mean"], abs=error)
    assert measures["modes"]["value"] == {"mean": 8.0, "std": 0.0}
    assert measures["high_quality"]["value"]["mean"] > 0.95
    assert measures["smallest_mode"]["value"]["mean"] < 1 / 8
    assert measures["largest_mode"]["value"]["mean"] > 1 / 8


def test_pixel_distances_come_with_a_warning(image_run, capsys):
    measures = measured(image_run)
    assert set(measures) == {
        "sliced_wasserstein",
        "heldout_estimate",
        "real_estimate",
        *CRITIC,
    }
    # At most as many as held-out images.
    sliced = measures["sliced_wasserstein"]
    assert sliced["samples"] == [32, 32]
    warning = "pixel distances do not measure sample quality"
    assert sliced["note"] == warning
    assert warning in capsys.readouterr().out
    # Five steps do not train a generator.
    assert sliced["ratio"] > 1
    heldout, critic = (
        measures[key]["value"] for key in ("heldout_estimate", "critic_estimate")
    )
    assert heldout["std"] > 0
    # No critic can tell apart two halves of the real samples on average.
    real = measures["real_estimate"]
    assert real["samples"] == [16, 16]
    assert 0 < abs(real["value"]["mean"]) < 0.05 * heldout["mean"]
    # They differ only in the statistics of the generator's BatchNorm.
    assert heldout["mean"] == pytest.approx(critic["mean"], rel=0.3)


def test_pixels_are_measured_in_units_of_their_range(image_run, monkeypatch):
    def black(config, spec):
        return lambda params, stats, z, labels: np.zeros((len(z), 16, 16, 1), np.uint8)

    monkeypatch.setattr(sampling, "make_sampler", black)
    restored(monkeypatch, no_wgan)
    measures = measured(image_run)
    assert set(measures) == {"sliced_wasserstein"}
    measure = measures["sliced_wasserstein"]
    config = restore.restore_run(image_run)[0]
    heldout = load_in_memory(config.data).heldout.reshape(32, -1) / 255
    expected = transport.sliced_wasserstein(np.zeros((32, 256)), heldout)
    # W1 to one point is the mean distance to it, which has no randomness.
    assert measure["value"]["mean"] == pytest.approx(expected, rel=1e-12)
    assert measure["value"]["std"] == pytest.approx(0, abs=1e-12)
    # The mean over directions is about sqrt(2 / (pi d)) of the norm.
    norm = np.linalg.norm(heldout, axis=1).mean()
    assert expected / norm == pytest.approx(math.sqrt(2 / math.pi / 256), rel=0.2)


def test_the_seed_determines_the_numbers(toy_run, tmp_path):
    a, b, c = tmp_path / "a.json", tmp_path / "deep" / "b.json", tmp_path / "c.json"
    evaluations = [
        measured(toy_run, "--seed", seed, "--json", out, out=out)
        for seed, out in ((1, a), (1, b), (2, c))
    ]
    assert evaluations[0] == evaluations[1]
    assert evaluations[0]["wasserstein"] != evaluations[2]["wasserstein"]


def test_checkpoint_and_weights_are_selected_by_options(toy_run):
    new, raw, old = (
        measured(toy_run, *more)
        for more in ([], ["--raw"], ["--raw", "--checkpoint", "5"])
    )
    found = [measures["wasserstein"] for measures in (new, raw, old)]
    assert [f["step"] for f in found] == [10, 10, 5]
    assert [f["weights"] for f in found] == ["averaged", "raw", "raw"]
    assert len({f["value"]["mean"] for f in found}) == 3


def test_objectives_without_a_w1_critic_have_no_critic_measures(toy_run, monkeypatch):
    restored(monkeypatch, no_wgan)
    assert set(measured(toy_run)) == DISTANCES | MODES


def test_a_constant_critic_is_null_in_the_file(toy_run, monkeypatch):
    def flat(config, spec, state):
        params = jax.tree.map(jnp.zeros_like, state.critic.params)
        net = dataclasses.replace(state.critic, params=params)
        return config, spec, dataclasses.replace(state, critic=net)

    restored(monkeypatch, flat)
    measure = measured(toy_run)["critic_calibrated"]
    reason = "the value is not finite"
    assert (measure["value"], measure["withheld"]) == (None, reason)


def test_a_second_evaluation_adds_to_the_first(toy_run):
    out = toy_run / "evaluation.json"
    first = measured(toy_run)

    def after(*more):
        code, error = in_process(evaluate, toy_run, *QUICK, *more)
        assert code == 0, error
        return json.loads(out.read_text())["results"]

    # The same measurement replaces, any other one is added.
    count = len(first)
    assert after() == list(first.values())
    for more in (["--seed", "3"], ["--checkpoint", "5"]):
        results = after(*more)
        count += len(first)
        assert len(results) == count
        assert results[: len(first)] == list(first.values())


def test_a_file_that_is_not_an_evaluation_is_kept(toy_run, tmp_path):
    old = '{"evaluation": {}, "measures": {}}'
    bad = '{"format": 2, "results": [1]}'
    texts = ('{"my": "notes"}', "[1, 2]", "7", "no json", "", "\xff", "[" * 100_000)
    for number, text in enumerate((*texts, old, bad)):
        mine = tmp_path / f"{number}.json"
        mine.write_text(text, "latin-1")
        code, error = in_process(evaluate, toy_run, *QUICK, "--json", mine)
        assert (code, mine.read_text("latin-1"), error.count("\n")) == (2, text, 1)
        assert f"{mine} exists and " in error
        assert "give another file with --json" in error
    folder = tmp_path / "folder.json"
    folder.mkdir()
    code, error = in_process(evaluate, toy_run, *QUICK, "--json", folder)
    assert (code, "cannot be read" in error) == (2, True)


def test_samples_that_are_not_finite_are_refused(toy_run, monkeypatch):
    def overflow(config, spec):
        return lambda params, stats, z, labels=None: np.full((len(z), 2), np.inf)

    monkeypatch.setattr(sampling, "make_sampler", overflow)
    code, error = in_process(evaluate, toy_run, *QUICK)
    assert (code, "samples of step 10 are not all finite" in error) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--num", "-1"], "--num -1 must be 1 or more"),
        (["--repeats", "1"], "--repeats 1 must be 2 or more"),
        (["--seed", "-1"], "--seed -1 must be from 0 to 4294967295"),
        (["--checkpoint", "7"], "--checkpoint 7 is not saved"),
        (
            ["--checkpoint", "newest"],
            "--checkpoint newest must be a step, best or",
        ),
        (["--json", "table.csv"], "--json table.csv must end in .json"),
        (["--sed", "1"], "did you mean --seed?"),
    ],
)
def test_a_mistake_gets_one_sentence_and_exit_2(image_run, arguments, part):
    code, error = in_process(evaluate, image_run, *arguments)
    assert code == 2
    assert part in error
    assert error.count("\n") == 1


def test_a_run_without_held_out_images_is_refused(image_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(image_run, run)
    config = json.loads((run / "config.json").read_text())
    config["data"]["heldout"] = 0
    (run / "config.json").write_text(json.dumps(config))
    words = [*QUICK, "--accept-changed-data"]
    code, error = in_process(evaluate, run, *words)
    assert (code, f"{run} was trained with data.heldout=0" in error) == (2, True)


def test_a_folder_without_a_run_is_refused_by_the_real_command(tmp_path):
    done = python_m("evaluate", tmp_path)
    assert done.returncode == 2
    assert (
        done.stderr
        == f"error: {tmp_path} is not a run directory: it has no config.json\n"
    )
