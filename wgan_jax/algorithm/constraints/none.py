"""No constraint: for objectives whose critic loss is bounded below without one.

Known failure: the Wasserstein loss has no minimum; `validation` refuses the pair.
"""

from wgan_jax.algorithm.constraints.base import Constraint
from wgan_jax.config import Objective


def make(objective: Objective) -> Constraint:
    """Neither a penalty nor a projection."""
    return Constraint()
