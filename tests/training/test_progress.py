import json
import sys
from functools import partial

from rich.console import Console

from wgan_jax.algorithm.constraints import Constraint
from wgan_jax.config import Config, Data, Objective
from wgan_jax.training import progress
from wgan_jax.training.progress import log_output, make_progress, run_status, sparkline

VALUES = {"wasserstein": 2.5, "generator_loss": -1.25, "cycles_per_second": 10.0}


def status(step=250, name="", **values):
    return run_status(Config(), step, VALUES | values, {}, name)


def test_a_pipe_gets_a_line_per_record(capsys):
    with make_progress() as shown:
        shown.show(status(25, heldout_wasserstein=2.25, gradient_penalty=0.125))
        shown.clear()
        shown.show(status(1000))
    first, second = capsys.readouterr().out.splitlines()
    assert first.split("  ") == [
        "step 25/1000",
        "10 cycles/s",
        "3.2e+03 images/s",
        "wasserstein 2.5",
        "held-out 2.25",
        "penalty 0.125",
        "generator loss -1.25",
        "1:38 left",
    ]
    assert second.startswith("step 1000/1000")
    assert second.endswith("0:00 left")


def zero_centred(objective):
    return Constraint(lambda score, real, fake, key: (0, {"r1": 0}), metrics=("r1",))


def test_metrics_of_the_user_s_constraint_are_shown_and_points_are_points():
    config = Config(
        data=Data(source="8gaussians"),
        objective=Objective(constraint=f"{__file__}:zero_centred"),
    )
    figures = run_status(config, 250, VALUES | {"r1": 0.5}, {}).figures
    assert "r1 0.5" in figures
    assert "3.2e+03 points/s" in figures


def test_json_has_an_object_per_line(capsys):
    with log_output("json"):
        print("compiling", end="")
        print(" ...\n\n  done")
        with make_progress() as shown:
            shown.show(status())
            print("warning: seed=1, step 250: the critic is weak")
            shown.show(status(500, name="seed=1"))
        print("stopped", end="")
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [
        {"event": "message", "text": "compiling ..."},
        {"event": "message", "text": "done"},
        {"event": "progress", "step": 250, "steps": 1000, "seconds_left": 75.0}
        | VALUES,
        {"event": "warning", "text": "seed=1, step 250: the critic is weak"},
        {"event": "progress", "run": "seed=1", "step": 500, "steps": 1000}
        | {"seconds_left": 50.0}
        | VALUES,
        {"event": "message", "text": "stopped"},
    ]


def use_terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    console = partial(Console, width=80, force_terminal=True)
    monkeypatch.setattr(progress, "Console", console)


def test_a_terminal_gets_a_block_and_prints_above_it(capsys, monkeypatch):
    use_terminal(monkeypatch)
    with make_progress() as shown:
        shown.show(status(250))
        print("warning: a sentence")
        shown.show(status(500, wasserstein=3.5))
        shown.clear()
        shown.show(status(750))
    text = capsys.readouterr().out
    assert text.count("warning: a sentence") == 1
    for part in ("step 250/1000", "step 500/1000", "━", "wasserstein ▁█", "0:25 left"):
        assert part in text
    # The block is erased before another one, and the cursor is shown at the end.
    assert "\x1b[2K" in text
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")


def test_lines_hide_the_terminal(capsys, monkeypatch):
    use_terminal(monkeypatch)
    with log_output("lines"), make_progress() as shown:
        shown.show(status())
    assert "\x1b" not in capsys.readouterr().out


def test_a_notebook_gets_one_line_that_is_written_over(capsys, monkeypatch):
    kind = type("OutStream", (type(sys.stdout),), {"__module__": "ipykernel.iostream"})
    monkeypatch.setattr(sys.stdout, "__class__", kind, raising=False)
    with make_progress() as shown:
        shown.show(status(250, wasserstein=123.25))
        shown.show(status(1000))
    first, second = capsys.readouterr().out.removeprefix("\r").split("\r")
    assert second.startswith("step 1000/1000")
    assert second.endswith("\n")
    # Nothing of the longer line remains.
    assert len(second.rstrip("\n")) >= len(first)


def test_a_sparkline_goes_from_the_least_to_the_greatest():
    assert sparkline([0, 7, 3.5]) == "▁█▅"
    assert sparkline([2.0, 2.0]) == "▁▁"
    assert len(sparkline(range(60))) == 60
