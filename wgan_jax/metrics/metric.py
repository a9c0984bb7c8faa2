"""The extension point of image metrics: numbers from the features of two image sets."""

import dataclasses
from collections.abc import Callable


@dataclasses.dataclass(frozen=True)
class Number:
    """Names of one number of a metric; see `features.Extractor.metric_key`."""

    key: str
    """Key in JSON, prefixed by the name of every extractor but Inception."""
    label: str
    """Label in tables, with the same prefix."""
    published_key: str = ""
    """Key with Inception's features, where it is not `key`."""
    published_label: str = ""
    """Label with Inception's features, where it is not `label`."""


@dataclasses.dataclass(frozen=True)
class Metric:
    """A comparison of generated with real images by their features."""

    numbers: tuple[Number, ...]
    compute: Callable
    """compute(generated, real, seed) -> a float for each number; generated and real are
    `features.Features`, seed decides all randomness."""
    needs_rows: bool = False
    """compute reads `Features.rows`, the features of every image."""
    needs_logits: bool = False
    """compute reads `Features.score`, which is computed from logits."""
    sizes: Callable[[int, int], tuple[int, ...]] = lambda generated, real: (
        generated,
        real,
    )
    """sizes(generated, real), of the image counts -> images of each side that one value
    is computed from."""
    least: int = 2
    """Fewest images of each side: with fewer the numbers are withheld."""
    advised: Callable[[int], int] = lambda dimension: 0
    """advised(dimension of the features) -> images of each side below which a warning
    accompanies the numbers."""

    def shortage(self, generated: int, real: int) -> str:
        """Reason to withhold the numbers for these image counts; empty without one."""
        fewest = min(self.sizes(generated, real))
        if fewest >= self.least:
            return ""
        return f"{self.least} images or more are needed, and there are {fewest}"
