"""RMSprop as PyTorch defines it: epsilon outside the root, mean square from zero.

optax's defaults are a third algorithm (epsilon inside the root), under which a clipped
critic with its tiny gradients hardly moves.
"""

import optax

from wgan_jax.config import Optimizer


def make(optimizer: Optimizer) -> optax.GradientTransformation:
    """Decay 0.99, epsilon 1e-8, PyTorch's defaults."""
    return optax.scale_by_rms(decay=0.99, eps=1e-8, eps_in_sqrt=False)
