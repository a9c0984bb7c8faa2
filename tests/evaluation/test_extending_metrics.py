"""The example of a metric in docs/extending.md."""

import json
import re

import numpy as np
import pytest
from helpers import ROOT, in_process
from sklearn.datasets import load_digits

from wgan_jax import evaluate
from wgan_jax.metrics import classifier
from wgan_jax.metrics.image_scores import METRICS
from wgan_jax.references import lookup

TEXT = (ROOT / "docs" / "extending.md").read_text().partition("## A metric\n")[2]


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """A file of real images, in a folder with the example's file."""
    folder = tmp_path_factory.mktemp("extending")
    (source,) = re.findall("```python\n(.*?)```", TEXT.partition("\n## ")[0], re.S)
    (folder / "my_metrics.py").write_text(source)
    digits = load_digits()
    images = (digits.images[:300] * 15).astype(np.uint8)
    np.savez(folder / "real.npz", images=images, labels=digits.target[:300])
    return folder / "real.npz"


def test_a_metric_of_the_user_is_computed_by_reference_or_by_name(
    reference, monkeypatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(reference.parent))
    monkeypatch.setattr(classifier, "STEPS", 3)
    with np.load(reference) as file:
        np.savez(reference.parent / "dark.npz", images=file["images"] // 2)
    mine = f"{reference.parent / 'my_metrics.py'}:MEANS"
    monkeypatch.setitem(METRICS, "means", lookup({}, mine, "--metrics"))
    values = {}
    for images, metric in (("real", mine), ("dark", mine), ("dark", "means")):
        out = reference.parent / "evaluation.json"
        code, error = in_process(
            evaluate,
            *("--images", reference.parent / f"{images}.npz"),
            "--reference",
            reference,
            "--metrics",
            metric,
            "fid",
            "--features",
            "classifier",
            "--json",
            out,
        )
        assert code == 0, error
        results = json.loads(out.read_text())["results"]
        measures = {result["measure"]: result for result in results}
        assert set(measures) == {"classifier_mean_distance", "classifier_frechet"}
        measure = measures["classifier_mean_distance"]
        values[images, metric] = measure["value"]["mean"]
    assert values["real", mine] == pytest.approx(0, abs=1e-6)
    assert values["dark", mine] > 0.01
    assert values["dark", "means"] == values["dark", mine]
