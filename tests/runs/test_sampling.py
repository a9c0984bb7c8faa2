"""Classes of generated samples."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from wgan_jax.algorithm.state import make_spec
from wgan_jax.config import Config, Data, Model
from wgan_jax.nn.network import Network
from wgan_jax.runs.sampling import labels, make_sampler, noise

POINTS = Config(data=Data(source="8gaussians"), model=Model(kind="mlp", z_dim=1))
SPEC = make_spec(POINTS)


def counts(shares, seed, count):
    spec = replace(SPEC, classes=len(shares), label_shares=shares)
    drawn = labels(spec, seed, count)
    assert (drawn.dtype, len(drawn)) == (np.int32, count)
    return np.bincount(drawn, minlength=len(shares))


@pytest.mark.parametrize("seed", range(3))
def test_every_class_has_its_share_up_to_rounding(seed):
    shares = (0.643, 0.0, 0.3569, 0.0001)
    drawn = counts(shares, seed, 10_000)
    np.testing.assert_array_equal(drawn, [6430, 0, 3569, 1])
    few = counts(shares, seed, 7)
    quotas = 7 * np.array(shares)
    assert ((few >= np.floor(quotas)) & (few <= np.ceil(quotas))).all()


def test_a_rare_class_has_its_share_on_average():
    drawn = sum(counts((0.93, 0.07), seed, 10) for seed in range(1000))
    # A standard error of 14.5.
    assert abs(drawn[1] - 700) < 60


def test_more_classes_than_a_batch_are_all_drawn_equally_often():
    spec = replace(SPEC, classes=150)
    drawn = labels(spec, 0, 1000)
    assert set(np.bincount(drawn, minlength=150)) == {6, 7}
    assert (labels(spec, 0, 1000) == drawn).all()
    assert (labels(spec, 1, 1000) != drawn).any()
    # In random order: no class occurs in one part only.
    assert len(set(drawn[:100])) > 60
    assert labels(SPEC, 0, 3).tolist() == [0, 0, 0]


def test_fewer_samples_than_classes_have_classes_of_the_seed():
    spec = replace(SPEC, classes=150)
    several = {tuple(sorted(labels(spec, seed, 10))) for seed in range(20)}
    assert len(several) > 1
    assert max(max(drawn) for drawn in several) > 139


def test_a_sampler_gives_each_sample_its_class():
    def apply(params, stats, z, train, labels):
        return labels[:, None] + z, stats

    network = Network(lambda key: ({}, {}), apply, [])
    spec = replace(SPEC, classes=300, generator=network)
    drawn = labels(spec, 0, 400)
    z = np.zeros((400, 1))
    samples = make_sampler(POINTS, spec)({}, {}, z, drawn)
    np.testing.assert_array_equal(samples[:, 0], drawn)
    in_turn = make_sampler(POINTS, spec)({}, {}, z)
    np.testing.assert_array_equal(in_turn[:, 0], np.arange(400) % 300)


def test_truncated_noise_is_normal_noise_drawn_again_while_it_is_outside():
    z = noise(3, 4000, 2, 0.7)
    assert np.abs(z).max() <= 0.7
    assert stats.kstest(z.ravel(), stats.truncnorm(-0.7, 0.7).cdf).pvalue > 0.01
    np.testing.assert_array_equal(z, noise(3, 4000, 2, 0.7))
    assert not np.array_equal(z, noise(4, 4000, 2, 0.7))
    # Without a bound that matters it is the noise of the seed.
    np.testing.assert_allclose(noise(3, 10, 2, 9.0), noise(3, 10, 2), atol=1e-4)
