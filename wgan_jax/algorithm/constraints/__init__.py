"""Lipschitz constraints of the critic: one file each, named in `CONSTRAINTS`."""

from wgan_jax.algorithm.constraints import clip, none, penalty
from wgan_jax.algorithm.constraints.base import Constraint
from wgan_jax.config import Objective
from wgan_jax.references import make_named

# By objective.constraint: a function of the configuration's section `objective`.
CONSTRAINTS = {
    "clip": clip.make,
    "penalty": penalty.make,
    "none": none.make,
}


def make_constraint(objective: Objective) -> Constraint:
    """The constraint of `objective.constraint`. Raises UserError for a wrong name."""
    return make_named(Constraint, CONSTRAINTS, "objective.constraint", objective)
