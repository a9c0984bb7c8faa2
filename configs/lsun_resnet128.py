"""WGAN-GP at 128x128 with residual networks, LSUN bedrooms (Gulrajani et al., Fig. 4).

python -m wgan_jax.train --config configs/lsun_resnet128.py --data.tfds-dir FOLDER

48 TFLOP per step: 25,000 hours on two cores of an AMD EPYC, estimated at the measured
rate of cat_faces_1.py, 107 GFLOP/s; 270 hours on a GPU that sustains 10 TFLOP/s. The
paper shows samples and gives no number. Other images: --data.source folder --data.dir
FOLDER.

After wgan_imagenet128.py of the authors' research code: 200,000 generator updates, Adam
with a rate that falls linearly to zero, 64 images on 8 GPUs, so BatchNorm acts on 8.
"""

from dataclasses import replace

from configs.lsun_grid import cell
from wgan_jax.config import Model


def get_config():
    base = cell("baseline", "wgan-gp")
    return replace(
        base,
        data=replace(base.data, image_size=128),
        model=Model(
            kind="resnet128",
            z_dim=128,
            features=64,
            generator_widths=(8, 4, 2, 1),
            critic_widths=(2, 4, 8, 16, 16, 16),
            critic_halvings=3,
            kernel=3,
            norm_groups=8,
            critic_norm="layer",
            critic_activation="relu",
            bias="all",
            init="tflib",
        ),
        optimizer=replace(base.optimizer, beta1=0.0, decay="linear"),
    )
