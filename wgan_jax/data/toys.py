"""2-D toy distributions, with the constants of WGAN-GP's gan_toy.py."""

import jax
import jax.numpy as jnp

# Centres and noise are divided by the scale at the end.
SCALE = {"8gaussians": 1.414, "25gaussians": 2.828, "swiss_roll": 7.5}
# Standard deviation of the noise before that division.
STD = {"8gaussians": 0.02, "25gaussians": 0.05, "swiss_roll": 0.25}
# Of the circle of 8gaussians, before that division.
RADIUS = 2
# Between neighbours of the 5 x 5 lattice of 25gaussians, before that division.
SPACING = 2


def toy_sample(name: str, key, count: int):
    """Points [count, 2], float32, of a toy distribution."""
    key_place, key_noise = jax.random.split(key)
    noise = STD[name] * jax.random.normal(key_noise, (count, 2))
    if name == "8gaussians":
        angle = jnp.pi / 4 * jax.random.randint(key_place, (count,), 0, 8)
        centre = RADIUS * jnp.stack([jnp.cos(angle), jnp.sin(angle)], 1)
    elif name == "25gaussians":
        place = jax.random.randint(key_place, (count, 2), -2, 3)
        centre = float(SPACING) * place
    else:
        # scikit-learn's make_swiss_roll, axes 0 and 2.
        t = 1.5 * jnp.pi * (1 + 2 * jax.random.uniform(key_place, (count,)))
        centre = jnp.stack([t * jnp.cos(t), t * jnp.sin(t)], 1)
    return (centre + noise) / SCALE[name]
