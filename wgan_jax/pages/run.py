"""The page of one run."""

import json
import shlex

import numpy as np

from wgan_jax.evaluation.distances import LABELS as DISTANCES
from wgan_jax.pages import html
from wgan_jax.pages.curves import (
    estimate_name,
    is_score,
    label,
    run_figures,
    smooth,
    window,
)
from wgan_jax.pages.drawn import Drawn
from wgan_jax.pages.facts import RunFacts, changed_fields
from wgan_jax.pages.samples import (
    film,
    interpolation,
    memorisation,
    real_and_generated,
)
from wgan_jax.references import short_name
from wgan_jax.runs import directory

STATES = {
    "finished": "finished",
    "stopped": "stopped",
    "running": "running",
    "diverged": "diverged",
    "empty": "not trained yet",
}


def run_page(facts: RunFacts, drawn: Drawn | str) -> str:
    """The page of a run as HTML.

    drawn: samples of its newest checkpoint, or the reason why there are none.
    """
    samples = drawn if isinstance(drawn, Drawn) else None
    notes = list(facts.problems)
    if isinstance(drawn, str):
        if f"{drawn}." not in notes:
            notes.append(f"No samples were drawn for this page: {drawn}.")
    elif drawn.problem:
        notes.append(f"Real samples are missing on this page: {drawn.problem}.")
    alarms = bool(facts.warnings or facts.diverged)
    figures = run_figures(facts.records, facts.fields)
    charts = "".join(html.figure(f, wide=i == 0) for i, f in enumerate(figures))
    sections = [
        ("notes", "Warnings" if alarms else "Notes", _notes(facts, notes)),
        ("samples", "Samples over training", film(facts)),
        ("curves", "Curves", charts and f'<div class="charts">{charts}</div>'),
        ("real", "Real and generated", real_and_generated(facts, samples)),
        ("interpolation", "Interpolation", interpolation(samples)),
        ("memorisation", "Memorisation", memorisation(samples)),
        ("measures", "Measures", evaluation_table(facts)),
        ("configuration", "Configuration", _configuration(facts)),
        ("environment", "Environment", _environment(facts)),
    ]
    return html.document(
        f"{facts.name}: a run of wgan_jax", _header(facts, samples), sections
    )


def method(facts: RunFacts) -> str:
    """The method of a run in words."""
    kind = facts.fields.get("objective.kind", "")
    constraint = facts.fields.get("objective.constraint", "")
    names = {"wgan": "WGAN", "gan": "GAN", "lsgan": "LSGAN"}
    name = names.get(str(kind), short_name(kind))
    words = {"penalty": "gradient penalty", "clip": "weight clipping", "none": ""}
    word = words.get(str(constraint), short_name(constraint))
    return f"{name} with {word}" if name and word else name


def progress(facts: RunFacts) -> str:
    """Steps that are trained, of how many."""
    if facts.steps is None:
        return f"step {facts.step:,}"
    return f"{facts.step:,} of {facts.steps:,} generator updates"


def hardware(facts: RunFacts) -> str:
    """Devices that a run was trained on."""
    platform, _, kind = str(facts.environment.get("device") or "").partition(": ")
    if platform == "cpu":
        return f"{facts.environment.get('cpu_cores') or 'some'} CPU cores"
    count = facts.environment.get("devices")
    return f"{count} x {kind}" if kind and count not in (1, None) else kind


# ------------------------------------------------------------------------------ header


def _header(facts, drawn):
    facts_line = [progress(facts), method(facts), facts.source]
    if facts.seconds:
        facts_line.append(html.duration(facts.seconds))
    facts_line.append(hardware(facts))
    line = html.escape(" · ".join(filter(None, facts_line)))
    tiles = "".join(
        f'<div><dt>{html.escape(name)}</dt><dd><div class="value">{html.escape(value)}'
        f'</div><div class="read">{html.escape(reading)}</div></dd></div>'
        for name, value, reading in _tiles(facts, drawn)
    )
    return (
        f'<p class="kicker">A run of wgan_jax</p><h1>{html.escape(facts.name)}</h1>'
        f'<p class="facts"><span class="pill {facts.state}">{STATES[facts.state]}'
        f"</span> {line}</p>" + (f'<dl class="tiles">{tiles}</dl>' if tiles else "")
    )


def _tiles(facts, drawn):
    """(name, value, reading) of the main numbers."""
    names = {name for record in facts.records for name in record}
    estimate = estimate_name(list(names))
    if estimate:
        held = f"heldout_{estimate}"
        shown = held if held in names else estimate
        values = [r[shown] for r in facts.records if shown in r]
        last = smooth(values, window(len(values)))[-1]
        start = f"Highest {html.number(max(values))}. " if len(values) > 1 else ""
        where = "held out" if shown == held else "training"
        own = "In the critic's own units." if _is_clipped(facts) else ""
        reading = f"{start}{own or 'Falls as samples improve.'}"
        yield f"{label(estimate)} estimate, {where}", html.number(last), reading
    for name in sorted(filter(is_score, names)):
        count = facts.fields.get("run.evaluate_num")
        best = min(r[name] for r in facts.records if name in r)
        reading = f"Of {count:,} images. " if isinstance(count, int) else ""
        reading += f"Best {html.number(best)}. Lower is better."
        yield label(name), html.number(facts.last(name)), reading
    if drawn and "w1" in drawn.distances:
        ratio = w1_ratio(drawn)
        n = int(drawn.distances["points"])
        reading = f"{n:,} points. 1 is as near as fresh real points."
        yield "Exact W1 over its floor", html.number(ratio), reading
    if drawn and "modes" in drawn.distances:
        yield (
            "Modes covered",
            html.number(int(drawn.distances["modes"])),
            ("Of the mixture's Gaussians, by 1,000 points."),
        )
    if drawn and drawn.neighbours:
        ratio = drawn.neighbours.ratio
        yield (
            "Nearest-training-sample ratio",
            html.number(ratio),
            "Well below 1 shows copies, or the simplest samples only.",
        )
    speed = [r["cycles_per_second"] for r in facts.records if "cycles_per_second" in r]
    if speed:
        reading = "Generator updates per second, median."
        yield "Speed", html.number(float(np.median(speed))), reading


def _is_clipped(facts):
    return facts.fields.get("objective.constraint") == "clip"


def w1_ratio(drawn: Drawn) -> float:
    """Exact W1 to the truth over that of real points."""
    return drawn.distances["w1"] / drawn.distances["floor"]


def _notes(facts, notes):
    items = []
    if facts.diverged:
        items.append(("bad", facts.diverged))
    if facts.state == "running":
        items.append(("info", f"The run is in training by {facts.writer}."))
    items += [("", sentence) for sentence in facts.warnings.values()]
    items += [("info", note) for note in notes]
    lines = "".join(f'<li class="{k}">{html.escape(text)}</li>' for k, text in items)
    return lines and f'<ul class="notes">{lines}</ul>'


# ------------------------------------------------------------------------------ tables


def evaluation_table(facts: RunFacts) -> str:
    """The results of evaluation.json."""
    if not facts.evaluations:
        return ""
    rows = []
    for result in facts.evaluations:
        reference = _mean_std(result.get("reference"))
        against = result.get("reference_is")
        rows.append(
            (
                measure_label(result["measure"]),
                result.get("step", ""),
                " / ".join(f"{n:,}" for n in result.get("samples", [])),
                _mean_std(result.get("value")) or result.get("withheld", "-"),
                f"{reference} ({against})" if reference and against else reference,
                html.number(result["ratio"]) if result.get("ratio") else "",
                _reading(result["measure"]),
            )
        )
    head = ("measure", "step", "samples", "value", "reference", "ratio", "reading")
    command = f"python -m wgan_jax.evaluate {shlex.quote(str(facts.path))}"
    body = html.table(head, rows, numbers=(1, 2, 3, 5), kind="measures")
    return body + html.paragraph(
        "A reference is the value of real samples in place of the generated ones; a "
        f"ratio of 1 is the best possible. Results of {command}.",
        "reading",
    )


def measure_label(key: str) -> str:
    """The key of a measure as text."""
    return DISTANCES.get(key) or label(key)


MEASURES = {
    "wasserstein": "Exact distance of two sets of samples; lower is better.",
    "sliced_wasserstein": "Mean over projections; at most the exact distance.",
    "modes": "Gaussians of the mixture with a share of the samples.",
    "high_quality": "Share of points near a mode; compare with the truth.",
    "smallest_mode": "Rarest mode; compare with the truth.",
    "largest_mode": "Most frequent mode; compare with the truth.",
    "heldout_estimate": "The critic's estimate on held-out samples.",
    "real_estimate": "Between halves of the held-out samples: 0 up to noise.",
    "critic_estimate": "In the critic's own units.",
    "critic_mean_norm": "Slope of the critic; 1 makes estimates distances.",
    "critic_largest_norm": "Steepest slope found.",
    "critic_calibrated": "In the units of the data; approximates W1.",
    "critic_lower_bound_on_points": "Does not exceed W1 where slopes were found.",
    "js": "0 is best; real held-out lines have the reference.",
    "fid": "Frechet distance; compare at equal numbers of images.",
    "frechet": "Frechet distance; compare at equal numbers of images.",
    "is": "Inception score; higher is better.",
    "score": "Confident and varied classes; higher is better.",
    "kid": "Kernel distance; 0 is best, without bias by the number of images.",
    "precision": "Share of generated images that look real.",
    "recall": "Share of real images that the generator reaches.",
    "density": "How densely real images surround generated ones; 1 is ideal.",
    "coverage": "Share of real images with a generated one nearby.",
}


def _reading(key):
    """How to read a measure; the name of its features is left out."""
    if key.startswith("js_"):
        return MEASURES["js"]
    return MEASURES.get(key) or MEASURES.get(key.split("_", 1)[-1], "")


def _mean_std(value):
    if not isinstance(value, dict) or value.get("mean") is None:
        return ""
    return html.mean_std(value["mean"], value.get("std"))


def _configuration(facts):
    if not facts.fields:
        return ""
    changed = changed_fields(facts.fields)
    rows = [
        (name, plain_value(value), plain_value(default))
        for name, (value, default) in changed.items()
    ]
    body = (
        html.table(("field", "this run", "default"), rows)
        if rows
        else (html.paragraph("Every field has its default."))
    )
    if facts.config is not None:
        body += '<h3 class="sub">Train it again</h3>' + html.code(_command(facts))
    text = json.dumps(facts.fields, indent=2)
    whole = f"<pre>{html.escape(text)}</pre>"
    return body + html.details("All fields of the configuration", whole)


def _command(facts):
    """The command that trains the run again."""
    config, out = facts.path / "config.json", f"{facts.path}-again"
    words = ["--config", str(config), "--out", out]
    words += directory.parent_options(facts.parent)
    return f"python -m wgan_jax.train {shlex.join(words)}"


def plain_value(value):
    """A value of a configuration as text; floats have up to six digits."""
    if value in ("", [], None):
        return "(empty)"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _environment(facts):
    environment = {k: v for k, v in facts.environment.items() if k != "packages"}
    packages = facts.environment.get("packages")
    packages = packages if isinstance(packages, dict) else {}
    rows = [(k.replace("_", " "), plain_value(v)) for k, v in environment.items()]
    if parent := facts.parent:
        rows.append(("started from", f"{parent.get('run')}, step {parent.get('step')}"))
    if facts.seconds:
        rows.append(("time in training", html.duration(facts.seconds)))
    for name in ("train", "heldout", "duplicates"):
        if facts.data.get("train") and isinstance(facts.data.get(name), int):
            rows.append((f"data: {name}", f"{facts.data[name]:,}"))
    if facts.data.get("labels"):
        rows.append(("data: labels", plain_value(facts.data["labels"])))
    for change in facts.data.get("accepted") or ():
        rows.append(("data changed", plain_value(change)))
    body = html.table(("fact", "value"), rows) if rows else ""
    if packages:
        versions = [(k, plain_value(v)) for k, v in packages.items()]
        body += html.table(("package", "version"), versions)
    return body and f'<div class="pair">{body}</div>'
