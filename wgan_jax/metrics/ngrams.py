"""Jensen-Shannon divergences of n-grams of characters, in bits.

The measure of gan_language.py (Gulrajani et al. 2017) and of Heusel et al. 2017: the
n-grams within a line, the padding after its end included; shares over all lines.
"""

import math

import numpy as np

from wgan_jax.metrics.divergences import jensen_shannon

ORDERS = (1, 2, 3, 4, 5, 6)
"""Lengths n of the n-grams."""
LINES = 640
"""Lines of samples in both papers: the value falls with their number."""


class NGrams:
    """Shares of the n-grams of lines, for every n of ORDERS that the lines have."""

    def __init__(self, lines: np.ndarray):
        """lines: whole numbers [lines, length], 0 to less than 65536."""
        self.orders = tuple(n for n in ORDERS if n <= lines.shape[1])
        self._known, self._shares = [], []
        for n in self.orders:
            known, counts = np.unique(self._keys(lines, n), return_counts=True)
            self._known.append(known)
            self._shares.append(counts / counts.sum())

    def jensen_shannon(self, lines: np.ndarray, n: int) -> float:
        """JS of the n-grams of other lines [m, length] and of these, 0 to 1 bit."""
        known, shares = self._known[n - 1], self._shares[n - 1]
        places = self._places(self._keys(lines, n), n)
        # All n-grams that are not known are one: JS depends on their sum alone.
        counts = np.bincount(places, minlength=len(known) + 1)
        theirs = counts / counts.sum()
        return jensen_shannon(np.append(shares, 0.0), theirs) / math.log(2)

    def _keys(self, lines, n):
        """A number for each n-gram: the place of its (n-1)-gram, and its character."""
        last = lines[:, n - 1 :].astype(np.int64).ravel()
        if n == 1:
            return last
        places = self._places(self._keys(lines[:, :-1], n - 1), n - 1)
        return places << 16 | last

    def _places(self, keys, n):
        """Places of the keys of n-grams among the known ones; their number if none."""
        known = self._known[n - 1]
        places = np.searchsorted(known, keys)
        is_known = known[np.minimum(places, len(known) - 1)] == keys
        return np.where(is_known, places, len(known))
