"""WGAN-GP's Fig. 2: seven pairs of networks by four methods, 64x64 LSUN bedrooms.

python scripts/reproduce.py grid --full --tfds-dir FOLDER
python scripts/reproduce.py grid --images FOLDER_OF_IMAGES
python scripts/reproduce.py grid gated tanh --images FOLDER_OF_IMAGES

This file is the table of the 28 cells; as a configuration it is the baseline's networks
with the gradient penalty: python -m wgan_jax.train --config configs/lsun_grid.py. Other
images: --data.source folder --data.dir FOLDER.

The paper shows samples and no number: WGAN-GP is the only method that trains all seven.
200,000 generator updates each, batch 64. One step is 0.36 (DCGAN) to 2.1 TFLOP
(WGAN-GP) for the baseline and 4.4 for the 101 layers: for all cells, 18,000 hours on
two cores of an AMD EPYC, estimated at the measured rate of cat_faces_1.py, 107 GFLOP/s;
200 hours on a GPU that sustains 10 TFLOP/s.

After gan_64x64.py of the paper's code, with the rates of the paper's appendix E. In the
code the 4x512 generator has He's initialisation and here Glorot's, as in the authors'
experiment on LSUN; beta1 is 0.5 as in the appendix, 0 in the newest code.
"""

from configs.lsun_wgan import BEDROOMS
from wgan_jax.config import Config, Model, Objective, Optimizer, Run

BASELINE = {
    "z_dim": 128,
    "features": 64,
    "generator_widths": (8, 4, 2, 1),
    "critic_widths": (1, 2, 4, 8),
    "kernel": 5,
    "padding": "same",
    "ends": "dense_channels",
    "bias": "all",
    "init": "uniform",
}
# Six blocks at each size and five at 64x64, and one that leads to the next size, which
# has the width of that size.
BLOCKS = (16,) * 6 + (8,) * 7 + (4,) * 7 + (2,) * 7 + (1,) * 6
CRITIC_BLOCKS = (1,) * 5 + (2,) * 7 + (4,) * 7 + (8,) * 7 + (16,) * 7
# Fields of the rows, over those of the baseline. The critic of the methods without a
# penalty has BatchNorm wherever this table does not say "none".
NETWORKS = {
    "baseline": {},
    "constant": {
        "generator_widths": (1, 1, 1, 1),
        "generator_norm": "none",
        "init": "tflib",
        "critic_init": "uniform",
    },
    "mlp": {
        "kind": "mlp",
        "critic_kind": "dcgan",
        "generator_widths": (8, 8, 8, 8),
        "generator_norm": "none",
        "init": "tflib",
        "critic_init": "uniform",
    },
    "no-norm": {"generator_norm": "none", "critic_norm": "none"},
    "gated": {
        "generator_activation": "gated",
        "critic_activation": "gated",
        "init": "tflib",
    },
    "tanh": {"generator_activation": "tanh", "critic_activation": "tanh"},
    "resnet101": {
        "kind": "bottleneck",
        "features": 32,
        "generator_widths": BLOCKS,
        "critic_widths": CRITIC_BLOCKS,
        "kernel": 3,
        "critic_activation": "relu",
        "bias": "unnormalised",
        "init": "tflib",
        "padding": "torch",
        "ends": "conv",
    },
}
# Objective, optimizer and the critic's norm of the columns.
METHODS = {
    "dcgan": (
        Objective(kind="gan", constraint="none", n_critic=1),
        Optimizer(critic_lr=2e-4, generator_lr=2e-4, beta1=0.5, beta2=0.999),
        "batch",
    ),
    "lsgan": (
        Objective(kind="lsgan", constraint="none", n_critic=1),
        Optimizer(kind="rmsprop_tf1", critic_lr=1e-4, generator_lr=1e-4),
        "batch",
    ),
    "wgan": (
        Objective(constraint="clip", clip=0.01, n_critic=5),
        Optimizer(kind="rmsprop_tf1", critic_lr=5e-5, generator_lr=5e-5),
        "batch",
    ),
    "wgan-gp": (
        Objective(constraint="penalty", gp_weight=10.0, n_critic=5),
        Optimizer(critic_lr=1e-4, generator_lr=1e-4, beta1=0.5, beta2=0.9),
        "layer",
    ),
}


def cell(networks: str, method: str) -> Config:
    """The configuration of a cell: a name of NETWORKS and one of METHODS."""
    objective, optimizer, critic_norm = METHODS[method]
    model = BASELINE | {"critic_norm": critic_norm} | NETWORKS[networks]
    return Config(
        data=BEDROOMS,
        model=Model(**model),
        objective=objective,
        optimizer=optimizer,
        run=Run(
            steps=200_000,
            chunk=100,
            log_every=100,
            sample_every=5000,
            checkpoint_every=5000,
        ),
    )


def get_config():
    return cell("baseline", "wgan-gp")
