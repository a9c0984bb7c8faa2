"""WGAN with weight clipping on 64x64 LSUN bedrooms (Arjovsky et al., section 4).

python -m wgan_jax.train --config configs/lsun_wgan.py --data.tfds-dir FOLDER
python scripts/reproduce.py lsun --full --tfds-dir FOLDER

This file is the table of the paper's networks; as a configuration it is the DCGAN pair.
Other images: --data.source folder --data.dir FOLDER.

531 GFLOP per step: 830 hours on two cores of an AMD EPYC, estimated at the measured
rate of cat_faces_1.py, 107 GFLOP/s; 9 hours on a GPU that sustains 10 TFLOP/s. The
paper's Fig. 3 reads, median-filtered, after 600,000 generator updates: about 0.12 with
the DCGAN generator, 0.37 with the MLP, and a constant 15 where both are MLPs at a high
learning rate. Figs. 5 to 7 are samples: no WGAN collapses, and the GAN fails without
BatchNorm and with an MLP.

As in the code: no biases in convolutions, three hidden layers and no tanh in the MLP,
100 critic updates in the first 25 steps and in each 500th. `constant` is the paper's
generator of Fig. 6; `no norm` is the code's --noBN, twelve times as large.
"""

from wgan_jax.config import Config, Data, Model, Objective, Optimizer, Run

DCGAN = {
    "z_dim": 100,
    "features": 64,
    "generator_widths": (8, 4, 2, 1),
    "critic_widths": (1, 2, 4, 8),
    "critic_norm": "batch",
    "bias": "none",
    "init": "dcgan",
}
MLP = {
    "kind": "mlp",
    "generator_widths": (8, 8, 8),
    "generator_norm": "none",
    "output": "linear",
    "bias": "all",
}
BEDROOMS = Data(
    source="tfds",
    name="lsun/bedroom",
    image_size=64,
    channels=3,
    resize="bilinear",
    batch_size=64,
)
# Fields of each pair of networks over those of DCGAN.
NETWORKS = {
    "dcgan": {},
    "constant": {"generator_widths": (1, 1, 1, 1), "generator_norm": "none"},
    "no norm": {"generator_norm": "none"},
    "mlp": MLP | {"critic_kind": "dcgan", "critic_bias": "none"},
    "mlp both": MLP
    | {"critic_widths": (8, 8, 8), "critic_norm": "none", "critic_activation": "relu"},
}
# The paper does not give the rates of the GAN, which are DCGAN's here.
OBJECTIVES = {
    "wgan": (
        Objective(constraint="clip", clip=0.01, n_critic=5, warmup=True),
        Optimizer(kind="rmsprop", critic_lr=5e-5, generator_lr=5e-5),
    ),
    "gan": (
        Objective(kind="gan", constraint="none", n_critic=1),
        Optimizer(critic_lr=2e-4, generator_lr=2e-4, beta1=0.5, beta2=0.999),
    ),
}
# The rate of the paper's failure is not given: "substantially high".
FAILING_RATE = 5e-3


def experiment(networks: str, objective: str) -> Config:
    """The configuration of a name of NETWORKS and one of OBJECTIVES."""
    losses, optimizer = OBJECTIVES[objective]
    if (networks, objective) == ("mlp both", "wgan"):
        rates = {"critic_lr": FAILING_RATE, "generator_lr": FAILING_RATE}
        optimizer = Optimizer(kind="rmsprop", **rates)
    return Config(
        data=BEDROOMS,
        model=Model(**(DCGAN | NETWORKS[networks])),
        objective=losses,
        optimizer=optimizer,
        run=Run(
            steps=600_000,
            chunk=100,
            log_every=100,
            sample_every=5000,
            checkpoint_every=5000,
        ),
    )


def get_config():
    return experiment("dcgan", "wgan")
