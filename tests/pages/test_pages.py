"""Pages of one run and of several: structure, content, and what may be missing."""

import collections
import html.parser
import json
import math
import re

import numpy as np
import pytest
from pages.runs import drawn_images, drawn_points, write_records, write_run

from wgan_jax.config import Config, Data, Objective, Optimizer, Run
from wgan_jax.errors import UserError
from wgan_jax.pages.comparison import comparison_page, make_settings
from wgan_jax.pages.curves import Group, line, run_figures, smooth, window
from wgan_jax.pages.facts import changed_fields, find_runs, read_facts
from wgan_jax.pages.html import mean_std
from wgan_jax.pages.run import method, run_page
from wgan_jax.pages.write import default_out, write_page

EMPTY = {"meta", "link", "img", "input", "br", "hr"}
LOADS = {"src", "href", "data", "poster", "srcset", "action"}


class Page(html.parser.HTMLParser):
    """A parsed page, which must be well formed and load nothing."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.ids, self.texts = collections.Counter(), [], []
        self.open, self.attributes, self.json = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []
        assert len(set(self.ids)) == len(self.ids)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in EMPTY:
            self.open.pop()

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.tags[tag] += 1
        self.attributes.append((tag, attributes))
        self.ids += [attributes["id"]] if "id" in attributes else []
        for name in LOADS & attributes.keys():
            assert re.match("data:|#", attributes[name]), (tag, attributes[name][:50])
        if tag == "img":
            assert attributes["alt"]
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            if '"xs"' in data:
                self.json.append(json.loads(data))
        elif self.open and self.open[-1] == "style":
            assert not re.search(r"url\(|@import", data)
        else:
            self.texts.append(data)

    @property
    def text(self):
        return " ".join(self.texts)

    def titles(self):
        return [chart["t"] for chart in self.json]


def page_of(path, drawn="no checkpoint is saved yet"):
    return Page(run_page(read_facts(path), drawn))


def compare(folder, drawn=None):
    runs = [read_facts(path, path.name) for path in find_runs([folder])]
    return Page(comparison_page(runs, drawn or {}, "several"))


# ----------------------------------------------------------------------------- one run


def test_the_page_of_a_run_on_images_has_all_parts(tmp_path):
    page = page_of(write_run(tmp_path / "digits"), drawn_images())
    for text in (
        "100 of 100 generator updates",
        "WGAN with gradient penalty",
        "finished",
        "Samples over training",
        "Real and generated",
        "Interpolation",
        "Memorisation",
        "Train it again",
        "/config.json --out",
        "data.heldout",
        "2 CPU cores",
        "20 s",
        "1,234",
        "all 1,000 training images",
    ):
        assert text in page.text, text
    assert page.titles() == [
        "Critic's estimate: Wasserstein",
        "Slopes of the critic",
        "Gradient penalty, without its weight",
        "Losses",
        "Speed: generator updates per second",
        "Distance to the nearest training sample",
    ]
    # Two frames, two grids, a walk, and two times eight pairs.
    assert page.tags["img"] == 2 + 2 + 1 + 2 * 16
    hidden = [a for tag, a in page.attributes if tag == "img" and "hidden" in a]
    assert [a["data-caption"] for a in hidden] == ["step 50"]


def test_one_picture_has_no_slider(tmp_path):
    path = write_run(tmp_path / "digits")
    for grid in sorted((path / "samples").glob("fixed-*"))[:-1]:
        grid.unlink()
    page = page_of(path, drawn_images())
    assert page.tags["input"] == 0
    assert "of the only picture saved" in page.text


def test_the_page_of_a_run_on_points_has_plots(tmp_path):
    page = page_of(write_run(tmp_path / "toy", points=True), drawn_points())
    assert "Exact W1 over its floor" in page.text
    assert "Modes covered" in page.text
    assert "ink" in {a.get("class") for tag, a in page.attributes if tag == "img"}
    page = page_of(write_run(tmp_path / "vectors", points=True), drawn_points(3))
    assert [t for t in page.titles() if "Column" in t] == [
        f"Column {i}" for i in range(3)
    ]


def test_the_curves_have_the_values_of_the_records(tmp_path):
    page = page_of(write_run(tmp_path / "run"))
    chart = page.json[0]
    assert chart["xs"] == [[float(step) for step in range(10, 101, 10)]]
    raw, median, heldout = chart["s"]
    assert raw["y"] == [float(f"{10 / step:.5g}") for step in range(10, 101, 10)]
    assert median["n"] == "median of 3 records"
    assert heldout["n"] == "held-out samples"


def test_what_comes_from_files_is_text(tmp_path):
    evil = "<script>alert(1)</script>&\"'"
    path = write_run(tmp_path / "run", data=Data(source="folder", dir=evil))
    records = [{"step": 1, evil: 1.0, "warnings": {"a": evil}}]
    write_records(path, records)
    (path / "versions.json").write_text(json.dumps({"device": evil, evil: evil}))
    (path / "evaluation.json").write_text(
        json.dumps({"format": 2, "results": [{"measure": evil, "value": None}]})
    )
    facts = read_facts(path, evil)
    page = Page(run_page(facts, evil))
    # Two scripts: the values of the one chart, and the page's own.
    assert page.tags["script"] == 2
    assert page.text.count(evil) >= 5
    several = Page(comparison_page([facts, facts], {}, evil))
    assert several.tags["script"] == 1 + len(several.json)


@pytest.mark.parametrize(
    ("steps", "state", "text"),
    [
        (0, "empty", "not trained yet"),
        (50, "stopped", "50 of 100"),
        (100, "finished", ""),
    ],
)
def test_the_state_of_a_run(tmp_path, steps, state, text):
    path = write_run(tmp_path / "run", steps=steps)
    assert read_facts(path).state == state
    assert text in page_of(path).text


def test_a_run_that_diverged_says_so(tmp_path):
    path = write_run(tmp_path / "run", steps=50)
    with (path / "metrics.jsonl").open("a") as file:
        record = {"step": 60, "warnings": {"diverged": "training diverged: so and so"}}
        file.write(json.dumps(record) + "\n")
    facts = read_facts(path)
    assert (facts.state, facts.step) == ("diverged", 50)
    assert "training diverged: so and so" in page_of(path).text


def test_partial_and_foreign_runs_have_a_page(tmp_path):
    path = tmp_path / "run"
    path.mkdir()
    (path / "config.json").write_text("{")
    assert "config.json cannot be read" in page_of(path).text
    (path / "config.json").write_text('{"data": {"source": "x"}, "run": {"steps": 5}}')
    assert "was written by another version" in page_of(path).text
    (path / "metrics.jsonl").write_bytes(b'\xff{"step": 1}\n{"step": 2, "a": 1}\n{"st')
    for name in ("versions", "data", "evaluation"):
        (path / f"{name}.json").write_text("[1]")
    (path / "samples").mkdir()
    (path / "samples" / "fixed-0000002.png").write_bytes(b"no picture")
    page = page_of(path)
    assert page.titles() == ["A"]
    assert page.tags["img"] == 0


def test_evaluations_are_listed(tmp_path):
    path = write_run(tmp_path / "run")
    value = {"mean": 12.3456, "std": 0.5}
    results = [
        {"measure": "fid", "step": 100, "samples": [500, 600], "value": value},
        {"measure": "is", "step": 100, "value": None, "withheld": "too few images"},
        {"measure": "sliced_wasserstein", "step": 100, "value": value},
        {"measure": "classifier_kid", "step": 100, "value": value},
    ]
    (path / "evaluation.json").write_text(json.dumps({"results": results}))
    text = page_of(path).text
    assert "12.35 ± 0.50" in text
    assert "500 / 600" in text
    assert "too few images" in text
    assert "Mean over projections" in text
    assert "Kernel distance" in text


def test_the_command_of_a_branch_names_its_parent(tmp_path):
    path = write_run(tmp_path / "a run")
    parent = {"run": "runs/x", "step": 7, "averaged": True, "keep_optimizers": False}
    content = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(content | {"parent": parent}))
    text = page_of(path).text
    assert f"--config '{path}/config.json' --out '{path}-again' --init-from" in text
    assert "--init-from runs/x --checkpoint 7 --init-averaged" in text
    assert "runs/x, step 7" in text


def test_sessions_add_up_to_the_time(tmp_path):
    path = write_run(tmp_path / "run")
    seconds = [1, 2, 3, 1, 5]
    write_records(path, [{"step": i, "seconds": s} for i, s in enumerate(seconds)])
    assert read_facts(path).seconds == 8


def test_fields_that_differ_from_the_defaults(tmp_path):
    optimizer = Optimizer(critic_lr=5e-5)
    data = Data(image_size=8)
    path = write_run(tmp_path / "run", data=data, optimizer=optimizer, run=Run())
    assert changed_fields(read_facts(path).fields) == {
        "data.image_size": (8, 32),
        "optimizer.critic_lr": (5e-5, 1e-4),
    }


# ------------------------------------------------------------------------------- curves


def test_the_median_filter_is_that_of_the_paper_but_for_its_ends():
    # scipy.signal.medfilt, but for the zeros that it adds at both ends.
    values = np.random.default_rng(0).normal(size=500)
    windows = np.lib.stride_tricks.sliding_window_view(values, 101)
    inside = smooth(values, 101)[50:-50]
    np.testing.assert_array_equal(inside, np.median(windows, axis=1))
    np.testing.assert_array_equal(smooth(np.full(9, 3.0), 5), np.full(9, 3.0))
    assert (window(10), window(500), window(10_000)) == (3, 41, 101)


@pytest.mark.parametrize(
    ("mean", "std", "text"),
    [
        (849.1, 214.0, "850 ± 210"),
        (12.3456, 0.5, "12.35 ± 0.50"),
        (8.0, 0.0, "8 ± 0"),
        (1234.5, None, "1,234"),
        (0.29, math.nan, "0.29"),
    ],
)
def test_a_mean_has_the_digits_of_its_deviation(mean, std, text):
    assert mean_std(mean, std) == text


def test_every_record_has_a_chart():
    names = ["layer_gradient/00", "layer_gradient/02", "new_number", "fid"]
    names += [f"slope/q{q:03}" for q in (0, 5, 25, 50, 75, 95, 100)]
    records = [{"step": i} | dict.fromkeys(names, 1.0) for i in (1, 2)]
    figures = run_figures(records, {})
    titles = [figure.title for figure in figures]
    assert "New number" in titles
    assert "FID" in titles
    (slopes,) = (f for f in figures if f.title == "Slopes of the critic")
    assert len(slopes.series[0].low) == 2
    (layers,) = (f for f in figures if "layer" in f.title)
    assert [s.name for s in layers.series] == ["layer 0", "layer 2"]


def test_lines_of_seeds_have_their_mean_and_range_at_common_steps():
    records = (
        [{"step": 1, "a": 1.0}, {"step": 2, "a": 5.0}, {"step": 3, "a": 0.0}],
        [{"step": 1, "a": 3.0}, {"step": 2, "a": 7.0}],
    )
    series = line(Group("g", records), "a", "g")
    assert list(series.x) == [1, 2]
    assert list(series.y) == [2, 6]
    assert list(series.low) == [1, 5]
    assert list(series.high) == [3, 7]


# ------------------------------------------------------------------------- several runs


CLIP = Objective(constraint="clip"), Optimizer(kind="rmsprop")


def write_methods(folder):
    """Two seeds of a penalty and of clipping."""
    for seed in (0, 1):
        run = Run(seed=seed, steps=100, grid_size=4)
        write_run(folder / f"gp-{seed}", points=True, seed=seed, run=run)
        write_run(
            folder / f"clip-{seed}",
            points=True,
            seed=seed,
            run=run,
            objective=CLIP[0],
            optimizer=CLIP[1],
        )
    return folder


def test_runs_that_differ_in_their_seed_are_one_setting(tmp_path):
    folder = write_methods(tmp_path / "runs")
    settings = make_settings([read_facts(path) for path in find_runs([folder])])
    assert [s.name for s in settings] == ["clip, rmsprop", "penalty, adam"]
    assert [len(s.runs) for s in settings] == [2, 2]


def test_settings_of_a_sweep_have_the_names_of_the_sweep(tmp_path):
    for place, constraint in (("wide", "clip"), ("mine", "/a/b/zero.py:r1")):
        for seed in (0, 1):
            objective = Objective(constraint=constraint)
            run = Run(seed=seed, steps=100, grid_size=4)
            path = tmp_path / place / f"seed-{seed}"
            write_run(path, points=True, seed=seed, run=run, objective=objective)
    runs = [read_facts(path) for path in find_runs([tmp_path])]
    assert [s.name for s in make_settings(runs)] == ["mine", "wide"]
    assert method(runs[0]) == "WGAN with zero.py:r1"
    (tmp_path / "mine/seed-0").rename(tmp_path / "mine/first")
    runs = [read_facts(path) for path in find_runs([tmp_path])]
    assert [s.name for s in make_settings(runs)] == ["zero.py:r1", "clip"]


def test_estimates_in_other_units_have_axes_of_their_own(tmp_path):
    folder = write_methods(tmp_path / "runs")
    drawn = {str(path): drawn_points() for path in find_runs([folder])}
    page = compare(folder, drawn)
    estimates = [chart for chart in page.json if "estimate" in chart["t"]]
    assert [[s["n"] for s in chart["s"]] for chart in estimates] == [
        ["clip, rmsprop"],
        ["penalty, adam"],
    ]
    (speed,) = (chart for chart in page.json if "Speed" in chart["t"])
    assert [s["n"] for s in speed["s"]] == ["clip, rmsprop", "penalty, adam"]
    assert "their units depend on the constraint" in page.text
    assert "W1 / floor" in page.text
    assert "3 ± 0" in page.text


def test_a_run_measured_twice_counts_once(tmp_path):
    folder = write_methods(tmp_path / "runs")
    for path, values in (("clip-0", (9.0, 1.0)), ("clip-1", (9.0, 2.0))):
        results = [
            {"measure": "wasserstein", "step": 100, "repeats": repeats}
            | {"samples": [5, 5], "value": {"mean": value, "std": None}}
            for repeats, value in zip((1, 5), values)
        ]
        text = json.dumps({"format": 2, "results": results})
        (folder / path / "evaluation.json").write_text(text)
    assert "1.50 ± 0.71" in compare(folder).text


def test_estimates_in_equal_units_share_axes(tmp_path):
    for seed in (0, 1):
        optimizer = Optimizer(critic_lr=10.0 ** -(seed + 3))
        write_run(tmp_path / "runs" / f"seed-{seed}", optimizer=optimizer)
    page = compare(tmp_path / "runs")
    (estimate,) = (chart for chart in page.json if "estimate" in chart["t"])
    assert [s["n"] for s in estimate["s"]] == ["critic_lr=0.001", "critic_lr=0.0001"]
    assert "their units depend on" not in page.text


def test_scores_of_other_numbers_of_images_do_not_share_axes(tmp_path):
    for count in (100, 200):
        run = Run(steps=100, grid_size=4, evaluate_num=count, evaluate_every=1)
        path = write_run(tmp_path / "runs" / str(count), run=run)
        write_records(path, [{"step": i, "fid": 1.0 * count} for i in (1, 2)])
    page = compare(tmp_path / "runs")
    titles = [t for t in page.titles() if "FID" in t]
    assert titles == ["FID, 100 images", "FID, 200 images"]


def test_the_fields_that_differ_are_listed(tmp_path):
    folder = write_methods(tmp_path / "runs")
    text = " ".join(compare(folder).text.split())
    assert "field clip, rmsprop penalty, adam" in text
    assert "objective.constraint clip penalty" in text
    assert "optimizer.kind rmsprop adam" in text
    for seed in (0, 1):
        write_run(tmp_path / "seeds" / str(seed), seed=seed, run=Run(seed=seed))
    assert "Fields that differ" not in compare(tmp_path / "seeds").text


def test_unequal_training_and_missing_measures_are_stated(tmp_path):
    folder = write_methods(tmp_path / "runs")
    equal = compare(folder).text
    assert "different numbers of generator updates" not in equal
    assert "not measured" not in equal
    write_records(folder / "gp-1", [{"step": 50, "wasserstein": 1.0}])
    found = {"measure": "fid", "step": 100, "samples": [9, 9]}
    found |= {"value": {"mean": 31.0, "std": None}}
    content = json.dumps({"format": 2, "results": [found]})
    (folder / "clip-0" / "evaluation.json").write_text(content)
    page = compare(folder).text
    assert "different numbers of generator updates (50 to 100)" in page
    assert "not measured" in page


def test_other_data_do_not_compare(tmp_path):
    write_run(tmp_path / "runs" / "a")
    write_run(tmp_path / "runs" / "b", points=True)
    assert "trained on different data" in compare(tmp_path / "runs").text


def test_a_diverged_run_is_left_out_of_means(tmp_path):
    folder = write_methods(tmp_path / "runs")
    with (folder / "gp-1" / "metrics.jsonl").open("a") as file:
        record = {"step": 200, "warnings": {"diverged": "training diverged"}}
        file.write(json.dumps(record) + "\n")
    page = compare(folder)
    assert "2 (1 diverged)" in page.text
    assert "gp-1: training diverged" in page.text
    (speed,) = (chart for chart in page.json if "Speed" in chart["t"])
    assert [len(s["l"]) for s in speed["s"]] == [10, 0]


# -------------------------------------------------------------------------------- files


def test_runs_are_found_in_the_folder_of_a_sweep(tmp_path):
    places = ["lr=1/seed-2", "lr=1/seed-10", "lr=2/seed-2"]
    for place in places:
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "config.json").write_text("{}")
    found = find_runs([tmp_path, tmp_path / places[0]])
    assert found == [tmp_path / place for place in places]
    for path, reason in (("none", "does not exist"), (".", "has no config.json")):
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(UserError, match=reason):
            find_runs([tmp_path / "empty" / path])


def test_the_place_of_a_page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert str(default_out(["runs/a"])) == "runs/a/report.html"
    assert str(default_out(["runs/a", "runs/b"])) == "runs/report.html"
    assert str(default_out(["a", "b"])) == "report.html"
    assert default_out(["a", tmp_path / "b"]) == tmp_path / "report.html"


@pytest.mark.parametrize("count", [1, 4])
def test_pages_and_pictures_are_written(tmp_path, count):
    folder = write_methods(tmp_path / "runs")
    paths = find_runs([folder])[:count]
    out = write_page(paths, None, tmp_path / "new" / "picture.png")
    assert out == default_out(paths)
    Page(out.read_text())
    assert (tmp_path / "new" / "picture.png").stat().st_size > 10_000


def test_the_default_configuration_has_no_changed_fields():
    page = Config()
    fields = {f"run.{k}": v for k, v in vars(page.run).items()}
    assert changed_fields(fields) == {}
