"""The recorder reads metrics one chunk late and saves finite states only."""

import dataclasses
from pathlib import Path

import pytest

from wgan_jax.config import Config, Run
from wgan_jax.training.loop import Diverged, RunRecorder, run_loop


class Parts:
    """Monitor, checkpoints and log of a run, which note the calls of the recorder."""

    def __init__(self):
        self.events = []
        self.records = self.recent = []
        self.warnings = {}
        self.found = {}
        self.not_finite = None
        self.fid = 3.0

    def write_real(self, log):
        self.events.append("real")

    def critic_metrics(self, state, step):
        return {"heldout_wasserstein": 1.0}

    def evaluate(self, state):
        self.events.append(f"evaluate {state}")
        return {"fid": self.fid}

    def write_samples(self, state, step, log):
        self.events.append(f"sample {step}")
        return Path(f"grid-{step}")

    def faults(self, records):
        return dict(self.found.get(records[-1]["step"], {}))

    def is_finite(self, state):
        return state != self.not_finite

    def save(self, state):
        self.events.append(f"save {state}")

    def wait(self):
        self.events.append("wait")

    def configuration(self, config):
        self.events.append("config")

    def write(self, step, values, warnings):
        self.events.append(f"write {step}")
        self.records.append({"step": step, **values})
        self.warnings |= warnings

    def write_divergence(self, step, cause):
        self.events.append(f"diverged {step}: {cause}")


def train(parts, start=0, stop_at=None, diverges_at=None, callback=None, **run):
    """The recorder of a run whose state is its step."""
    run = {"chunk": 10, "log_every": 10, "sample_every": 0, "steps": 50} | run
    recorder = RunRecorder(
        Config(run=dataclasses.replace(Run(), **run)),
        start,
        monitor=parts,
        checkpoints=parts,
        log=parts,
        stopped=lambda: f"train {stop_at}" in parts.events,
        callback=callback,
    )

    def advance(state, count):
        step = state + int(count)
        parts.events.append(f"train {step}")
        value = float("nan") if step == diverges_at else 0.5
        return step, {"wasserstein": value, "generator_loss": 1.0}

    run_loop(recorder, start, advance)
    return recorder


def test_metrics_are_read_after_the_next_chunk_has_started():
    parts = Parts()
    recorder = train(parts, steps=30, checkpoint_every=30)
    assert parts.events == [
        "config",
        "real",
        "train 10",
        "train 20",
        "write 10",
        "train 30",
        "write 20",
        "sample 30",
        "write 30",
        "save 30",
        "wait",
    ]
    assert (recorder.step, recorder.grid) == (30, Path("grid-30"))
    assert parts.records[0]["heldout_wasserstein"] == 1.0
    assert recorder.next_count() == 0


def test_a_state_is_saved_sampled_or_evaluated_after_its_metrics_are_read():
    parts = Parts()
    train(parts, start=10, steps=40, checkpoint_every=20, evaluate_every=30)
    assert parts.events == [
        "train 20",
        "write 20",
        "save 20",
        "train 30",
        "evaluate 30",
        "write 30",
        "train 40",
        "sample 40",
        "write 40",
        "save 40",
        "wait",
    ]
    assert [record.get("fid") for record in parts.records] == [None, 3.0, None]


def test_chunks_end_at_multiples_of_their_length_and_at_the_last_step():
    parts = Parts()
    train(parts, start=7, steps=25, log_every=25)
    assert [e for e in parts.events if "train" in e] == [
        "train 10",
        "train 20",
        "train 25",
    ]


def test_a_callback_sees_each_record_at_its_step_and_can_end_the_run():
    parts, seen = Parts(), []

    def callback(step, metrics):
        seen.append((step, metrics["wasserstein"], parts.events[-2:]))
        return step == 20

    recorder = train(parts, steps=50, callback=callback)
    assert seen == [
        (10, 0.5, ["train 10", "write 10"]),
        (20, 0.5, ["train 20", "write 20"]),
    ]
    assert parts.events[-3:] == ["sample 20", "save 20", "wait"]
    assert (recorder.step, recorder.grid) == (20, Path("grid-20"))


def test_a_stop_request_saves_after_the_current_chunk():
    parts = Parts()
    recorder = train(parts, stop_at=20, checkpoint_every=50)
    assert parts.events[-4:] == ["sample 20", "write 20", "save 20", "wait"]
    assert recorder.step == 20


def test_divergence_names_the_steps_and_the_intact_checkpoint():
    parts = Parts()
    message = (
        r"training diverged: wasserstein is not finite between steps 20 and 30\. "
        r"The checkpoint of step 20 is intact; try a lower learning rate"
    )
    with pytest.raises(Diverged, match=message):
        train(parts, diverges_at=30, checkpoint_every=10)
    assert "save 20" in parts.events
    assert "save 30" not in parts.events
    with pytest.raises(Diverged, match="No checkpoint is saved yet"):
        train(Parts(), diverges_at=10)


def test_a_state_that_is_not_finite_is_not_saved():
    parts = Parts()
    parts.not_finite = 30
    with pytest.raises(Diverged, match="diverged: a weight is not finite between"):
        train(parts, checkpoint_every=10)
    assert [e for e in parts.events if "save" in e] == ["save 10", "save 20"]


def test_a_warning_appears_once_per_kind(capsys):
    parts = Parts()
    parts.found = {10: {"slopes": "high"}, 20: {"slopes": "higher", "penalty": "huge"}}
    train(parts)
    assert parts.warnings == {"slopes": "step 10: high", "penalty": "step 20: huge"}
    printed = "warning: step 10: high\nwarning: step 20: huge\n"
    assert capsys.readouterr().out == printed
    # A resumed run has the warnings of its records.
    train(parts, start=10)
    assert capsys.readouterr().out == ""


def test_a_score_that_is_not_finite_is_withheld(capsys):
    parts = Parts()
    parts.fid = float("nan")
    train(parts, evaluate_every=20)
    assert not any("fid" in record for record in parts.records)
    assert parts.warnings["fid"].startswith("step 20: fid is not finite and is left")
    assert capsys.readouterr().out.count("warning: ") == 1
