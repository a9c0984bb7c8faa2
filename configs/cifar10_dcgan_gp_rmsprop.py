"""WGAN-GP on CIFAR-10 with the DCGAN pair of Fig. 3, RMSprop (Gulrajani et al.).

python -m wgan_jax.train --config configs/cifar10_dcgan_gp_rmsprop.py

The curve "WGAN-GP (RMSProp)" of that figure: the penalty with the optimizer and
learning rate of weight clipping. It is below the curve of Adam and above that of
clipping.
"""

from dataclasses import replace

from configs.cifar10_dcgan_gp_adam import get_config as with_adam
from wgan_jax.config import Optimizer


def get_config():
    optimizer = Optimizer(kind="rmsprop_tf1", critic_lr=5e-5, generator_lr=5e-5)
    return replace(with_adam(), optimizer=optimizer)
