"""Results of an evaluation: a table for the terminal and a JSON file."""

import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from wgan_jax.errors import UserError
from wgan_jax.files import write_json
from wgan_jax.metrics.transport import MeanStd, mean_std

# Version of the JSON file.
FORMAT = 2
# Fields of a result that do not name its measurement.
OUTCOME = ("value", "reference", "reference_is", "ratio", "withheld", "warning")


@dataclasses.dataclass(frozen=True)
class Measure:
    """A number of the samples, and a reference value to read it against."""

    value: MeanStd | None
    """None where it is withheld."""
    samples: tuple[int, ...] = ()
    """Samples that one value is computed from: generated ones and real ones."""
    reference: MeanStd | None = None
    reference_is: str = ""
    """Name of the reference in the table."""
    ratio: float | None = None
    """Mean value over mean reference, where both are distances."""
    withheld: str = ""
    """Reason to withhold the value."""
    warning: str = ""

    @classmethod
    def of(cls, values, samples, withheld: str = "", warning: str = "") -> "Measure":
        """The measure of repeated values, withheld where one is not finite."""
        if not withheld and not np.isfinite(values).all():
            withheld = "the value is not finite"
        if withheld:
            return cls(None, samples, withheld=withheld)
        return cls(mean_std(values), samples, warning=warning)

    def against(self, values, reference_is: str, ratio: bool = False) -> "Measure":
        """The measure with the reference of a value or of repeated ones.

        ratio: compute it, where the reference is not zero. A measure that is withheld
        has no reference, nor has one whose reference is not finite.
        """
        if self.value is None or not np.isfinite(values).all():
            return self
        mean = mean_std(np.atleast_1d(values))
        quotient = self.value.mean / mean.mean if ratio and mean.mean else None
        return dataclasses.replace(
            self, reference=mean, reference_is=reference_is, ratio=quotient
        )


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """The result of an evaluation."""

    facts: dict
    """Run, settings and seeds, for JSON."""
    measures: dict
    """{step of the checkpoint: {key: Measure}}; the step of image sets is None."""
    lines: list[str]
    """The report for the terminal."""


# ------------------------------------------------------------------------------- table


def format_steps(
    measures: dict[int, dict[str, Measure]], labels: dict[str, str]
) -> list[str]:
    """The lines of a table of one step, or of one with a line for each step."""
    if len(measures) > 1:
        return format_checkpoints(measures, labels)
    ((step, by_key),) = measures.items()
    return [f"step {step}", *format_table(by_key, labels)]


def format_table(measures: dict[str, Measure], labels: dict[str, str]) -> list[str]:
    """The lines of a table: the measures under their labels."""
    rows = [("measure", "samples", "value", "reference", "ratio", "reference is")]
    for key, measure in measures.items():
        reference = plain(measure.reference) if measure.reference else ""
        ratio = "" if measure.ratio is None else f"{measure.ratio:.3g}"
        cells = labels[key], counts(measure), plain(measure.value)
        rows.append((*cells, reference, ratio, measure.reference_is))
    if not any(measure.reference for measure in measures.values()):
        rows = [row[:3] for row in rows]
    return align(rows, left=(0, 5)) + _notes([measures], labels)


def format_checkpoints(
    measures: dict[int, dict[str, Measure]], labels: dict[str, str]
) -> list[str]:
    """The lines of a table: a line for each step, a column for each measure."""
    first = next(iter(measures.values()))
    rows = [
        ("step", *(labels[key] for key in first)),
        ("samples", *(counts(measure) for measure in first.values())),
    ]
    for step, by_key in measures.items():
        rows.append((str(step), *(plain(by_key[key].value) for key in first)))
    return align(rows) + _notes(measures.values(), labels)


def align(rows: Sequence[Sequence[str]], left: Sequence[int] = ()) -> list[str]:
    """The rows as lines whose columns never touch.

    left: numbers of the columns that are aligned to the left.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            f"{cell:{'<' if i in left else '>'}{width}}"
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def plain(value: MeanStd | None) -> str:
    """Mean and standard deviation as 1.23 +- 0.045, or a single value as 1.23."""
    if value is None:
        return "-"
    mean = f"{value.mean:.3g}"
    return mean if math.isnan(value.std) else f"{mean} +- {value.std:.2g}"


def counts(measure: Measure) -> str:
    """The samples of a measure as 2000 / 60000."""
    return " / ".join(map(str, measure.samples))


def _notes(tables, labels):
    """Reasons of withheld values and warnings, each once."""
    notes = {}
    for by_key in tables:
        for key, measure in by_key.items():
            if measure.withheld:
                notes[f"- {labels[key]}: {measure.withheld}"] = True
            if measure.warning:
                notes[f"warning: {measure.warning}"] = True
    return list(notes)


# -------------------------------------------------------------------------------- JSON


def read_results(out: Path) -> list[dict]:
    """The results in a file of earlier evaluations; none if it does not exist.

    Raises UserError where `out` is not a JSON file, and where the file is damaged or
    not an evaluation.
    """
    if out.suffix != ".json":
        raise UserError(f"--json {out} must end in .json")
    if not out.exists():
        return []
    try:
        content = json.loads(out.read_text())
    except (OSError, ValueError, RecursionError) as error:
        problem = f"cannot be read ({error})"
    else:
        if isinstance(content, dict) and content.get("format") == FORMAT:
            results = content.get("results")
            if isinstance(results, list) and all(isinstance(r, dict) for r in results):
                return results
        problem = f"is not an evaluation of format {FORMAT}"
    raise UserError(
        f"{out} exists and {problem}: move it, or give another file with --json"
    )


def write_results(out: Path, evaluation: Evaluation) -> None:
    """Adds the measures of an evaluation to the results in a file.

    The file is {"format": 2, "results": [...]}. A result has the key of its measure,
    the step, all facts, and the fields of `Measure` that are not empty. It replaces an
    earlier result of the same measure, step and facts, and no other one.
    """
    results = read_results(out)
    for step, measures in evaluation.measures.items():
        for key, measure in measures.items():
            about = {"measure": key} | ({} if step is None else {"step": step})
            fields = dataclasses.asdict(measure)
            shown = {k: v for k, v in fields.items() if k == "value" or v}
            new = json.loads(json.dumps(_finite(about | evaluation.facts | shown)))
            name = _measurement(new)
            results = [old for old in results if _measurement(old) != name] + [new]
    out.parent.mkdir(parents=True, exist_ok=True)
    write_json(out, {"format": FORMAT, "results": results})


def _measurement(result):
    return {name: value for name, value in result.items() if name not in OUTCOME}


def _finite(value):
    # JSON has no NaN, which is the standard deviation of one value.
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
