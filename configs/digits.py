"""WGAN-GP on scikit-learn's handwritten digits: the quick start, offline, in minutes.

python -m wgan_jax.train --config configs/digits.py
"""

from wgan_jax.config import Config, Data, Model, Objective, Optimizer, Run


def get_config():
    return Config(
        data=Data(source="digits", batch_size=64, heldout=192),
        model=Model(z_dim=64, features=16, generator_norm="batch"),
        objective=Objective(constraint="penalty", n_critic=3),
        optimizer=Optimizer(
            kind="adam", critic_lr=5e-4, generator_lr=5e-4, beta1=0.0, average=0.99
        ),
        run=Run(steps=1000, chunk=25, sample_every=250, checkpoint_every=250),
    )
