"""Where a number goes in a permutation that a key drew: arithmetic for any array type.

Imports nothing of JAX, for the processes that read a stream compute it with NumPy.
"""

ROUNDS = 40


def shuffled_index(position, count, pivots, salts):
    """Where `position`, an array of integers in [0, count), goes: int32, alike.

    pivots, salts: uint32 [ROUNDS] at random, which draw the permutation. All are arrays
    of NumPy, or all of JAX, and both give the same numbers.

    The swap-or-not shuffle (Hoang, Morris & Rogaway 2012): in each round a number and
    its mirror image about a random point change places, or not, by a hash of the
    larger. A bijection of any count, in constant memory, one element at a time.
    """
    xp = position.__array_namespace__()
    x, n = position.astype(xp.uint32), xp.asarray(count, dtype=xp.uint32)
    for pivot, salt in zip(pivots % n, salts, strict=True):
        mirror = (pivot + n - x) % n
        h = (xp.maximum(x, mirror) ^ salt) * xp.uint32(0x9E3779B1)
        # The finaliser of MurmurHash3: every input bit reaches the bit that is used.
        h = (h ^ (h >> 16)) * xp.uint32(0x85EBCA6B)
        h = (h ^ (h >> 13)) * xp.uint32(0xC2B2AE35)
        x = xp.where(h >> 31, mirror, x)
    return x.astype(xp.int32)
