"""Vectors of an .npz file."""

import numpy as np

from wgan_jax.config import Data
from wgan_jax.data.readers import Reader, Samples
from wgan_jax.data.sources.npz import read_array
from wgan_jax.errors import UserError


class NpzVectors(Reader):
    """Vectors in memory, float32 [n, data.dimensions]."""

    streamable = False
    required_field = "dir"
    points = True

    def __init__(self, data: Data):
        """Raises UserError unless the array is finite floats [n, data.dimensions]."""
        super().__init__(data)
        name, vectors, _ = read_array(data, "array")
        array = f"array {name!r} of data.dir={data.dir}"
        if vectors.ndim != 2 or vectors.dtype.kind != "f":
            raise UserError(
                f"{array} is {vectors.dtype}{list(vectors.shape)}: it must be floating "
                "point [n, data.dimensions]"
            )
        if vectors.shape[1] != data.dimensions:
            raise UserError(
                f"data.dimensions={data.dimensions} does not fit {array}, whose "
                f"vectors have {vectors.shape[1]} numbers: take --data.dimensions "
                f"{vectors.shape[1]}"
            )
        self.vectors = vectors.astype(np.float32)
        if not np.isfinite(self.vectors).all():
            raise UserError(f"{array} has numbers that are not finite: leave them out")

    def __len__(self):
        return len(self.vectors)

    def read(self, numbers: np.ndarray) -> Samples:
        """Vectors of these numbers."""
        return Samples(self.vectors[numbers])
