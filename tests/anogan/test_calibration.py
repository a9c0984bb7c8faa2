"""Thresholds and p-values of anomaly scores, against their closed forms."""

import numpy as np
import pytest
from scipy import stats

from wgan_jax.anogan.calibration import Threshold, check_count, fewest, p_values
from wgan_jax.errors import UserError


def test_the_threshold_is_an_order_statistic():
    normal = np.random.default_rng(0).permutation(np.arange(1, 100))
    # ceil(100 * 0.95) and ceil(100 * 0.9) of 99 scores.
    assert Threshold.of(normal, 0.05).value == 95
    assert Threshold.of(normal, 0.1).value == 90
    # In binary, 100 * 0.29 is below 29 and 100 * 0.07 above 7.
    assert Threshold.of(normal, 0.29).value == 71
    assert Threshold.of(normal, 0.07).value == 93
    # The least rate of 99 scores is that of the largest score.
    assert Threshold.of(normal, 0.01).value == 99
    with pytest.raises(ValueError, match="99 scores or more"):
        Threshold.of(normal[:98], 0.01)


@pytest.mark.parametrize(("rate", "count"), [(0.05, 19), (0.01, 99), (0.3, 3)])
def test_the_fewest_images_of_a_rate(rate, count):
    assert fewest(rate) == count
    check_count(count, rate, "")
    with pytest.raises(UserError, match=f"needs {count} normal images or more"):
        check_count(count - 1, rate, "the set")


def test_an_advised_rate_is_possible():
    with pytest.raises(UserError, match=r"the set has 9: give 0.1 or more, more"):
        check_count(9, 0.01, "the set")
    with pytest.raises(UserError, match=r"and the set has 0: give more images as"):
        check_count(0, 0.01, "the set")


def test_p_values_count_the_scores_that_are_as_high():
    p = p_values(np.array([0.0, 2.0, 2.5, 9.0]), np.array([3.0, 1.0, 2.0, 2.0]))
    assert p.tolist() == [1.0, 0.8, 0.4, 0.2]


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.29, 0.5])
@pytest.mark.parametrize("levels", [5, 10**6])
def test_a_verdict_is_a_p_value_of_at_most_the_rate(rate, levels):
    rng = np.random.default_rng(1)
    normal, scores = rng.integers(0, levels, 60), rng.integers(0, levels, 500)
    verdicts = Threshold.of(normal, rate).verdicts(scores)
    np.testing.assert_array_equal(verdicts, p_values(scores, normal) <= rate)


def test_p_values_of_exchangeable_scores_are_uniform():
    rng = np.random.default_rng(2)
    count, rounds = 19, 4000
    scores = rng.exponential(size=(rounds, count + 1))
    p = np.array([p_values(row[:1], row[1:])[0] for row in scores])
    # Uniform on 1/20, ..., 1.
    observed = np.bincount(np.round(p * 20).astype(int), minlength=21)[1:]
    assert stats.chisquare(observed).pvalue > 0.01
    alarms = [Threshold.of(row[1:], 0.1).verdicts(row[0]) for row in scores]
    assert np.mean(alarms) == pytest.approx(0.1, abs=3 * np.sqrt(0.09 / rounds))


def test_the_range_of_the_rate_holds_for_uniform_scores():
    # Of uniform scores the rate of a threshold is 1 minus its value.
    rng = np.random.default_rng(3)
    thresholds = [Threshold.of(rng.random(99), 0.05) for _ in range(1000)]
    rates = np.array([1 - threshold.value for threshold in thresholds])
    low, high = thresholds[0].rate_range()
    inside = (low < rates) & (rates < high)
    assert np.mean(inside) == pytest.approx(0.9, abs=0.03)
    assert np.mean(rates) == pytest.approx(0.05, abs=0.003)


def test_only_false_alarms_beyond_chance_are_reported():
    rng = np.random.default_rng(4)
    reported = 0
    for _ in range(150):
        threshold = Threshold.of(rng.random(40), 0.05)
        reported += threshold.is_exceeded(
            (rng.random(200) > threshold.value).sum(), 200
        )
    assert reported <= 2
    assert threshold.is_exceeded(150, 200)
    assert not threshold.is_exceeded(0, 0)
