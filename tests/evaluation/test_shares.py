"""A generator that is perfect for every class, on data of unequal classes."""

from dataclasses import replace
from functools import partial

import jax.numpy as jnp
import numpy as np
import pytest

from wgan_jax.algorithm.state import make_spec
from wgan_jax.config import Config, Data, Model
from wgan_jax.evaluation.images import make_generated_batches
from wgan_jax.metrics import frechet
from wgan_jax.metrics.features import Extractor, extract, extract_array
from wgan_jax.nn.network import Network

CLASSES = 120
PER_CLASS = 40


def flat(images):
    rows = images.reshape(len(images), -1).astype(np.float32)
    return rows, rows[:, :2]


@pytest.fixture(scope="module")
def images():
    """[class, image, 2, 2, 1]: grey levels that grow with the class."""
    noise = np.random.default_rng(0).integers(0, 16, (CLASSES, PER_CLASS, 2, 2, 1))
    return (2 * np.arange(CLASSES)[:, None, None, None, None] + noise % 16).astype(
        np.uint8
    )


@pytest.mark.parametrize("batch_stats", [False, True])
@pytest.mark.parametrize("shares", ["skewed", "uniform"])
def test_it_scores_as_real_images_with_the_shares_of_the_data(
    images, shares, batch_stats
):
    """The first class has 81 % of the data, every other one 0.16 %."""

    def apply(params, stats, z, train, labels):
        which = jnp.floor(z[:, 0] * 1000).astype(int) % PER_CLASS
        return params[labels, which] / 127.5 - 1, stats

    data_shares = (0.81, *[0.19 / (CLASSES - 1)] * (CLASSES - 1))
    points = Data(source="8gaussians")
    config = Config(data=points, model=Model(kind="mlp", z_dim=1))
    generator = Network(lambda key: ({}, {}), apply, [])
    spec = replace(make_spec(config), classes=CLASSES, generator=generator)
    config = Config(data=Data(image_size=2))
    extractor = Extractor("pixels", 4, flat, "1")
    rng = np.random.default_rng(1)
    labels = rng.choice(CLASSES, 10_000, p=data_shares)
    real = images[labels, rng.integers(0, PER_CLASS, len(labels))]
    measure = partial(extract_array, extractor, facts={})
    reference = measure(real[:5000]).moments
    floor = frechet.frechet_distance(measure(real[5000:]).moments, reference)

    def score(label_shares):
        drawn = replace(spec, label_shares=label_shares)
        batches = make_generated_batches(config, drawn, batch_stats)
        generated = extract(extractor, batches((images, {}), 0, 5000), 5000)
        return frechet.frechet_distance(generated.moments, reference)

    if shares == "skewed":
        assert score(data_shares) < 3 * floor + 1
    else:
        assert score(()) > 100 * floor + 100
