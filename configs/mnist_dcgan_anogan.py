"""The WGAN of AnoGAN: weight clipping, a DCGAN pair on 28x28 MNIST (seed 003).

python -m wgan_jax.train --config configs/mnist_dcgan_anogan.py

35 GFLOP per step: 2.7 steps per second on two cores of an AMD EPYC, two hours in total.
Expect a falling estimate.

The seed shows its networks as pictures, without widths or learning rates, and states
that both have BatchNorm. Chosen here: the DCGAN pyramid from 7x7 at base width 64, and
clip, optimizer and number of critic updates of the WGAN paper.
"""

from wgan_jax.config import Config, Data, Model, Objective, Optimizer, Run


def get_config():
    return Config(
        data=Data(
            source="tfds",
            name="mnist",
            test_split="test",
            image_size=28,
            batch_size=64,
        ),
        model=Model(
            z_dim=100,
            features=64,
            generator_widths=(2, 1),
            critic_widths=(1, 2),
            critic_norm="batch",
            bias="none",
            init="dcgan",
        ),
        objective=Objective(constraint="clip", clip=0.01, n_critic=5),
        optimizer=Optimizer(kind="rmsprop", critic_lr=5e-5, generator_lr=5e-5),
        run=Run(steps=20000, log_every=50, sample_every=500, checkpoint_every=500),
    )
