"""What a sweep found: a table of means and spreads over seeds, and a plot."""

import json
import math
import statistics
from pathlib import Path

from wgan_jax.algorithm.objectives import make_losses
from wgan_jax.sweeps.members import Member


def write_report(out: Path, members: list[Member], diverged) -> None:
    """Writes summary.json, summary.md and curves.png; prints the table.

    diverged: names of the members whose numbers are not those of a whole run.
    """
    settings = {}
    for member in members:
        settings.setdefault(member.setting, []).append(member)
    rows = [_row(setting, runs, diverged) for setting, runs in settings.items()]
    (out / "summary.json").write_text(json.dumps(rows, indent=2) + "\n")
    estimates = {make_losses(m.cfg.objective).metric: None for m in members}
    table = _table(rows, [*estimates])
    (out / "summary.md").write_text(table)
    print(table, end="")
    told = f"{out / 'summary.md'}, {out / 'summary.json'}"
    try:
        _plot(out / "curves.png", settings)
    except ImportError:
        print(f"{told}; for a plot: pip install matplotlib, and the same command again")
    else:
        print(f"{told}, {out / 'curves.png'}")


def records(member: Member) -> list[dict]:
    """The records of metrics.jsonl, oldest first."""
    text = (member.out / "metrics.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def _row(setting, runs, diverged):
    """What the last records of the whole runs of one setting have in common."""
    whole = [run for run in runs if run.name not in diverged]
    last = [records(run)[-1] for run in whole]
    spread = {}
    for name in last[0] if last else ():
        values = [record[name] for record in last if name in record]
        if name not in ("step", "seconds", "cycles_per_second"):
            spread[name] = {
                "mean": statistics.mean(values),
                "std": statistics.stdev(values) if len(values) > 1 else None,
                "values": values,
            }
    return {
        "setting": setting,
        "seeds": [run.seed for run in whole],
        "diverged": len(runs) - len(whole),
        "steps": last[0]["step"] if last else 0,
        "metrics": spread,
    }


def _shown(metrics, estimates):
    """The metrics of the table: estimates of distances, and the generator's loss."""
    heldout = [f"heldout_{name}" for name in estimates]
    names = [*estimates, *heldout, "generator_loss"]
    names += [name for name in metrics if "frechet" in name or name == "fid"]
    return [name for name in names if name in metrics]


def _table(rows, estimates) -> str:
    """Markdown: a line for each setting, mean +- standard deviation over the seeds."""
    shown = (_shown(r["metrics"], estimates) for r in rows if r["metrics"])
    names = next(shown, [])
    head = ["setting", "seeds", "diverged", "steps", *names]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for row in rows:
        cells = [row["setting"] or "as configured", str(len(row["seeds"]))]
        cells += [str(row["diverged"]), str(row["steps"])]
        for name in names:
            found = row["metrics"].get(name)
            cells.append(_spread(found) if found else "-")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _spread(found) -> str:
    mean, deviation = found["mean"], found["std"]
    if not deviation:
        return f"{mean:.4g}"
    # As many decimals as two digits of the spread.
    places = max(0, 1 - math.floor(math.log10(deviation)))
    return f"{mean:.{places}f} +- {deviation:.{places}f}"


def _plot(path, settings):
    """The estimate, held out where there is one: a line a setting, a band of seeds."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for setting, runs in settings.items():
        kind = make_losses(runs[0].cfg.objective).metric
        name, by_step = kind, {}
        for record in (record for run in runs for record in records(run)):
            name = f"heldout_{kind}" if f"heldout_{kind}" in record else kind
            by_step.setdefault(record["step"], []).append(record[name])
        points = sorted(by_step.items())
        at = [step for step, _ in points]
        label = f"{setting or 'as configured'} ({len(runs)} seeds)"
        (line,) = axes.plot(at, [statistics.mean(v) for _, v in points], label=label)
        low, high = ([f(v) for _, v in points] for f in (min, max))
        axes.fill_between(at, low, high, alpha=0.2, color=line.get_color(), lw=0)
    axes.set_xlabel("generator updates")
    axes.set_ylabel(
        name.replace("heldout_", "held-out ") + ": mean and range over seeds"
    )
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)
