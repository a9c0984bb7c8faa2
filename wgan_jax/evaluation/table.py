"""What an evaluation found, as a table and as a JSON file."""

import dataclasses
import json
import math
from pathlib import Path

from wgan_jax.errors import UserError
from wgan_jax.metrics.transport import MeanStd


@dataclasses.dataclass(frozen=True)
class Measure:
    """A number about the samples, beside the one it is to be read against."""

    value: MeanStd
    reference: MeanStd | None = None
    reference_is: str = ""
    ratio: float | None = None
    """Mean value over mean reference, where both are distances."""


def format_table(found: dict[str, Measure], labels: dict[str, str]) -> list[str]:
    """The measures as lines, each under its label."""
    width = max(26, *(len(labels[name]) + 1 for name in found))

    def row(label, value, reference, ratio, reference_is):
        cells = f"{label:{width}}{value:>17}{reference:>18}{ratio:>8}"
        return f"{cells}  {reference_is}".rstrip()

    lines = [row("measure", "value", "reference", "ratio", "which is")]
    for name, measure in found.items():
        ratio = "" if measure.ratio is None else f"{measure.ratio:.3g}"
        cells = (plain(measure.value), plain(measure.reference), ratio)
        lines.append(row(labels[name], *cells, measure.reference_is))
    return lines


def plain(spread: MeanStd | None) -> str:
    """A spread as 1.23 +- 0.045; of a single value, without the second number."""
    if spread is None:
        return ""
    mean = f"{spread.mean:.3g}"
    return mean if math.isnan(spread.std) else f"{mean} +- {spread.std:.2g}"


def check_out(out: Path) -> None:
    """Raises UserError where `write` may not write: over what is no evaluation."""
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
            f"--json {out} is there and is no evaluation: give another name"
        )


def write_evaluation(out: Path, facts: dict, found: dict, **more) -> None:
    """Writes {"evaluation": facts, "measures": found} and what is more."""
    whole = _finite({"evaluation": facts, "measures": found} | more)
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f"{out.name}.tmp")
    temporary.write_text(json.dumps(whole, indent=2) + "\n")
    temporary.replace(out)


def _finite(value):
    # JSON has neither infinity nor NaN.
    if dataclasses.is_dataclass(value):
        value = dataclasses.asdict(value)
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
