"""WGAN-GP on CIFAR-10 with the ResNet pair of Table 3, told labels (Gulrajani et al.).

python -m wgan_jax.train --config configs/cifar10_resnet_acgan.py

Meant for a GPU: 100,000 generator updates to an Inception score of 8.42 +- 0.10 in the
paper (8.15 at the end by a user of its code). Conditional BatchNorm in the generator's
blocks, and an auxiliary classifier in the critic: weight 1 for real samples in the
critic's loss, 0.1 for generated ones in the generator's.
"""

from dataclasses import replace

from configs.cifar10_resnet import get_config as without_labels


def get_config():
    config = without_labels()
    return replace(config, model=replace(config.model, classes=10))
