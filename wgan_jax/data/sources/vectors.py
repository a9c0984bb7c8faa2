"""Vectors of an .npz or .npy file."""

import numpy as np

from wgan_jax.config import Data
from wgan_jax.data.readers import Reader, Samples
from wgan_jax.data.sources.npz import VECTORS, describe, read_array, test_array
from wgan_jax.errors import UserError


class NpzVectors(Reader):
    """Vectors in memory, float64 [n, data.dimensions]."""

    streamable = False
    required_field = "dir"
    points = True

    def __init__(self, data: Data, field: str = "array"):
        """field: of `Data`, `array` or `test_split`; it names the array.

        Raises UserError unless the array has finite numbers [n, data.dimensions].
        """
        super().__init__(data)
        name, vectors, _, _ = read_array(data, field, VECTORS)
        array = describe(name, f"data.dir={data.dir}")
        if vectors.ndim != 2 or vectors.dtype.kind not in "fiub":
            raise UserError(
                f"{array} is {vectors.dtype}{list(vectors.shape)}: it must be numbers "
                "[n, data.dimensions]"
            )
        if vectors.shape[1] != data.dimensions:
            raise UserError(
                f"data.dimensions={data.dimensions} does not fit {array}, whose "
                f"vectors have {vectors.shape[1]} numbers: take --data.dimensions "
                f"{vectors.shape[1]}"
            )
        self.vectors = vectors.astype(np.float64)
        self.test_array = test_array(data, name)
        check_finite(self.vectors, array)
        if field == "array":
            check_columns(self.vectors, array)
            self.remarks = self.test_remarks(self.test_array)

    def __len__(self):
        return len(self.vectors)

    def read(self, numbers: np.ndarray) -> Samples:
        """Vectors of these numbers."""
        return Samples(self.vectors[numbers])

    def test_reader(self) -> Reader | None:
        """Reader of the array that `test_array` names."""
        return self.reader_of(self.test_array)


def vector_length(data: Data) -> int:
    """Length of the vectors in data.dir, whatever data.dimensions says.

    Raises UserError where there are none.
    """
    _, vectors, _, _ = read_array(data, "array", VECTORS)
    # An array of another shape is refused by the reader.
    return vectors.shape[1] if vectors.ndim == 2 else data.dimensions


def check_columns(vectors: np.ndarray, name: str) -> None:
    """Raises UserError for a column [n] that is constant."""
    constant = (vectors == vectors[:1]).all(0) & (len(vectors) > 1)
    for column in np.flatnonzero(constant)[:1]:
        raise UserError(
            f"column {column} of {name} is constant, {vectors[0, column]}: leave it out"
        )


def check_finite(vectors: np.ndarray, name: str) -> None:
    """Raises UserError for a column [n] that is not finite in float32."""
    with np.errstate(over="ignore"):
        finite = np.isfinite(vectors.astype(np.float32))
    for row, column in np.argwhere(~finite)[:1]:
        raise UserError(
            f"column {column} of {name} has {vectors[row, column]} in row {row}, which "
            "is not finite in float32: leave out the row or the column"
        )
