"""The non-saturating GAN on CIFAR-10 with the DCGAN pair of Fig. 3 (Gulrajani et al.).

python -m wgan_jax.train --config configs/cifar10_dcgan_gan.py

The curve "DCGAN" of that figure, about as high as WGAN-GP with Adam. Both networks have
BatchNorm, and each step is one update of each.
"""

from dataclasses import replace

from configs.cifar10_dcgan_gp_adam import get_config as with_adam
from wgan_jax.config import Objective, Optimizer


def get_config():
    config = with_adam()
    return replace(
        config,
        model=replace(config.model, critic_norm="batch"),
        objective=Objective(kind="gan", constraint="none", n_critic=1),
        optimizer=Optimizer(
            kind="adam", critic_lr=2e-4, generator_lr=2e-4, beta1=0.5, beta2=0.999
        ),
    )
