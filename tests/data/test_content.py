"""Orders of samples by their content."""

import numpy as np
import pytest

from wgan_jax.data.content import content_order, digests

RNG = np.random.default_rng


@pytest.mark.parametrize(
    "rows",
    [
        RNG(0).integers(0, 3, (700, 2, 2, 1), np.uint8),
        RNG(1).normal(size=(300, 5)).astype(np.float32),
        RNG(2).normal(size=40),
    ],
)
def test_ten_orders_of_the_same_rows_give_one(rows):
    expected = rows[content_order(rows, 3)]
    for seed in range(10):
        mixed = rows[RNG(seed).permutation(len(rows))]
        np.testing.assert_array_equal(mixed[content_order(mixed, 3)], expected)
    assert (rows[content_order(rows, 4)] != expected).any()
    np.testing.assert_array_equal(np.sort(content_order(rows)), np.arange(len(rows)))


def test_sorted_classes_are_mixed():
    rows = np.repeat(np.arange(10.0), 100) + RNG(0).uniform(size=1000)
    halves = np.split(rows[content_order(rows)].astype(int), 2)
    counts = [np.bincount(half, minlength=10) for half in halves]
    assert np.abs(counts[0] - counts[1]).max() < 40


def test_labels_decide_between_equal_rows():
    rows, labels = np.zeros((50, 3), np.uint8), RNG(0).integers(0, 5, 50)
    expected = labels[content_order(rows, 0, labels)]
    for seed in range(10):
        mixed = labels[RNG(seed).permutation(50)]
        np.testing.assert_array_equal(mixed[content_order(rows, 0, mixed)], expected)


def test_rows_with_one_changed_byte_have_another_hash():
    rows = np.zeros((2, 1000), np.uint8)
    rows[1, 777] = 1
    first, second = digests(rows)
    assert first != second
    assert digests(rows[::-1]).tolist() == [second, first]
