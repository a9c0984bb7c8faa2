"""A permutation as arithmetic on single indices, for the arrays of NumPy or JAX.

Free of JAX, because the workers of a stream compute it with NumPy.
"""

ROUNDS = 40


def shuffled_index(position, count, pivots, salts):
    """Shuffled index (int32, same shape) of each integer `position` in [0, count).

    pivots, salts: random uint32 [ROUNDS], which determine the permutation. All arrays
    are NumPy's or all are JAX's; both give the same numbers.

    The swap-or-not shuffle (Hoang, Morris & Rogaway 2012): each round pairs a number
    with its reflection about a random point and swaps the two, or not, by a hash of the
    larger. It is a bijection for any count, in constant memory, one element at a time.
    """
    xp = position.__array_namespace__()
    x, n = position.astype(xp.uint32), xp.asarray(count, dtype=xp.uint32)
    for pivot, salt in zip(pivots % n, salts, strict=True):
        mirror = (pivot + n - x) % n
        h = (xp.maximum(x, mirror) ^ salt) * xp.uint32(0x9E3779B1)
        # MurmurHash3's finaliser: every input bit affects the bit that is used.
        h = (h ^ (h >> 16)) * xp.uint32(0x85EBCA6B)
        h = (h ^ (h >> 13)) * xp.uint32(0xC2B2AE35)
        x = xp.where(h >> 31, mirror, x)
    return x.astype(xp.int32)
