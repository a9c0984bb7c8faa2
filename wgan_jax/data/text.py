"""Characters of lines as numbers, and back."""

import numpy as np

from wgan_jax.errors import UserError

UNKNOWN, PADDING = "\N{REPLACEMENT CHARACTER}", "\N{SYMBOL FOR NULL}"
"""Characters number 0 and 1 of every vocabulary: that of a character which is not in
it, and that after the end of a line. In a text, they have the same meaning."""
MARKS = UNKNOWN + PADDING
CODE_POINTS = 0x110000
"""Code points of Unicode."""


def count_characters(codes: np.ndarray) -> str:
    """The different characters of code points [n, length], the most frequent first."""
    counts = np.zeros(CODE_POINTS, np.int64)
    for block in _blocks(codes):
        counts += np.bincount(block.ravel(), minlength=CODE_POINTS)
    known = np.flatnonzero(counts)
    order = known[np.argsort(-counts[known], kind="stable")]
    return "".join(c for c in map(chr, order) if c not in MARKS)


def make_vocabulary(codes: np.ndarray, size: int, name: str) -> str:
    """The marks and the most frequent characters: `size` characters.

    name: of the text in the UserError where it has fewer.
    """
    vocabulary = MARKS + count_characters(codes)
    if len(vocabulary) < size:
        raise UserError(
            f"data.vocabulary={size} is larger than that of {name}, which has "
            f"{len(vocabulary) - len(MARKS)} different characters besides the marks of "
            "unknown characters and of the end of a line: take --data.vocabulary "
            f"{len(vocabulary)}"
        )
    return vocabulary[:size]


def encode(codes: np.ndarray, vocabulary: str) -> np.ndarray:
    """Numbers [n, length] in the vocabulary of code points, uint8 or uint16."""
    known = np.frombuffer(vocabulary.encode("utf-32-le"), "<u4")
    table = np.zeros(CODE_POINTS, np.min_scalar_type(len(known) - 1))
    table[known] = np.arange(len(known))
    return np.concatenate([table[block] for block in _blocks(codes)])


def decode(numbers: np.ndarray, vocabulary: str) -> list[str]:
    """Lines of numbers [n, length], without the padding after their end."""
    characters = np.array([*vocabulary])
    return ["".join(row).rstrip(PADDING) for row in characters[numbers]]


def _blocks(codes, lines=1 << 20):
    """Views of at most `lines` rows, whose 64-bit copies are small; at least one."""
    return [codes[i : i + lines] for i in range(0, max(len(codes), 1), lines)]
