"""Report of a sweep: tables, JSON and curves of measures that compare, and others."""

import itertools
import math
import statistics
from pathlib import Path

import numpy as np

from wgan_jax.algorithm.objectives import make_losses
from wgan_jax.evaluation.units import estimate_unit
from wgan_jax.files import write_json, write_text
from wgan_jax.pages import charts
from wgan_jax.pictures import save_png
from wgan_jax.runs.log import read_records, warnings_of
from wgan_jax.sweeps.measures import Score
from wgan_jax.sweeps.members import Member

NOT_COMPARABLE = "Estimates of critics, which compare only where their unit is equal:"


def write_report(
    out: Path, members: list[Member], diverged, scores: dict[str, Score]
) -> None:
    """Writes summary.json, summary.md and curves.png; prints the tables.

    diverged: names of the members that did not train to the end. scores: by name; see
    `measure_members`.
    """
    settings = {}
    for member in members:
        records = read_records(member.out / "metrics.jsonl")
        settings.setdefault(member.setting, []).append((member, records))
    rows = [_row(s, runs, diverged, scores) for s, runs in settings.items()]
    write_json(out / "summary.json", rows)
    warnings = [
        f"warning: {name}, {sentence}\n"
        for row in rows
        for name, found in row["warnings"].items()
        for sentence in found.values()
    ]
    reasons = dict.fromkeys(s.reason for s in scores.values() if s.reason)
    warnings += [f"warning: {reason}\n" for reason in reasons]
    text = _tables(rows) + ("\n" + "".join(warnings) if warnings else "")
    write_text(out / "summary.md", text)
    print(text, end="")
    save_png(out / "curves.png", _plot(rows, settings))
    files = ", ".join(str(out / f"summary.{kind}") for kind in ("md", "json"))
    print(f"{files}, {out / 'curves.png'}; a page: python -m wgan_jax.report {out}")


def _row(setting, runs, diverged, scores):
    """Statistics of one setting: scores, and last records without diverged runs.

    runs: (member, records) of each.
    """
    trained = [(m, records) for m, records in runs if m.name not in diverged]
    steps = max((r[-1]["step"] for _, r in trained if r), default=0)
    complete = [(m, r[-1]) for m, r in trained if r and r[-1]["step"] == steps]
    for member, records in trained:
        if not records or records[-1]["step"] != steps:
            print(
                f"warning: {member.out / 'metrics.jsonl'} has no record of step "
                f"{steps}: {member.name} is left out of the statistics"
            )
    names = dict.fromkeys(name for _, record in complete for name in record)
    metrics = {}
    for name in names:
        values = [record[name] for _, record in complete if name in record]
        if name not in ("step", "seconds", "cycles_per_second", "warnings"):
            metrics[name] = _statistics(values)
    config = runs[0][0].config
    losses = make_losses(config.objective)
    unit = estimate_unit(config, losses.metric, losses.bounded)
    return {
        "setting": setting,
        "seeds": [member.seed for member, _ in complete],
        "diverged": len(runs) - len(trained),
        "steps": steps,
        "score": _score([scores[m.name] for m, _ in complete if m.name in scores]),
        "estimate": {"metric": unit.metric, "unit": unit.label, "is": unit.identity},
        "metrics": metrics,
        "warnings": {member.name: warnings_of(records) for member, records in runs},
    }


def _statistics(values):
    return {
        "mean": statistics.mean(values),
        "std": statistics.stdev(values) if len(values) > 1 else None,
        "values": values,
    }


def _score(scores):
    """Mean and standard deviation of the scores of one setting; None without any."""
    scores = [score for score in scores if score.value is not None]
    if not scores:
        return None
    first = scores[0]
    about = {"measure": first.key, "label": first.label, "data": first.data}
    about |= {"samples": first.samples, "floor": first.floor}
    return about | _statistics([score.value for score in scores])


# ------------------------------------------------------------------------------ tables


def _tables(rows) -> str:
    """Markdown: a ranking for each measure and data set, estimates for each unit."""
    units = _grouped(rows, lambda row: row["estimate"]["is"])
    parts = []
    for ranked in _rankings(rows):
        names = _names(ranked) if len(units) == 1 else []
        parts.append(_heading(ranked) + _table(ranked, names))
    if len(units) > 1:
        parts.append(f"{NOT_COMPARABLE}\n\n{_estimates(rows)}")
    return "\n".join(parts)


def _grouped(rows, key):
    groups = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def _rankings(rows):
    """Rows of equal measure and data, best first; then those without a score."""
    ranked = sorted(
        (row for row in rows if row["score"]), key=lambda row: row["score"]["mean"]
    )
    about = "measure", "data", "samples"
    groups = _grouped(ranked, lambda row: tuple(row["score"][k] for k in about))
    groups = list(groups.values())
    if rest := [row for row in rows if not row["score"]]:
        if len(groups) == 1:
            groups[0] += rest
        else:
            groups.append(rest)
    return groups


def _heading(rows):
    counts = sorted({len(row["seeds"]) for row in rows if row["seeds"]})
    seeds = f"{' or '.join(map(str, counts))} seed{'s' * (counts != [1])}"
    score = rows[0]["score"]
    if not score:
        several = counts not in ([], [1])
        return f"Mean +- standard deviation over {seeds}.\n\n" * several
    spread = (
        f"mean +- standard deviation over {seeds}"
        if counts != [1]
        else ("one seed, which proves little: take --seeds 3 or more")
    )
    samples = " / ".join(map(str, score["samples"]))
    return f"{score['label']} of {samples} samples, best first; {spread}.\n\n"


def _table(rows, names) -> str:
    """A line per setting: its score, Frechet distances in training, and `names`."""
    present = dict.fromkeys(name for row in rows for name in row["metrics"])
    names = [*filter(_is_frechet, present), *names]
    score = rows[0]["score"]
    head = ["setting", "seeds", "diverged", "steps"]
    if score:
        head.append(score["label"])
    if score and score["floor"]:
        head.append(f"divided by {score['floor']:.3g} of real samples")
    table = [[*head, *names]]
    for row in rows:
        cells = [row["setting"] or "as configured", str(len(row["seeds"]))]
        cells += [str(row["diverged"]), str(row["steps"])]
        if score:
            cells.append(mean_std(row["score"]))
        if score and score["floor"]:
            cells.append(mean_std(row["score"], score["floor"]))
        table.append(cells + [mean_std(row["metrics"].get(name)) for name in names])
    return _markdown(table)


def _is_frechet(name):
    return "frechet" in name or name == "fid"


def _estimates(rows):
    names = _names(rows)
    table = [["setting", "unit", *names]]
    for row in rows:
        cells = [mean_std(row["metrics"].get(name)) for name in names]
        unit = row["estimate"]["unit"]
        table.append([row["setting"] or "as configured", unit, *cells])
    return _markdown(table)


def _names(rows):
    """Names of the metrics in units of the critics of rows."""
    estimates = dict.fromkeys(row["estimate"]["metric"] for row in rows)
    names = [*estimates, *(f"heldout_{name}" for name in estimates), "generator_loss"]
    present = {name for row in rows for name in row["metrics"]}
    return [name for name in names if name in present]


def _markdown(table):
    head, *body = [f"| {' | '.join(cells)} |" for cells in table]
    return "\n".join([head, f"|{'---|' * len(table[0])}", *body]) + "\n"


def mean_std(metric, unit: float = 1.0) -> str:
    """Mean and standard deviation as 1.23 +- 0.45, in multiples of `unit`; or -."""
    if not metric:
        return "-"
    mean, std = metric["mean"] / unit, metric["std"] and metric["std"] / unit
    if not std:
        return f"{mean:.4g}"
    # Two significant digits of the standard deviation.
    decimals = max(0, 1 - math.floor(math.log10(std)))
    if decimals > 5 and abs(mean) < 1e-3:
        digits = decimals + 1 + math.floor(math.log10(abs(mean) or std))
        return f"{mean:.{max(digits, 1)}g} +- {std:.2g}"
    return f"{mean:.{decimals}f} +- {std:.{decimals}f}"


# -------------------------------------------------------------------------------- plot


def _plot(rows, settings) -> np.ndarray:
    """Scores of every seed, Frechet distances in training, estimates of each unit."""
    colours = {row["setting"]: i for i, row in enumerate(rows)}
    panels = []
    for group in _rankings(rows):
        score = group[0]["score"]
        if not score:
            continue
        floor = "; dashed: real samples" if score["floor"] else ""
        dots = [
            charts.Dots(
                row["setting"] or "as configured",
                row["score"]["values"],
                colours[row["setting"]],
            )
            for row in group
            if row["score"]
        ]
        panels.append(
            charts.draw_dots(
                dots,
                title=f"{score['label']} of every seed, and the mean",
                x_label=f"{score['label']}, smaller is better{floor}",
                reference=score["floor"],
            )
        )
    present = dict.fromkeys(name for row in rows for name in row["metrics"])
    for name in filter(_is_frechet, present):
        lines = _lines(rows, settings, colours, name)
        panels.append(_curves(lines, f"{name.replace('_', ' ')} of the samples"))
    units = _grouped(rows, lambda row: row["estimate"]["is"])
    for group in units.values():
        estimate = group[0]["estimate"]
        name = estimate["metric"]
        if any(f"heldout_{name}" in row["metrics"] for row in group):
            name = f"heldout_{name}"
        title = name.replace("heldout_", "held-out ").replace("_", " ")
        title += f" estimate, {estimate['unit']}"
        if len(units) > 1:
            title += " (a unit of this panel alone)"
        panels.append(_curves(_lines(group, settings, colours, name), title))
    return np.concatenate(panels)


def _curves(lines, title):
    if len(lines) == 1:
        # A chart of one line has no legend.
        title = f"{lines[0].name}: {title}"
    return charts.draw(
        lines,
        title=title,
        x_label="generator updates",
        y_label="mean and range over seeds",
        height=260,
    )


def _lines(rows, settings, colours, name):
    """A line for each setting, with the range of its seeds."""
    lines = []
    for row in rows:
        by_step = {}
        for record in itertools.chain(*(r for _, r in settings[row["setting"]])):
            if name in record:
                by_step.setdefault(record["step"], []).append(record[name])
        if not by_step:
            continue
        steps = sorted(by_step)
        means, low, high = (
            [f(by_step[step]) for step in steps] for f in (statistics.mean, min, max)
        )
        label = row["setting"] or "as configured"
        seeds = len(settings[row["setting"]])
        several = f" ({seeds} seeds)" if seeds > 1 else ""
        colour = colours[row["setting"]]
        lines.append(charts.Series(label + several, steps, means, low, high, colour))
    return lines
