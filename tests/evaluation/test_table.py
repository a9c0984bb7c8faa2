"""The table and the JSON file of an evaluation."""

import json
import math
import re

from wgan_jax.evaluation.table import (
    Evaluation,
    Measure,
    format_checkpoints,
    format_table,
    read_results,
    write_results,
)

LABELS = {
    "a": "a label that is longer than every column of an earlier table",
    "b": "b",
    "c": "c",
}
MEASURES = {
    "a": Measure.of([-3.4e26, -3.6e26], (50_000, 60_000)).against(
        [1e-9, 2e-9], "truth"
    ),
    "b": Measure.of([1.0], (7,), warning="b of 7 images").against(
        3e-300, "100000 real, heldout", ratio=True
    ),
    "c": Measure.of([2.0, math.inf], (7, 7)),
}


def cells(line):
    return re.split(" {2,}", line.strip())


def test_columns_never_touch():
    head, *rows = format_table(MEASURES, LABELS)[:4]
    assert cells(head) == [
        *("measure", "samples", "value", "reference", "ratio", "reference is")
    ]
    assert [cells(row) for row in rows] == [
        [
            LABELS["a"],
            "50000 / 60000",
            "-3.5e+26 +- 1.4e+25",
            "1.5e-09 +- 7.1e-10",
            "truth",
        ],
        ["b", "7", "1", "3e-300", "3.33e+299", "100000 real, heldout"],
        ["c", "7 / 7", "-"],
    ]
    # The last column begins at one place.
    assert rows[0].index("truth") == rows[1].index("100000 real")


def test_a_table_of_checkpoints_has_a_column_for_each_measure():
    head, samples, *rows = format_checkpoints({5: MEASURES, 1000: MEASURES}, LABELS)[:4]
    assert cells(head) == ["step", *LABELS.values()]
    assert cells(samples) == ["samples", "50000 / 60000", "7", "7 / 7"]
    assert [cells(row) for row in rows] == [
        [step, "-3.5e+26 +- 1.4e+25", "1", "-"] for step in ("5", "1000")
    ]
    assert len({len(line) for line in (head, samples, *rows)}) == 1


def test_withheld_values_and_warnings_have_a_reason_once():
    expected = ["warning: b of 7 images", "- c: the value is not finite"]
    assert format_table(MEASURES, LABELS)[4:] == expected
    assert format_checkpoints({1: MEASURES, 2: MEASURES}, LABELS)[4:] == expected


def test_a_result_replaces_only_one_of_the_same_measurement(tmp_path):
    out = tmp_path / "deep" / "evaluation.json"

    def add(step, seed, value):
        measures = {step: {"fid": Measure.of([value], (7,))}}
        write_results(out, Evaluation({"seed": seed}, measures, []))
        return [(r["step"], r["seed"], r["value"]["mean"]) for r in read_results(out)]

    assert add(1, 0, 2.0) == [(1, 0, 2.0)]
    assert add(2, 0, 3.0) == [(1, 0, 2.0), (2, 0, 3.0)]
    assert add(1, 5, 4.0) == [(1, 0, 2.0), (2, 0, 3.0), (1, 5, 4.0)]
    assert add(1, 0, 9.0) == [(2, 0, 3.0), (1, 5, 4.0), (1, 0, 9.0)]
    write_results(out, Evaluation({"seed": 0}, {None: MEASURES}, []))
    content = json.loads(out.read_text(), parse_constant=lambda name: 1 / 0)
    assert len(content["results"]) == 6
    assert content["results"][-1] == {
        "measure": "c",
        "seed": 0,
        "value": None,
        "samples": [7, 7],
        "withheld": "the value is not finite",
    }
