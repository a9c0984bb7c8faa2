"""Inception score of logits, in constant memory.

Logits are arrays [n, k] of any real type, whose softmax is a distribution of classes;
arithmetic is float64.
"""

import numpy as np

from wgan_jax.data.content import content_order
from wgan_jax.metrics.metric import Metric, Number

SPLITS = 10


class SplitScore:
    """Running Inception score of logits that arrive in batches."""

    def __init__(self, count: int, splits: int = SPLITS, seed: int = 0):
        """count: logits in all, divided into random parts by the seed.

        Raises ValueError for fewer logits than splits.
        """
        if count < splits:
            raise ValueError(f"{count} logits cannot be split into {splits}")
        ends = np.arange(1, splits + 1) * count // splits
        order = np.random.default_rng(seed).permutation(count)
        self.part = np.searchsorted(ends, order, "right")
        self.splits = splits
        self.seen = 0
        self.sums = np.zeros((splits, 0))
        self.entropies = np.zeros(splits)

    def update(self, logits) -> None:
        """Adds logits [n, k]."""
        x = np.asarray(logits, np.float64)
        x = x - x.max(1, keepdims=True)
        log_p = x - np.log(np.exp(x).sum(1, keepdims=True))
        p = np.exp(log_p)
        if not self.sums.size:
            self.sums = np.zeros((self.splits, x.shape[1]))
        part = self.part[self.seen : self.seen + len(x)]
        np.add.at(self.sums, part, p)
        # exp of -inf is 0, and 0 log 0 counts as 0.
        negative = np.where(p > 0, p * np.where(p > 0, log_p, 0), 0).sum(1)
        np.add.at(self.entropies, part, negative)
        self.seen += len(x)

    def result(self) -> tuple[float, float]:
        """See `inception_score`."""
        if self.seen != len(self.part):
            raise ValueError(
                f"{self.seen} logits were given, expected {len(self.part)}"
            )
        counts = np.bincount(self.part)
        mean = self.sums / counts[:, None]
        logs = np.log(np.where(mean > 0, mean, 1))
        divergences = self.entropies / counts - (mean * logs).sum(1)
        scores = np.exp(divergences)
        return float(scores.mean()), float(scores.std())


def inception_score(logits, splits: int = SPLITS, seed: int = 0) -> tuple[float, float]:
    """(mean, standard deviation) of exp(E KL(p(y|x), p(y))) over `splits` parts.

    Salimans et al. 2016 (section 4), whose code divides the variance by n, not n - 1,
    and takes consecutive parts of shuffled samples. Here the parts are random by the
    seed and do not depend on the order of the logits, [n, k]. The score is between 1
    and the number of classes. Raises ValueError for fewer logits than splits.
    """
    score = SplitScore(len(logits), splits, seed)
    score.update(np.asarray(logits)[content_order(logits)])
    return score.result()


SCORE = Number("score", "score", "is", "Inception score")
METRIC = Metric(
    numbers=(
        SCORE,
        Number(
            key="score_split_std",
            label="score, std over splits",
            published_key="is_split_std",
            published_label="Inception score, std over splits",
        ),
    ),
    compute=lambda generated, real, seed: generated.score,
    needs_logits=True,
    sizes=lambda generated, real: (generated,),
    # Ten for each split: a split's score is at most the number of its images.
    least=10 * SPLITS,
)
