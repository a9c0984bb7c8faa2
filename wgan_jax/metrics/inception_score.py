"""Inception score of logits, in constant memory.

Logits are arrays [n, k] of any real type, whose softmax is a distribution of classes;
arithmetic is float64.
"""

import numpy as np

from wgan_jax.metrics.metric import Metric, Number


class SplitScore:
    """Running Inception score of logits that arrive in batches."""

    def __init__(self, count: int, splits: int = 10):
        """count: logits in all. Raises ValueError for fewer logits than splits."""
        if count < splits:
            raise ValueError(f"{count} logits cannot be split into {splits}")
        self.ends = np.arange(1, splits + 1) * count // splits
        self.splits = splits
        self.seen = 0
        self.sums = None
        self.entropies = np.zeros(splits)

    def update(self, logits) -> None:
        """Adds logits [n, k]."""
        x = np.asarray(logits, np.float64)
        x = x - x.max(1, keepdims=True)
        log_p = x - np.log(np.exp(x).sum(1, keepdims=True))
        p = np.exp(log_p)
        if self.sums is None:
            self.sums = np.zeros((self.splits, x.shape[1]))
        part = np.searchsorted(self.ends, self.seen + np.arange(len(x)), "right")
        np.add.at(self.sums, part, p)
        # exp of -inf is 0, and 0 log 0 counts as 0.
        negative = np.where(p > 0, p * np.where(p > 0, log_p, 0), 0).sum(1)
        np.add.at(self.entropies, part, negative)
        self.seen += len(x)

    def result(self) -> tuple[float, float]:
        """See `inception_score`."""
        if self.seen != self.ends[-1]:
            raise ValueError(f"{self.seen} logits were given, expected {self.ends[-1]}")
        counts = np.diff(self.ends, prepend=0)
        mean = self.sums / counts[:, None]
        logs = np.log(np.where(mean > 0, mean, 1))
        divergences = self.entropies / counts - (mean * logs).sum(1)
        scores = np.exp(divergences)
        return float(scores.mean()), float(scores.std())


def inception_score(logits, splits: int = 10) -> tuple[float, float]:
    """(mean, standard deviation) of exp(E KL(p(y|x), p(y))) over `splits` parts.

    Salimans et al. 2016 (section 4), whose code divides the variance by n, not n - 1.
    The parts are consecutive. The score is between 1 and the number of classes.
    logits: [n, k]. Raises ValueError for fewer logits than splits.
    """
    score = SplitScore(len(logits), splits)
    score.update(logits)
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
)
