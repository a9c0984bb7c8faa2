"""Wasserstein GANs in JAX: weight clipping and gradient penalty, step by step."""

__version__ = "0.1.0"
