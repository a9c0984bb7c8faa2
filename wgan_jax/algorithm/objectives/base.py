"""The interface of an objective."""

import dataclasses
from collections.abc import Callable


@dataclasses.dataclass(frozen=True)
class Losses:
    """The losses of critic and generator, and the distance that they estimate."""

    critic: Callable
    """critic(score_real [n], score_fake [m]) -> [], minimised before any penalty."""
    generator: Callable
    """generator(score_fake [n]) -> [], minimised."""
    estimate: Callable
    """estimate(critic loss []) -> [], the distance of real and fake that it bounds."""
    metric: str
    """Name of the estimate in metrics.jsonl."""
    needs_constraint: bool = False
    """The critic loss has no minimum without a Lipschitz constraint."""
    bounded: bool = False
    """The estimate is of a bounded distance, and 0 for the best constant critic."""
