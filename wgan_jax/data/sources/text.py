"""Lines of text files, one sample each, as in the code of Gulrajani et al. 2017."""

from pathlib import Path

import numpy as np

from wgan_jax.config import Data
from wgan_jax.data.readers import Reader, Samples
from wgan_jax.data.text import MARKS, PADDING, count_characters
from wgan_jax.errors import UserError

LINES = 65536
"""Lines that are converted at once."""


class TextLines(Reader):
    """Code points of lines that are not empty, uint32 [n, data.length].

    A line is cut or padded to data.length characters.
    """

    streamable = False
    required_field = "dir"

    def __init__(self, data: Data):
        """Reads data.dir, a file or all files of a folder in the order of their names.

        Raises UserError where a file cannot be read or is not UTF-8, and where no line
        is left.
        """
        super().__init__(data)
        parts, lines, empty = [], [], 0
        for line in _lines(data):
            if line.strip():
                lines.append(line[: data.length].ljust(data.length, PADDING))
            else:
                empty += 1
            if len(lines) == LINES:
                parts.append(_code_points(lines, data.length))
                lines = []
        parts.append(_code_points(lines, data.length))
        self.codes = np.concatenate(parts)
        if not len(self.codes):
            raise UserError(f"data.dir={data.dir} has no line of text")
        if empty:
            self.remarks = [f"{empty} empty lines of {data.dir} are left out"]

    def __len__(self):
        return len(self.codes)

    def read(self, numbers: np.ndarray) -> Samples:
        """Code points of the lines of these numbers."""
        return Samples(self.codes[numbers])


def vocabulary_size(data: Data) -> int:
    """Characters of the largest vocabulary of the text in data.dir, with the marks."""
    return len(MARKS + count_characters(TextLines(data).codes))


def _lines(data):
    """The lines of data.dir, without their ends."""
    path = Path(data.dir)
    files = [path]
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.is_file())
    for file in files:
        try:
            with file.open(encoding="utf-8-sig") as opened:
                for line in opened:
                    yield line.rstrip("\n")
        except (OSError, UnicodeDecodeError) as error:
            reason = "it is not UTF-8"
            if isinstance(error, OSError):
                reason = error.strerror or type(error).__name__
            raise UserError(
                f"data.dir={data.dir}: {file} cannot be read ({reason}): give a text "
                "file in UTF-8, or a folder of them"
            ) from error


def _code_points(lines, length):
    encoded = "".join(lines).encode("utf-32-le")
    return np.frombuffer(encoded, "<u4").reshape(-1, length)
