"""Runs trained in one program equal runs trained alone."""

import json
import re
import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers import (
    ROOT,
    TINY,
    TOY,
    assert_same_run,
    extending_example,
    final_arrays,
    in_process,
    launch,
    records,
)

from wgan_jax import evaluate, sample, sweep, train
from wgan_jax.config import Config, load
from wgan_jax.data.dataset import load_in_memory
from wgan_jax.distributed import sharding as devices
from wgan_jax.errors import UserError
from wgan_jax.sweeps import training as sweeps_training
from wgan_jax.sweeps.members import (
    VMAPPABLE,
    make_members,
    shape_groups,
    varied_hyperparameters,
)
from wgan_jax.sweeps.settings import Setting
from wgan_jax.sweeps.training import _how_many_fit, _seconds_per_step
from wgan_jax.training.setup import prepare

# A sweep whose settings are not ranked, which most tests need not.
UNRANKED = [*TOY, "--features", "none"]


def folders(out):
    return sorted(p.parent for p in Path(out).rglob("config.json"))


# ------------------------------------------------------------------- members and groups


def test_every_combination_has_every_seed():
    base = replace(Config(), run=replace(Config().run, seed=7))
    vary = ["optimizer.critic-lr=1e-4,5e-5", "objective.one_sided=true,false"]
    members = make_members([Setting(config=base)], Path("out"), 2, vary)
    configs = [m.config for m in members]
    varied = [(c.optimizer.critic_lr, c.objective.one_sided) for c in configs]
    assert varied[::2] == [(1e-4, True), (1e-4, False), (5e-5, True), (5e-5, False)]
    assert [m.seed for m in members] == [7, 8] * 4
    assert [m.config.run.seed for m in members] == [7, 8] * 4
    assert str(members[-1].out) == "out/critic_lr=5e-05,one_sided=False/seed-8"
    (alone,) = make_members([Setting(config=base)], Path("out"), 1, [])
    assert (alone.setting, alone.out) == ("", Path("out/seed-7"))


def test_fields_of_the_same_name_keep_their_sections():
    vary = ["objective.kind=wgan,gan", "optimizer.kind=adam"]
    first, *_ = make_members([Setting()], Path("out"), 1, vary)
    assert first.setting == "objective.kind=wgan,optimizer.kind=adam"


def test_sizes_of_images_can_be_rectangles():
    vary = ["data.image_size=32,32x64,48x48"]
    members = make_members([Setting()], Path("out"), 1, vary)
    assert [m.config.data.image_size for m in members] == [32, (32, 64), 48]
    assert str(members[1].out) == "out/image_size=32x64/seed-0"


@pytest.mark.parametrize(
    ("vary", "said"),
    [
        (["optimizer.critic_lr"], "must be FIELD=VALUE,VALUE, as in"),
        (["critic_lr=1,2"], "critic_lr is not a field: did you mean optimizer."),
        (["optimizer.critic_lt=1"], "did you mean optimizer.critic_lr?"),
        (["xyz=1"], "xyz is not a field: see --help"),
        (["run.seed=1,2"], "run.seed is given by --seeds N"),
        (["optimizer.critic_lr=fast"], "optimizer.critic_lr=fast must be a number"),
        (["model.features=1.5"], "model.features=1.5 must be a whole number"),
        (["objective.one_sided=yes"], "must be true or false"),
        (["objective.kind=wgan,hinge"], "objective.kind=hinge is not known: take wgan"),
        (["model.critic_widths=1,2"], "a field of several values cannot be varied"),
        (["objective.clip=1,1.0"], "objective.clip has 1.0 twice"),
        (["data.image_size=32x48,32x48"], "data.image_size has 32x48 twice"),
        (["data.image_size=32x"], "must be a whole number, or HEIGHTxWIDTH"),
        (["data.image_size=32x32x8"], "must be a whole number, or a tuple of two"),
        (["objective.clip=1", "objective.clip=2"], "objective.clip is given twice"),
        (["objective.clip=-1"], "objective.clip=-1.0 must be greater than 0"),
        (["optimizer.beta1=nan"], "optimizer.beta1=nan must be a finite number"),
    ],
)
def test_an_invalid_vary_gets_one_sentence(vary, said):
    with pytest.raises(UserError) as error:
        make_members([Setting()], Path("out"), 1, vary)
    assert said in str(error.value)


def test_runs_that_differ_in_hyperparameters_share_a_program():
    numbers = [
        "optimizer.critic_lr=1e-4,1e-3",
        "objective.clip=0.1,0.2",
        "optimizer.ema_decay=0.9,0.99",
    ]
    members = make_members([Setting()], Path("out"), 2, numbers)
    (group,) = shape_groups(members)
    assert group == members
    varied = varied_hyperparameters(group)
    assert varied[0].keys() == {
        "optimizer.critic_lr",
        "objective.clip",
        "optimizer.ema_decay",
    }
    assert varied[-1]["objective.clip"] == np.float32(0.2)
    assert varied_hyperparameters(group[:2]) == [{}, {}]


@pytest.mark.parametrize(
    "vary",
    ["model.features=8,16", "objective.kind=wgan,gan", "optimizer.ema_decay=0,0.9"],
)
def test_runs_of_different_shapes_or_branches_have_separate_programs(vary):
    members = make_members([Setting()], Path("out"), 3, [vary])
    groups = shape_groups(members)
    assert groups == [members[:3], members[3:]]


def test_every_vmappable_field_reaches_the_step():
    config = load(ROOT / "configs/toy_8gaussians.py")
    spec = prepare(config, load_in_memory(config.data))[1]
    for name in VMAPPABLE:
        section, field = name.split(".")
        changed = spec.with_hyperparameters({name: 0.125})
        assert getattr(getattr(changed, section), field) == 0.125
        assert replace(changed, **{section: getattr(spec, section)}) == spec


# ----------------------------------------------------------------- equal to single runs


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """Two seeds at two settings in one program, with diagnostics and averaging."""
    out = tmp_path_factory.mktemp("together")
    words = [*TOY, "--run.diagnostics", "--optimizer.ema-decay", "0.5", "--num", "40"]
    words += ["--out", out]
    vary = ("--vary", "optimizer.critic_lr=1e-3,1e-2", "objective.gp_weight=1,10")
    code, error = in_process(sweep, *words, "--mode", "together", "--seeds", "2", *vary)
    assert code == 0, error
    return out


def test_a_member_of_one_program_equals_its_single_run(together, tmp_path):
    member = together / "critic_lr=0.01,gp_weight=1.0" / "seed-1"
    words = ["--optimizer.ema-decay", "0.5", "--optimizer.critic-lr", "1e-2"]
    words += ["--objective.gp-weight", "1", "--seed", "1", "--run.diagnostics"]
    code, error = in_process(train, *TOY, *words, "--out", tmp_path / "alone")
    assert code == 0, error
    assert_same_run(member, tmp_path / "alone", 1e-4)
    assert len(records(member)) == 2
    other = final_arrays(together / "critic_lr=0.01,gp_weight=10.0" / "seed-1")
    assert any((other[k] != v).any() for k, v in final_arrays(member).items())


def test_members_are_ordinary_runs(together, tmp_path):
    member = folders(together)[0]
    assert len(folders(together)) == 8
    code, error = in_process(sample, member, "--out", tmp_path / "points.npz")
    assert code == 0, error
    code, error = in_process(evaluate, member, "--num", "10", "--repeats", "2")
    assert code == 0, error
    assert list((member / "samples").glob("fixed-0000010.png"))


def test_the_table_shows_mean_and_standard_deviation(together):
    rows = json.loads((together / "summary.json").read_text())
    assert [row["seeds"] for row in rows] == [[0, 1]] * 4
    metric = rows[0]["metrics"]["heldout_wasserstein"]
    last = [records(p)[-1]["heldout_wasserstein"] for p in folders(together)[:2]]
    assert metric["values"] == last
    assert metric["mean"] == pytest.approx(np.mean(last))
    assert metric["std"] == pytest.approx(np.std(last, ddof=1))
    lines = (together / "summary.md").read_text().splitlines()
    heading = "exact W1 of 40 / 40 samples, best first; mean +- standard deviation"
    assert lines[0] == f"{heading} over 2 seeds."
    means = [float(line.split(" | ")[4].split(" +- ")[0]) for line in lines[4:8]]
    assert means == sorted(means)
    assert sum("critic_lr=0.001,gp_weight=1.0 | 2 | 0 | 10" in x for x in lines) == 1


@pytest.mark.slow
def test_a_score_is_that_of_the_command_evaluate(together, tmp_path):
    member = folders(together)[3]
    out = tmp_path / "evaluation.json"
    code, error = in_process(evaluate, member, "--num", "40", "--json", out)
    assert code == 0, error
    results = json.loads(out.read_text())["results"]
    result = next(r for r in results if r["measure"] == "wasserstein")
    rows = json.loads((together / "summary.json").read_text())
    row = next(r for r in rows if f"/{r['setting']}/" in str(member))
    score = row["score"]["values"][member.name == "seed-1"]
    assert score == pytest.approx(result["value"]["mean"])
    assert row["score"]["floor"] == pytest.approx(result["reference"]["mean"])


def test_trained_members_are_not_trained_again(together, tmp_path, capsys):
    words = [*TOY, "--run.diagnostics", "--optimizer.ema-decay", "0.5", "--num", "40"]
    words += ["--mode", "together", "--vary", "optimizer.critic_lr=1e-3,1e-2"]
    scores = {p: (p / "evaluation.json").read_bytes() for p in folders(together)}
    before = {p: (p / "metrics.jsonl").stat().st_mtime_ns for p in folders(together)}
    words += ["objective.gp_weight=1,10", "--seeds", "2", "--out", together]
    code, error = in_process(sweep, *words)
    assert code == 0, error
    assert "8 of 8 are trained to the end already" in capsys.readouterr().out
    after = {p: (p / "metrics.jsonl").stat().st_mtime_ns for p in folders(together)}
    assert after == before
    # Nor measured.
    for member, saved in scores.items():
        assert (member / "evaluation.json").read_bytes() == saved


@pytest.mark.slow
def test_images_with_batch_norm_and_clipping(tmp_path):
    words = [word for word in TINY if word != "--objective.warmup"]
    words += ["--run.steps", "5", "--objective.constraint", "clip"]
    code, error = in_process(train, *words, "--seed", 1, "--out", tmp_path / "alone")
    assert code == 0, error
    many = ["--seeds", "2", "--mode", "together", "--features", "none"]
    many += ["--out", tmp_path / "many"]
    code, error = in_process(sweep, *words, *many)
    assert code == 0, error
    assert_same_run(tmp_path / "many" / "seed-1", tmp_path / "alone", 1e-4)


@pytest.mark.slow
def test_in_turn_a_member_equals_its_single_run_bit_for_bit(tmp_path):
    words = [*TOY, "--run.steps", "5"]
    code, error = in_process(train, *words, "--seed", 1, "--out", tmp_path / "alone")
    assert code == 0, error
    many = ["--seeds", "2", "--mode", "in-turn", "--features", "none"]
    many += ["--out", tmp_path / "many"]
    code, error = in_process(sweep, *words, *many)
    assert code == 0, error
    assert_same_run(tmp_path / "many" / "seed-1", tmp_path / "alone", 0)


# --------------------------------------------------------------- divergence and resume


@pytest.mark.parametrize("mode", ["together", "in-turn"])
def test_a_run_that_diverges_does_not_stop_the_others(mode, tmp_path, capsys):
    rates = ("--vary", "optimizer.critic_lr=1e38,1e-3", "--optimizer.kind", "rmsprop")
    words = [*UNRANKED, *rates, "--seeds", "2", "--mode", mode, "--out", tmp_path]
    code, error = in_process(sweep, *words)
    assert code == 0, error
    output = capsys.readouterr().out
    for seed in (0, 1):
        sentence = rf"critic_lr=1e\+38, seed {seed}: .* is not finite between steps 0"
        assert re.search(sentence, output)
    rows = json.loads((tmp_path / "summary.json").read_text())
    assert [(row["seeds"], row["diverged"]) for row in rows] == [([], 2), ([0, 1], 0)]
    lines = (tmp_path / "summary.md").read_text().splitlines()
    assert "| critic_lr=1e+38 | 0 | 2 | 0 | - | - | - |" in lines


@pytest.mark.slow
def test_members_at_different_steps_resume_from_their_steps(tmp_path):
    words = [*UNRANKED, "--mode", "together", "--seeds", "3", "--out"]
    assert in_process(sweep, *words, tmp_path / "whole", "--run.steps", "20")[0] == 0
    parts = tmp_path / "parts"
    assert in_process(sweep, *words, parts)[0] == 0
    # As if it had been killed before the last of its members was saved.
    ahead = ("--seed", 2, "--run.steps", "20", "--extend", "--out", parts / "seed-2")
    assert in_process(train, *TOY, *ahead)[0] == 0
    code, error = in_process(
        sweep, *words, parts, "--run.steps", "20", "--extend", "--seeds", "4"
    )
    assert code == 0, error
    assert len(folders(parts)) == 4
    for seed in (0, 1, 2):
        assert_same_run(
            parts / f"seed-{seed}", tmp_path / "whole" / f"seed-{seed}", 1e-4
        )


@pytest.mark.slow
def test_a_stop_request_saves_all_members_at_one_step(tmp_path):
    words = [*UNRANKED, "--run.steps", "1000000", "--seeds", "3", "--mode", "together"]
    process = launch("sweep", *words, "--out", tmp_path)
    until = time.monotonic() + 120
    while not all(records(tmp_path / f"seed-{i}") for i in range(3)):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < until
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    output, error = process.communicate(timeout=60)
    assert process.returncode == 0, error
    assert "stopped, all saved; the same command resumes the sweep" in output
    saved = [
        max(int(p.name) for p in (run / "checkpoints").iterdir())
        for run in folders(tmp_path)
    ]
    assert len(set(saved)) == 1
    assert [records(run)[-1]["step"] for run in folders(tmp_path)] == saved


# ----------------------------------------------------------------------------- settings


@pytest.mark.slow
def test_methods_are_compared_and_resumed(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sweeps_training, "TRIAL_SECONDS", 0.01)
    extending_example("A Lipschitz constraint", tmp_path)
    out, own = tmp_path / "out", f"objective.constraint={tmp_path / 'r1.py'}:r1"
    settings = [
        "clip: objective.constraint=clip optimizer.kind=rmsprop",
        "penalty: optimizer.kind=adam",
        own,
    ]
    words = [*TOY, "--num", "40", "--seeds", "2", "--settings", *settings]
    assert in_process(sweep, *words, "--run.steps", "5", "--out", out) == (0, "")
    assert "6 runs: 3 settings, 2 seeds each, 3 programs" in capsys.readouterr().out
    names = {p.parent.name for p in folders(out)}
    assert names == {"clip", "penalty", "constraint=r1.py:r1"}
    ranking, estimates = (out / "summary.md").read_text().split("\nEstimates")
    assert "wasserstein" not in ranking
    assert {line.split("|")[2].strip() for line in estimates.splitlines()[4:]} == {
        "weights clipped at 0.01",
        "penalty, slope 1",
        "constraint r1.py:r1",
    }
    assert in_process(sweep, *words, "--extend", "--out", out) == (0, "")
    assert [records(run)[-1]["step"] for run in folders(out)] == [10] * 6
    settings[1] = "penalty: optimizer.kind=rmsprop"
    code, error = in_process(
        sweep, *TOY, "--seeds", "2", "--settings", *settings, "--out", out
    )
    assert code == 2
    assert "differs in optimizer.kind: adam and rmsprop (there and now)" in error


def test_functions_of_the_user_fail_before_anything_is_trained(tmp_path):
    (tmp_path / "wrong.py").write_text(
        "from wgan_jax.algorithm.constraints import Constraint\n"
        "def wrong(objective):\n"
        "    return Constraint(penalty=lambda score, real, fake, key: missing)\n"
    )
    settings = [
        "a: optimizer.kind=adam",
        f"b: objective.constraint={tmp_path}/wrong.py:wrong",
    ]
    with pytest.raises(NameError, match="missing"):
        sweep.main([*UNRANKED, "--settings", *settings, "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


# ------------------------------------------------------------------- choice of the mode


@pytest.mark.parametrize("together", [True, False])
def test_the_faster_mode_is_chosen_and_reported(
    together, tmp_path, monkeypatch, capsys
):
    times = iter([0.5, 1.0 - together * 0.1])
    monkeypatch.setattr(sweeps_training, "_seconds_per_step", lambda *_: next(times))
    words = [*UNRANKED, "--seeds", "2", "--run.steps", "5", "--out", tmp_path]
    code, error = in_process(sweep, *words)
    assert code == 0, error
    output = capsys.readouterr().out
    assert "ms one after another: training them" in output
    assert ("training them together" in output) == together
    assert ("2 runs" in output.split("training them")[1]) == together


def test_seconds_per_step_are_those_of_a_step():
    calls = []

    def advance(state, count):
        calls.append(int(count))
        time.sleep(0.01 * int(count))
        return state, {}

    taken = _seconds_per_step(advance, {"step": np.zeros(3)})
    assert 0.01 <= taken < 0.015
    assert calls[0] == 1
    assert sum(calls) < 100


def test_groups_fit_the_memory(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sweeps_training, "_how_many_fit", lambda *_: 2)
    words = [*UNRANKED, "--seeds", "3", "--mode", "together", "--out", tmp_path]
    code, error = in_process(sweep, *words, "--run.steps", "5")
    assert code == 0, error
    output = capsys.readouterr().out
    assert re.findall(r"(\d) runs  ", output) == ["2", "1"]
    assert [records(run)[-1]["step"] for run in folders(tmp_path)] == [5, 5, 5]


def test_the_number_of_runs_fits_the_memory_next_to_the_samples(monkeypatch):
    class Program:
        def memory_analysis(self):
            class Sizes:
                argument_size_in_bytes, temp_size_in_bytes = 300, 400

            return Sizes

    monkeypatch.setattr(
        devices.os, "sysconf", {"SC_AVPHYS_PAGES": 10, "SC_PAGE_SIZE": 500}.get
    )
    # 5,000 bytes less a tenth and 100 of samples; a run takes 200 twice and 400.
    assert _how_many_fit(Program(), np.zeros(100, np.uint8)) == 4400 // 800


# ----------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--seeds", "0"], "--seeds 0 must be 1 or more"),
        (["--num", "3"], "--num 3 must be 10 or more"),
        (["--settings"], "--settings has no value: give one after it"),
        (
            ["--settings", "configs/digits.py"],
            "--config configs/toy_8gaussians.py is n",
        ),
        (
            ["--optimizer.kind", "adam", "--settings", "a: optimizer.kind=rmsprop"],
            "--optimizer.kind is given, and set by each of --settings",
        ),
        (
            ["--vary", "optimizer.critic_lr=0"],
            "optimizer.critic_lr=0.0 must be greater",
        ),
        (["--run.seed", "4294967295", "--seeds", "2"], "run.seed=4294967296 must be"),
    ],
)
def test_mistakes_are_reported_before_anything_is_written(words, said, tmp_path):
    code, error = in_process(sweep, *UNRANKED, *words, "--out", tmp_path / "out")
    assert (code, said in error) == (2, True), error
    assert not (tmp_path / "out").exists()


def test_a_sweep_needs_a_configuration_and_a_separate_directory(tmp_path):
    assert "--config is missing" in in_process(sweep, "--seeds", "2")[1]
    (tmp_path / "config.json").write_text("{}")
    code, error = in_process(sweep, *TOY, "--out", tmp_path)
    assert code == 2
    assert "contains a single run: give another --out" in error


def test_fresh_moves_the_old_sweep_aside(together, tmp_path):
    out = tmp_path / "out"
    words = [*UNRANKED, "--seeds", "1", "--run.steps", "5", "--out", out]
    assert in_process(sweep, *words)[0] == 0
    code, error = in_process(sweep, *words, "--model.features", "4")
    assert code == 2
    assert "model.features: 8 and 4" in error
    assert in_process(sweep, *words, "--model.features", "4", "--fresh")[0] == 0
    assert (tmp_path / "out.1" / "seed-0" / "config.json").is_file()
