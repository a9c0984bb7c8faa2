import json
import sys
import types

import numpy as np
import pytest

from wgan_jax.config import Config
from wgan_jax.runs.log import RunLog, duration, read_records


def records(directory):
    lines = (directory / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_records_are_written_at_once(tmp_path):
    with RunLog(tmp_path, 0, tensorboard=False) as log:
        log.write(25, {"wasserstein": 1.5, "seconds": 2})
        # While it is open: a killed run does not lose records.
        assert records(tmp_path) == [{"step": 25, "wasserstein": 1.5, "seconds": 2}]
        log.write(50, {"wasserstein": 0.1})
        assert records(tmp_path)[1] == {"step": 50, "wasserstein": 0.1}


@pytest.mark.parametrize(
    ("step", "remaining"),
    [(0, []), (10, [10]), (19, [10]), (20, [10, 20]), (99, [10, 20, 30])],
)
def test_reopening_drops_later_records(tmp_path, step, remaining):
    with RunLog(tmp_path, 0, tensorboard=False) as log:
        for logged in (10, 20, 30):
            log.write(logged, {"value": logged / 10})
    with RunLog(tmp_path, step, tensorboard=False) as log:
        assert log.board is None
    assert records(tmp_path) == [{"step": s, "value": s / 10} for s in remaining]


@pytest.mark.parametrize("half", ['{"step": 20, "val', '{"value": 1}', "[20]", "7", ""])
def test_half_a_line_is_dropped_and_the_next_one_is_whole(tmp_path, half):
    (tmp_path / "metrics.jsonl").write_text('{"step": 10, "value": 1.0}\n' + half)
    with RunLog(tmp_path, 20, tensorboard=False) as log:
        log.write(20, {"value": 2.0})
    expected = [{"step": 10, "value": 1.0}, {"step": 20, "value": 2.0}]
    assert records(tmp_path) == expected


def use_all(directory, tensorboard):
    with RunLog(directory, 0, tensorboard) as log:
        log.write(5, {"wasserstein": 1.5})
        log.picture(5, "samples", np.zeros((4, 6, 3), np.uint8))
        log.histograms(5, {"critic/kernel": np.linspace(-1, 1, 20).reshape(4, 5)})
        log.configuration(Config())


def test_without_tensorboardx_metrics_are_written_alone(tmp_path, monkeypatch):
    # None makes the import fail as if it were not installed.
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    use_all(tmp_path, tensorboard=True)
    assert records(tmp_path) == [{"step": 5, "wasserstein": 1.5}]
    assert [p.name for p in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_tensorboard_can_be_turned_off(tmp_path):
    use_all(tmp_path, tensorboard=False)
    assert [p.name for p in tmp_path.iterdir()] == ["metrics.jsonl"]


@pytest.mark.tensorboard
def test_tensorboard_files_hold_scalars_pictures_histograms_and_text(tmp_path):
    use_all(tmp_path, tensorboard=True)
    (events,) = (tmp_path / "tensorboard").iterdir()
    content = events.read_bytes()
    for name in (b"wasserstein", b"samples", b"critic/kernel", b"config"):
        assert name in content
    assert b"\x89PNG" in content
    assert records(tmp_path) == [{"step": 5, "wasserstein": 1.5}]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0:00"),
        (5.4, "0:05"),
        (59.6, "1:00"),
        (123, "2:03"),
        (3599.4, "59:59"),
        (3599.6, "1:00:00"),
        (3723, "1:02:03"),
        (100 * 3600 + 61, "100:01:01"),
    ],
)
def test_duration(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("text", "steps", "dropped"),
    [
        (b'{"step": 10, "a": 1}\n{"step": 20, "a"', [10], "1 of 2"),
        (
            b'{"step": 10, "a": 1}\n\x93\xff\x00\n{"step": 20, "a": 2}\n',
            [10, 20],
            "1 of 3",
        ),
        (b'[10]\n7\nnull\n"step"\n{"step": 10, "a": 1}\n', [10], "4 of 5"),
        (b'{"step": 10, "a": NaN}\n{"step": 20, "a": 1}\n', [20], "1 of 2"),
        (b'{"step": 10, "a": "high"}\n{"step": true}\n', [], "2 of 2"),
        # As two writers leave it.
        (
            b'{"step": 20}\n{"step": 10}\n{"step": 20}\n{"step": 30}\n',
            [20, 30],
            "2 of 4",
        ),
        (b'{"step": 10, "a": 1}\n', [10], None),
    ],
)
def test_damaged_lines_are_dropped_and_reported(tmp_path, capsys, text, steps, dropped):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(text)
    assert [r["step"] for r in read_records(path)] == steps
    expected = f"warning: {path}: dropped {dropped} lines" if dropped else ""
    assert capsys.readouterr().out.startswith(expected)
    RunLog(tmp_path, 25, tensorboard=False).file.close()
    assert [r["step"] for r in records(tmp_path)] == [s for s in steps if s <= 25]


def test_tensorboard_keeps_the_record_of_the_step_of_resumption(tmp_path, monkeypatch):
    writers = []
    board = types.SimpleNamespace(
        SummaryWriter=lambda *_, **options: writers.append(options)
    )
    monkeypatch.setitem(sys.modules, "tensorboardX", board)
    RunLog(tmp_path, 20, tensorboard=True).file.close()
    # TensorBoard discards the records from this step.
    assert writers == [{"purge_step": 21}]
