"""The page of several runs: only comparable numbers next to each other."""

import dataclasses
import statistics

from wgan_jax.evaluation.units import estimate_unit
from wgan_jax.pages import html, images
from wgan_jax.pages.curves import (
    Figure,
    Group,
    estimate_name,
    is_score,
    label,
    line,
    simple,
    units,
    window,
)
from wgan_jax.pages.drawn import Drawn
from wgan_jax.pages.facts import RunFacts, defaults
from wgan_jax.pages.run import (
    STATES,
    hardware,
    measure_label,
    method,
    plain_value,
    progress,
    w1_ratio,
)
from wgan_jax.pages.samples import picture_class
from wgan_jax.references import short_name

# Fields that change no number of a run, or that name it.
IGNORED = ("run.seed", "data.stream", "data.workers", "run.tensorboard")
IGNORED += ("run.max_to_keep", "run.keep_every", "run.checkpoint_every")
# Fields of the data that samples are compared with.
DATA = ("data.source", "data.name", "data.dir", "data.array", "data.image_size")
DATA += ("data.channels", "data.classes", "data.dimensions")
MOST_PICTURES = 24
"""Runs whose newest samples are shown."""


@dataclasses.dataclass(frozen=True)
class Setting:
    """Runs that differ in nothing but the seed."""

    name: str
    runs: tuple[RunFacts, ...]
    group: Group

    @property
    def fields(self) -> dict:
        """The configuration of the runs."""
        return self.runs[0].fields


def make_settings(runs: list[RunFacts]) -> list[Setting]:
    """The runs by setting, in their order, named as their sweep names them, or by the
    fields that differ."""
    groups: dict[str, list[RunFacts]] = {}
    for run in runs:
        groups.setdefault(repr(_identity(run)), []).append(run)
    firsts = [members[0] for members in groups.values()]
    names = _folders(groups.values()) or _names(firsts)
    return [
        Setting(
            name,
            tuple(members),
            Group(name, tuple(r.records for r in members if not r.diverged), place),
        )
        for place, (name, members) in enumerate(zip(names, groups.values()))
    ]


def _identity(run):
    return {k: v for k, v in sorted(run.fields.items()) if k not in IGNORED}


def _folders(groups):
    """The folders of settings in a sweep, SETTING/seed-N; empty for other runs."""
    names = []
    for runs in groups:
        paths = [run.path.resolve() for run in runs]
        if len({path.parent for path in paths}) > 1:
            return []
        if not all(path.name.startswith("seed-") for path in paths):
            return []
        names.append(paths[0].parent.name)
    return names if len({*names}) == len(names) > 1 else []


def _names(firsts):
    """A name of each run: the values of the fields in which they differ."""
    if len(firsts) == 1:
        return [method(firsts[0]) or firsts[0].name]
    varied = _varied(firsts)
    names = []
    for place, run in enumerate(firsts):
        words = [_word(f, v[place]) for f, v in varied.items()]
        names.append(", ".join(words) if 0 < len(words) <= 6 else run.name)
    return [
        name if names.count(name) == 1 else f"{name} ({run.name})"
        for name, run in zip(names, firsts)
    ]


def _varied(firsts):
    """{field: its value in each run} of the fields in which the runs differ."""
    default = defaults()
    fields = dict.fromkeys(f for run in firsts for f in run.fields if f not in IGNORED)
    values = {f: [run.fields.get(f, default.get(f)) for run in firsts] for f in fields}
    return {f: v for f, v in values.items() if any(x != v[0] for x in v)}


def _word(field, value):
    if isinstance(value, str) and value and "/" not in short_name(value):
        return short_name(value)
    number = f"{value:g}" if isinstance(value, float) else str(value)
    return f"{field.split('.')[1]}={number}"


def comparison_page(
    runs: list[RunFacts], drawn: dict[str, Drawn | str], title: str
) -> str:
    """The page of several runs as HTML.

    drawn: by the path of a run, its samples or the reason why there are none.
    """
    settings = make_settings(runs)
    comparable, separate = _figures(settings)
    sections = [
        ("notes", "Warnings", _notes(runs)),
        ("measures", "Comparable measures", _measures(settings, drawn)),
        ("limits", "Numbers that do not compare", _limits(settings)),
        ("curves", "Curves", _charts(comparable)),
        (
            "estimates",
            "Critics' estimates",
            _charts(separate, wide=len(separate) == 1),
        ),
        ("samples", "Newest samples", _gallery(settings)),
        ("differences", "Fields that differ", _differences(settings)),
        ("runs", "Runs", _table_of_runs(settings)),
    ]
    count = f"{len(runs)} runs, {len(settings)} setting{'s' * (len(settings) > 1)}"
    header = (
        f'<p class="kicker">A comparison by wgan_jax</p><h1>{html.escape(title)}</h1>'
        f'<p class="facts">{html.escape(count)}: lines are means over seeds, bands '
        "reach from the least to the largest value.</p>"
    )
    return html.document(f"{title}: runs of wgan_jax", header, sections)


def _charts(figures, wide=False):
    body = "".join(html.figure(f, wide=wide) for f in figures)
    return body and f'<div class="charts">{body}</div>'


def _notes(runs):
    lines = []
    for run in runs:
        notes = [("bad", run.diverged)] if run.diverged else []
        notes += [("", w) for w in run.warnings.values()]
        notes += [("info", problem) for problem in run.problems]
        lines += [
            f'<li class="{kind}">{html.escape(f"{run.name}: {text}")}</li>'
            for kind, text in notes
        ]
    return lines and f'<ul class="notes">{"".join(lines)}</ul>'


# ---------------------------------------------------------------------------- measures


def _measures(settings, drawn):
    """One row per setting; a column for each measure that compares methods."""
    columns: dict[str, dict[str, list]] = {}
    for setting in settings:
        for run in setting.runs:
            if run.diverged:
                continue
            # Of results with other seeds or repeats, the newest: one value per run.
            values = dict(_comparable(run, drawn.get(str(run.path))))
            for name, value in values.items():
                columns.setdefault(name, {}).setdefault(setting.name, []).append(value)
    rows = []
    for setting in settings:
        bad = sum(bool(run.diverged) for run in setting.runs)
        row = [setting.name, f"{len(setting.runs)}" + f" ({bad} diverged)" * bool(bad)]
        row.append(" to ".join(f"{s:,}" for s in _ends(r.step for r in setting.runs)))
        row += [_mean_std(values.get(setting.name, [])) for values in columns.values()]
        rows.append(row)
    head = ["setting", "seeds", "step", *columns]
    numbers = range(1, len(head))
    readings = "".join(
        html.paragraph(f"{name}: {reading}", "reading")
        for name, reading in COMPARABLE.items()
        if any(c.startswith(name) for c in columns)
    )
    reading = html.paragraph(
        "Mean ± standard deviation over seeds, of runs that did not diverge. These "
        "numbers do not depend on the critic, so they compare clipping with a penalty. "
        "One seed proves little.",
        "reading",
    )
    if any(
        name.endswith("evaluated") and row[place] == "-"
        for place, name in enumerate(head)
        for row in rows
    ):
        readings += html.paragraph(
            "-: not measured, or by another number of images. The command evaluate "
            "fills a column where every run gets the same options.",
            "reading",
        )
    colours = [s.group.colour for s in settings]
    table = html.table(head, rows, numbers, colours, kind="settings")
    return table + reading + readings


COMPARABLE = {
    "exact W1": "distance to the truth by 1,000 points, or the held-out ones; lower is "
    "better.",
    "W1 / floor": "1 is as near as fresh real points of the same number; above 1 it "
    "grows with the number, so ratios of other numbers do not compare.",
    "modes": "Gaussians of the mixture that are covered.",
    "nearest": "median distance to the nearest training sample, over that of held-out "
    "samples; well below 1 shows copies, or the simplest samples only.",
    "FID": "lower is better; only columns of equal numbers of images compare.",
    "Frechet": "lower is better, by one network's features; only columns of equal "
    "numbers of images compare.",
    "minutes": "time in training; compares runs on the same machine only.",
}


def _comparable(run, drawn):
    """(column, value) of the measures of a run that do not depend on its critic."""
    if isinstance(drawn, Drawn):
        if "w1" in drawn.distances:
            yield "exact W1", drawn.distances["w1"]
            yield "W1 / floor", w1_ratio(drawn)
        if "modes" in drawn.distances:
            yield "modes", drawn.distances["modes"]
        if drawn.neighbours:
            yield "nearest / held out", drawn.neighbours.ratio
    count = run.fields.get("run.evaluate_num")
    for name in sorted({n for r in run.records for n in r if is_score(n)}):
        yield f"{label(name)}, {count:,} images", run.last(name)
    if run.seconds:
        yield "minutes", run.seconds / 60
    newest = max((r["step"] for r in run.evaluations if "step" in r), default=None)
    for result in run.evaluations:
        key = result["measure"]
        own = key in OWN or key.startswith("critic_") or key.endswith("_at_floor")
        if own or result.get("step") != newest or not result.get("value"):
            continue
        counts = " / ".join(f"{n:,}" for n in result.get("samples", []))
        yield f"{measure_label(key)}, {counts} evaluated", result["value"]["mean"]


# Measures of evaluate in the units of a critic.
OWN = ("heldout_estimate", "real_estimate")


def _ends(steps):
    return sorted({f(steps) for steps in [list(steps)] for f in (min, max)})


def _mean_std(values):
    if not values:
        return "-"
    std = statistics.stdev(values) if len(values) > 1 else None
    return html.mean_std(float(statistics.mean(values)), std)


# ------------------------------------------------------------------------------ limits


def _unit(setting: Setting) -> str:
    """Equal for settings whose critics' estimates have the same unit."""
    config = setting.runs[0].config
    if config is None:
        return repr(setting.fields)
    estimate = estimate_name(setting.group.names())
    return estimate_unit(config, estimate, estimate != "wasserstein").identity


def _limits(settings):
    notes = []
    kinds = {_unit(s): s for s in settings}
    if len(kinds) > 1:
        names = "; ".join(s.name for s in kinds.values())
        notes.append(
            "Critics' estimates and losses: their units depend on the constraint, and "
            "with clipping also on its bound and the critic's shape. Each kind has "
            f"separate axes below ({names})."
        )
    notes.append(
        "Generator losses: they move with the critic's free constant, in every method."
    )
    if len({_data(s) for s in settings}) > 1:
        notes.append(
            "The settings were trained on different data, or at different sizes: none "
            "of the distances above compares them."
        )
    steps = {r.step for s in settings for r in s.runs if not r.diverged}
    if len(steps) > 1:
        notes.append(
            "Measures and samples: the runs have trained for different numbers of "
            f"generator updates ({min(steps):,} to {max(steps):,})."
        )
    machines = {hardware(r) for s in settings for r in s.runs}
    if len(machines) > 1:
        notes.append(f"Times and speeds: the machines differ ({', '.join(machines)}).")
    rhythms = {str(s.fields.get("objective.n_critic")) for s in settings}
    if len(rhythms) > 1:
        notes.append(
            "Generator updates: they have different numbers of critic updates "
            f"({', '.join(sorted(rhythms))}), and so different cost."
        )
    lines = "".join(f'<li class="info">{html.escape(note)}</li>' for note in notes)
    return f'<ul class="notes">{lines}</ul>'


def _data(setting):
    return tuple(str(setting.fields.get(f)) for f in DATA)


# ------------------------------------------------------------------------------ charts


def _figures(settings):
    """(figures whose lines compare, one figure of estimates for each kind of units)."""
    groups = [s.group for s in settings]
    names = dict.fromkeys(name for g in groups for name in g.names())
    shown = []
    for name in filter(is_score, names):
        # Of equal numbers of images, by equal features.
        kinds: dict[tuple, list[Group]] = {}
        for s in settings:
            key = s.fields.get("run.evaluate_num"), _data(s)
            kinds.setdefault(key, []).append(s.group)
        for (count, _), members in kinds.items():
            figure = simple(*members, name)
            if figure.series:
                title = f"{figure.title}, {count:,} images"
                shown.append(dataclasses.replace(figure, title=title))
    for name in ("gradient_norm", "weights_at_bound", "cycles_per_second"):
        if name in names:
            shown.append(simple(*groups, name))
    units_of: dict[str, list[Setting]] = {}
    for setting in settings:
        if estimate_name(setting.group.names()):
            units_of.setdefault(_unit(setting), []).append(setting)
    return shown, [_estimates(members) for members in units_of.values()]


def comparison_figures(settings: list[Setting]) -> list[Figure]:
    """All charts of a comparison, estimates first."""
    comparable, separate = _figures(settings)
    return [*separate, *comparable]


def _estimates(members):
    estimate = estimate_name(members[0].group.names())
    held = f"heldout_{estimate}"
    series = []
    for setting in members:
        group = setting.group
        name = held if held in group.names() else estimate
        size = window(len(group.columns(name)[0]))
        series.append(line(group, name, group.name, smoothed=size))
    first = members[0].fields
    title = f"{method(members[0].runs[0])}: held-out estimate"
    reading = f"{units(estimate, first)} Medians of neighbouring records."
    return Figure(title, reading, tuple(series), label(estimate))


# ----------------------------------------------------------------------------- gallery


def _gallery(settings):
    runs = [(s, r) for s in settings for r in s.runs if r.grids]
    # Every setting is seen before a second seed of one is.
    runs.sort(key=lambda pair: pair[0].runs.index(pair[1]))
    chosen = {id(run) for _, run in runs[:MOST_PICTURES]}
    body = ""
    for setting in settings:
        for run in setting.runs:
            if id(run) not in chosen:
                continue
            step, path = [*run.grids.items()][-1]
            picture = images.saved_grid(path, run.config)
            if picture is None:
                continue
            seed = run.fields.get("run.seed")
            caption = f"{setting.name}, seed {seed}, step {step:,}"
            uri = images.data_uri(picture, picture.width * picture.height < 100_000)
            kind = picture_class(run).replace("grid", "")
            body += html.picture(uri, f"Samples of {caption}", caption, kind)
    more = ""
    if len(runs) > MOST_PICTURES:
        more = html.paragraph(
            f"{MOST_PICTURES} of {len(runs)} runs are shown.", "reading"
        )
    return body and f'<div class="gallery">{body}</div>{more}'


def _differences(settings):
    """The fields in which settings differ; the longer side of the table is its rows."""
    varied = _varied([s.runs[0] for s in settings])
    if not varied:
        return ""
    names = [s.name for s in settings]
    columns = [[plain_value(v) for v in values] for values in varied.values()]
    if len(varied) >= len(settings):
        rows = [[field, *values] for field, values in zip(varied, columns)]
        return html.table(("field", *names), rows)
    rows = [list(row) for row in zip(names, *columns)]
    return html.table(("setting", *varied), rows)


def _table_of_runs(settings):
    rows = [
        (
            str(run.path),
            setting.name,
            run.fields.get("run.seed", "-"),
            STATES[run.state],
            progress(run),
            html.duration(run.seconds) if run.seconds else "-",
            hardware(run) or "-",
        )
        for setting in settings
        for run in setting.runs
    ]
    head = ("run", "setting", "seed", "state", "progress", "time", "device")
    return html.table(head, rows, (2,))
