"""WGAN-GP on CIFAR-10, beyond the paper: flips, a wider generator, averaged weights.

python -m wgan_jax.train --config configs/cifar10_resnet_best.py

Differs from the paper's experiment, cifar10_resnet: training images are mirrored at
random, the generator has 256 channels, and samples come from its moving average.
"""

from dataclasses import replace

from configs.cifar10_resnet import get_config as faithful


def get_config():
    config = faithful()
    return replace(
        config,
        data=replace(config.data, flip=True),
        model=replace(config.model, generator_widths=(2, 2, 2), norm_groups=1),
        optimizer=replace(config.optimizer, ema_decay=0.9999),
    )
