"""WGAN-GP in the plane: eight Gaussians on a circle, constants as in the paper's code.

python -m wgan_jax.train --config configs/toy_8gaussians.py

7 to 9 minutes on two cores of an AMD EPYC under other load, at most 46 steps per
second. Expect points on all eight modes after 2,000 steps and at the end hardly any
between them: an exact W1 to the truth at the sampling floor.

Three hidden layers of 128 ReLUs in each network, batch 256, lambda 0.1 as in the
paper's gan_toy.py. With lambda 10, as in the paper's text, the distances soon fall far
below 2 lambda = 20, the critic's slope is hardly more than 1, and the last filaments
between the modes take several times as long. Each batch has new points. gan_toy.py has
512 units, a constant learning rate of 1e-4 and 100,000 steps:
--model.features 512 --optimizer.critic-lr 1e-4 --optimizer.generator-lr 1e-4
--optimizer.decay constant --optimizer.ema-decay 0 --run.steps 100000.
"""

from wgan_jax.config import Config, Data, Model, Objective, Optimizer, Run


def get_config():
    return Config(
        data=Data(source="8gaussians", batch_size=256, heldout=2048),
        model=Model(
            kind="mlp",
            z_dim=2,
            features=128,
            generator_widths=(1, 1, 1),
            critic_widths=(1, 1, 1),
            generator_norm="none",
            critic_activation="relu",
            output="linear",
        ),
        objective=Objective(constraint="penalty", gp_weight=0.1, n_critic=5),
        optimizer=Optimizer(
            kind="adam",
            critic_lr=1e-3,
            generator_lr=1e-3,
            beta1=0.5,
            beta2=0.9,
            decay="linear",
            ema_decay=0.999,
        ),
        run=Run(steps=10000, log_every=100, sample_every=1000, checkpoint_every=1000),
    )
