"""Weight clipping on CIFAR-10 with the DCGAN pair of Fig. 3 (Gulrajani et al.).

python -m wgan_jax.train --config configs/cifar10_dcgan_clip.py

The curve "Weight clipping" of that figure, the lowest one. The critic has BatchNorm,
which the paper's code uses with every method except the penalty.
"""

from dataclasses import replace

from configs.cifar10_dcgan_gp_adam import get_config as with_adam
from wgan_jax.config import Objective, Optimizer


def get_config():
    config = with_adam()
    return replace(
        config,
        model=replace(config.model, critic_norm="batch"),
        objective=Objective(constraint="clip", clip=0.01, n_critic=5),
        optimizer=Optimizer(kind="rmsprop_tf1", critic_lr=5e-5, generator_lr=5e-5),
    )
