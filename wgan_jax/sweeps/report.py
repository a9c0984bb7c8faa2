"""Report of a sweep: table of mean and standard deviation over seeds, and a plot."""

import math
import statistics
from pathlib import Path

from wgan_jax.algorithm.objectives import make_losses
from wgan_jax.files import write_json, write_text
from wgan_jax.runs.log import read_records, warnings_of
from wgan_jax.sweeps.members import Member


def write_report(out: Path, members: list[Member], diverged) -> None:
    """Writes summary.json, summary.md and curves.png; prints the table.

    diverged: names of the members that did not train to the end.
    """
    settings = {}
    for member in members:
        records = read_records(member.out / "metrics.jsonl")
        settings.setdefault(member.setting, []).append((member, records))
    rows = [_row(setting, runs, diverged) for setting, runs in settings.items()]
    write_json(out / "summary.json", rows)
    warnings = [
        f"warning: {name}, {sentence}\n"
        for row in rows
        for name, found in row["warnings"].items()
        for sentence in found.values()
    ]
    estimates = {make_losses(m.config.objective).metric: None for m in members}
    table = _table(rows, [*estimates])
    if warnings:
        table += "\n" + "".join(warnings)
    write_text(out / "summary.md", table)
    print(table, end="")
    written = f"{out / 'summary.md'}, {out / 'summary.json'}"
    try:
        _plot(out / "curves.png", settings)
    except ImportError:
        print(f"{written}; for a plot: pip install matplotlib, and run this again")
    else:
        print(f"{written}, {out / 'curves.png'}")


def _row(setting, runs, diverged):
    """Statistics of the last records of one setting, without diverged runs.

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
            metrics[name] = {
                "mean": statistics.mean(values),
                "std": statistics.stdev(values) if len(values) > 1 else None,
                "values": values,
            }
    return {
        "setting": setting,
        "seeds": [member.seed for member, _ in complete],
        "diverged": len(runs) - len(trained),
        "steps": steps,
        "metrics": metrics,
        "warnings": {member.name: warnings_of(records) for member, records in runs},
    }


def _columns(metrics, estimates):
    """Names of the table's metrics: estimates, generator loss, Frechet distances."""
    names = [*estimates, *(f"heldout_{name}" for name in estimates), "generator_loss"]
    names += [name for name in metrics if "frechet" in name or name == "fid"]
    return [name for name in names if name in metrics]


def _table(rows, estimates) -> str:
    """Markdown: a row per setting, mean +- standard deviation over the seeds."""
    trained = (row["metrics"] for row in rows if row["metrics"])
    names = next((_columns(metrics, estimates) for metrics in trained), [])
    head = ["setting", "seeds", "diverged", "steps", *names]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for row in rows:
        cells = [row["setting"] or "as configured", str(len(row["seeds"]))]
        cells += [str(row["diverged"]), str(row["steps"])]
        for name in names:
            metric = row["metrics"].get(name)
            cells.append(_mean_std(metric) if metric else "-")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _mean_std(metric) -> str:
    mean, std = metric["mean"], metric["std"]
    if not std:
        return f"{mean:.4g}"
    # Two significant digits of the standard deviation.
    decimals = max(0, 1 - math.floor(math.log10(std)))
    return f"{mean:.{decimals}f} +- {std:.{decimals}f}"


def _plot(path, settings):
    """Held-out estimate, or that in training: a line per setting, a band of seeds."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for setting, runs in settings.items():
        kind = make_losses(runs[0][0].config.objective).metric
        name, by_step = kind, {}
        for record in (record for _, records in runs for record in records):
            name = f"heldout_{kind}" if f"heldout_{kind}" in record else kind
            if name not in record:
                continue
            by_step.setdefault(record["step"], []).append(record[name])
        points = sorted(by_step.items())
        x = [step for step, _ in points]
        label = f"{setting or 'as configured'} ({len(runs)} seeds)"
        (line,) = axes.plot(x, [statistics.mean(v) for _, v in points], label=label)
        low, high = ([f(v) for _, v in points] for f in (min, max))
        axes.fill_between(x, low, high, alpha=0.2, color=line.get_color(), lw=0)
    axes.set_xlabel("generator updates")
    axes.set_ylabel(
        name.replace("heldout_", "held-out ") + ": mean and range over seeds"
    )
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)
