"""Toys."""

import jax
import jax.numpy as jnp


def toy_sample(name: str, key, count: int):
    """Points [count, 2] of a toy distribution, constants as in WGAN-GP's gan_toy.py."""
    key_place, key_noise = jax.random.split(key)
    noise = jax.random.normal(key_noise, (count, 2))
    if name == "8gaussians":
        # Radius 2, deviation 0.02, then all divided by 1.414.
        angle = jnp.pi / 4 * jax.random.randint(key_place, (count,), 0, 8)
        centre = 2 * jnp.stack([jnp.cos(angle), jnp.sin(angle)], 1)
        return (centre + 0.02 * noise) / 1.414
    if name == "25gaussians":
        # A 5 x 5 lattice of spacing 2, deviation 0.05, then all divided by 2.828.
        centre = 2.0 * jax.random.randint(key_place, (count, 2), -2, 3)
        return (centre + 0.05 * noise) / 2.828
    # scikit-learn's make_swiss_roll(noise=0.25), axes 0 and 2, divided by 7.5.
    t = 1.5 * jnp.pi * (1 + 2 * jax.random.uniform(key_place, (count,)))
    roll = jnp.stack([t * jnp.cos(t), t * jnp.sin(t)], 1)
    return (roll + 0.25 * noise) / 7.5
