"""Results of an evaluation: a table for the terminal and a JSON file."""

import dataclasses
import json
import math
from pathlib import Path

from wgan_jax.errors import UserError
from wgan_jax.files import write_json
from wgan_jax.metrics.transport import MeanStd


@dataclasses.dataclass(frozen=True)
class Measure:
    """A number of the samples, and a reference value to read it against."""

    value: MeanStd
    reference: MeanStd | None = None
    reference_is: str = ""
    """Name of the reference in the table."""
    ratio: float | None = None
    """Mean value over mean reference, where both are distances."""


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """The result of an evaluation."""

    facts: dict
    """Run, counts and seeds, for JSON."""
    measures: dict
    """{key: Measure}, or for several checkpoints {step: {key: Measure}}."""
    lines: list[str]
    """The report for the terminal."""
    more: dict = dataclasses.field(default_factory=dict)
    """Further entries for JSON."""


def format_table(measures: dict[str, Measure], labels: dict[str, str]) -> list[str]:
    """The lines of a table: the measures under their labels."""
    width = max(26, *(len(labels[key]) + 1 for key in measures))

    def row(label, value, reference, ratio, reference_is):
        cells = f"{label:{width}}{value:>17}{reference:>18}{ratio:>8}"
        return f"{cells}  {reference_is}".rstrip()

    lines = [row("measure", "value", "reference", "ratio", "reference is")]
    for key, measure in measures.items():
        ratio = "" if measure.ratio is None else f"{measure.ratio:.3g}"
        cells = (plain(measure.value), plain(measure.reference), ratio)
        lines.append(row(labels[key], *cells, measure.reference_is))
    return lines


def format_checkpoints(
    measures: dict[int, dict[str, Measure]], labels: dict[str, str]
) -> list[str]:
    """The lines of a table: a line for each step, a column for each measure."""
    widths = {k: max(len(labels[k]), 16) + 2 for k in measures[max(measures)]}
    lines = [f"{'step':>8}" + "".join(f"{labels[k]:>{w}}" for k, w in widths.items())]
    for step, by_key in measures.items():
        cells = (f"{plain(by_key[k].value):>{w}}" for k, w in widths.items())
        lines.append(f"{step:>8}" + "".join(cells))
    return lines


def plain(value: MeanStd | None) -> str:
    """Mean and standard deviation as 1.23 +- 0.045, or a single value as 1.23."""
    if value is None:
        return ""
    mean = f"{value.mean:.3g}"
    return mean if math.isnan(value.std) else f"{mean} +- {value.std:.2g}"


def check_out(out: Path) -> None:
    """Raises UserError where `out` is not a JSON file or not an earlier evaluation."""
    if out.suffix != ".json":
        raise UserError(f"--json {out} must end in .json")
    if not out.exists():
        return
    try:
        known = {"evaluation", "measures"} <= set(json.loads(out.read_text()))
    except (OSError, ValueError, TypeError):
        known = False
    if not known:
        raise UserError(
            f"--json {out} exists and is not an evaluation: give another name"
        )


def write_evaluation(out: Path, evaluation: Evaluation) -> None:
    """Writes {"evaluation": facts, "measures": measures} and further entries."""
    content = {"evaluation": evaluation.facts, "measures": evaluation.measures}
    out.parent.mkdir(parents=True, exist_ok=True)
    write_json(out, _finite(content | evaluation.more))


def _finite(value):
    # JSON has neither infinity nor NaN.
    if isinstance(value, Measure):
        value = dataclasses.asdict(value)
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
