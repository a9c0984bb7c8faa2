"""Threshold of anomaly scores from those of normal images (split conformal prediction).

If a normal image is exchangeable with the n normal images of the calibration, then its
p-value is at most a with probability at most a, for every n and every score (Vovk et
al. 2005; Laxhammar & Falkman 2010). Nothing is assumed of the score's distribution.
"""

import dataclasses
import math
from fractions import Fraction

import numpy as np
from scipy import stats

from wgan_jax.errors import UserError

# Least probability of the false alarms that are measured, without a warning.
SURPRISE = 1e-3


def p_values(scores, normal) -> np.ndarray:
    """(1 + number of normal scores that are as high or higher) / (n + 1), float64 [m].

    scores: [m]; normal: [n], scores of normal images.
    """
    below = np.searchsorted(np.sort(normal), scores, side="left")
    return (1 + len(normal) - below) / (len(normal) + 1)


def fewest(rate: float) -> int:
    """Least number of normal images that allow a false-alarm rate in (0, 1)."""
    return math.ceil(1 / _exact(rate)) - 1


@dataclasses.dataclass(frozen=True)
class Threshold:
    """A threshold of scores: an image above it is anomalous."""

    value: float
    """The ceil((n + 1) (1 - rate))-th of the n normal scores, ascending."""
    rate: float
    """Largest probability that a normal image is above the threshold."""
    count: int
    """Number n of normal images."""

    @classmethod
    def of(cls, normal, rate: float) -> "Threshold":
        """The threshold of normal scores [n]; ValueError for fewer than `fewest`."""
        count = len(normal)
        if count < fewest(rate):
            raise ValueError(f"a rate of {rate} needs {fewest(rate)} scores or more")
        value = np.sort(normal)[count - _above(count, rate) - 1]
        return cls(float(value), rate, count)

    def verdicts(self, scores) -> np.ndarray:
        """Whether images with these scores are anomalous: their p-value is <= rate."""
        return np.asarray(scores) > self.value

    def rate_range(self, share: float = 0.9) -> tuple[float, float]:
        """Range of the false-alarm rate of a threshold in `share` of all calibrations.

        The rate of one calibration has the distribution Beta(k, n + 1 - k), where k - 1
        of its n scores are above the threshold, for scores without ties.
        """
        k = _above(self.count, self.rate) + 1
        law = stats.beta(k, self.count + 1 - k)
        low, high = law.ppf([(1 - share) / 2, (1 + share) / 2])
        return float(low), float(high)

    def is_exceeded(self, alarms: int, count: int) -> bool:
        """True where more of `count` normal images are above the threshold than chance.

        The number of alarms is beta-binomial, the mixture over `rate_range`.
        """
        k = _above(self.count, self.rate) + 1
        law = stats.betabinom(count, k, self.count + 1 - k)
        return bool(law.sf(alarms - 1) < SURPRISE)


def check_count(
    count: int, rate: float, where: str, option: str = "--false-alarm-rate "
) -> None:
    """Raises UserError where `count` normal images, those of `where`, are too few.

    option: the beginning of the rate as the user typed it.
    """
    if count >= fewest(rate):
        return
    # Rounded up, so that the advised rate is possible.
    advised = math.ceil(1000 / (count + 1)) / 1000
    lower = f"{advised:g} or more, " if advised < 1 else ""
    raise UserError(
        f"{option}{rate:g} needs {fewest(rate)} normal images or more to calibrate on, "
        f"and {where} has {count}: give {lower}more images as calibration, or "
        f"{option}0 for scores without a threshold"
    )


def _above(count, rate):
    """Number of the normal scores that the threshold leaves above itself."""
    return math.floor((count + 1) * _exact(rate)) - 1


def _exact(rate):
    # The number as it is typed: in binary, 100 * 0.29 is below 29.
    return Fraction(str(rate))
