"""Jensen-Shannon divergences of n-grams, against closed forms."""

from collections import Counter

import numpy as np
import pytest

from wgan_jax.metrics.ngrams import NGrams


def test_equal_lines_have_no_divergence_and_others_one_bit():
    lines = np.array([[1, 2, 3, 1], [2, 2, 1, 3]])
    known = NGrams(lines)
    assert known.orders == (1, 2, 3, 4)
    for n in known.orders:
        assert known.jensen_shannon(lines[[1, 0, 1, 0]], n) < 1e-12
        assert known.jensen_shannon(lines + 3, n) == pytest.approx(1)


def test_a_closed_form():
    # Shares (1, 0) and (1/2, 1/2), so that the mean is (3/4, 1/4).
    known = NGrams(np.array([[7, 7]]))
    expected = (np.log2(4 / 3) + 0.5 * np.log2(2 / 3) + 0.5) / 2
    assert known.jensen_shannon(np.array([[7, 9]]), 1) == pytest.approx(expected)
    # Shares of pairs: 77 against 79, which is not known.
    assert known.jensen_shannon(np.array([[7, 9]]), 2) == pytest.approx(1)


def test_all_orders_equal_the_sums_over_every_n_gram():
    rng = np.random.default_rng(0)
    lines, others = (rng.integers(0, 3, (n, 9)).astype(np.uint8) for n in (50, 20))
    known = NGrams(lines)
    for n in known.orders:
        p, q = (shares(array, n) for array in (lines, others))
        total = 0.0
        for one, other in ((p, q), (q, p)):
            for gram, share in one.items():
                mean = (share + other.get(gram, 0.0)) / 2
                total += share * np.log2(share / mean) / 2
        assert known.jensen_shannon(others, n) == pytest.approx(total, abs=1e-12)


def test_the_largest_numbers_are_distinct():
    known = NGrams(np.full((2, 6), 65535, np.uint16))
    assert known.jensen_shannon(np.full((1, 6), 65534, np.uint16), 6) == 1
    assert known.jensen_shannon(np.full((1, 6), 65535, np.uint16), 6) == 0


def shares(lines, n):
    grams = [tuple(row[i : i + n]) for row in lines for i in range(10 - n)]
    return {gram: count / len(grams) for gram, count in Counter(grams).items()}
