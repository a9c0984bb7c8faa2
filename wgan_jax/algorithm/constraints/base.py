"""The interface of a Lipschitz constraint of the critic."""

import dataclasses
from collections.abc import Callable


@dataclasses.dataclass(frozen=True)
class Constraint:
    """A penalty in the critic's loss, a projection of its parameters, or both."""

    penalty: Callable | None = None
    """penalty(score, real, fake, key) -> (term of the critic's loss, metrics).

    score: function from [n, ...] to [n] that treats each sample separately. real, fake:
    [n, ...]. key: PRNG key of the penalty alone. metrics: {name: scalar}.
    """
    metrics: tuple[str, ...] = ()
    """Names of the penalty's metrics."""
    project: Callable | None = None
    """project(params) -> params, before the first and after every critic update."""
    diagnostics: Callable | None = None
    """diagnostics(params) -> {name: scalar}, logged with run.diagnostics."""
