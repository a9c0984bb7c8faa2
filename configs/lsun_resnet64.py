"""WGAN-GP at 64x64 with the residual networks that its code recommends.

python -m wgan_jax.train --config configs/lsun_resnet64.py --data.tfds-dir FOLDER

15 TFLOP per step: 7,800 hours on two cores of an AMD EPYC, estimated at the measured
rate of cat_faces_1.py, 107 GFLOP/s; 83 hours on a GPU that sustains 10 TFLOP/s. The
paper gives no number. Other images: --data.source folder --data.dir FOLDER.

After GoodGenerator and GoodDiscriminator of gan_64x64.py, its newest version: 200,000
generator updates, Adam(1e-4, 0, 0.9), layer norm in the critic. The code trains on
64x64 ImageNet; the paper's experiments of this size are on LSUN bedrooms.
"""

from dataclasses import replace

from configs.lsun_grid import cell
from wgan_jax.config import Model


def get_config():
    base = cell("baseline", "wgan-gp")
    return replace(
        base,
        model=Model(
            kind="resnet64",
            z_dim=128,
            features=64,
            generator_widths=(8, 4, 2, 1),
            critic_widths=(2, 4, 8, 8),
            kernel=3,
            critic_norm="layer",
            critic_activation="relu",
            init="tflib",
        ),
        optimizer=replace(base.optimizer, beta1=0.0),
    )
