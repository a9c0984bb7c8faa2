"""Hashes of samples, and orders of samples that do not depend on the given order."""

import hashlib

import numpy as np

# Rows that are read at once.
CHUNK = 256


def digests(rows) -> np.ndarray:
    """Hash of the content of each row: uint64 [n].

    rows: [n, ...], an array or anything else that is read by slices.
    """
    parts = (
        np.ascontiguousarray(rows[start : start + CHUNK])
        for start in range(0, len(rows), CHUNK)
    )
    hashes = (
        hashlib.blake2b(row.tobytes(), digest_size=8).digest()
        for part in parts
        for row in part
    )
    return np.frombuffer(b"".join(hashes), np.uint64)


def content_order(rows, seed: int = 0, labels=None) -> np.ndarray:
    """Places [n] of the rows [n, ...] in a random order, a function of the set of rows.

    rows[content_order(rows, seed)] is the same array for every order of the rows. Rows
    are sorted by their hashes and then permuted by the seed. labels: integers [n], part
    of the content.
    """
    keys = digests(rows)
    order = np.lexsort((keys,) if labels is None else (labels, keys))
    return order[np.random.default_rng(seed).permutation(len(order))]
