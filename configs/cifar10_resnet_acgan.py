"""WGAN-GP on CIFAR-10 with the ResNet pair of Table 3 and labels (Gulrajani et al.).

python -m wgan_jax.train --config configs/cifar10_resnet_acgan.py

Meant for a GPU: 100,000 generator updates to an Inception score of 8.42 +- 0.10 in the
paper (a user of its code reports 8.15). The generator has conditional BatchNorm and the
critic an auxiliary classifier: weight 1 for real samples in the critic's loss, 0.1 for
generated samples in the generator's.
"""

from dataclasses import replace

from configs.cifar10_resnet import get_config as without_labels


def get_config():
    config = without_labels()
    return replace(config, model=replace(config.model, classes=10))
