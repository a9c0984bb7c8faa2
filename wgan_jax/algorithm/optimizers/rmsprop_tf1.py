"""RMSprop as TensorFlow 1 defines it: epsilon inside the root, mean square from one.

The optimizer of weight clipping in the code of Gulrajani et al.
"""

import optax

from wgan_jax.config import Optimizer


def make(optimizer: Optimizer) -> optax.GradientTransformation:
    """Decay 0.9, epsilon 1e-10, TensorFlow 1's defaults."""
    return optax.scale_by_rms(decay=0.9, eps=1e-10, initial_scale=1.0)
