"""Weight clipping with convolutional networks and BatchNorm on MNIST (seed 001).

python -m wgan_jax.train --config configs/mnist_dcgan.py

2,770 GFLOP per step, meant for a GPU: 20 seconds on two cores of an AMD EPYC, 16 hours
in total; on a CPU use --model.features 64, a tenth of that. Expect a falling estimate,
which clipping makes small.

The seed trains 30 epochs of 469 batches of 128 and updates the generator at every 5th,
from the first: 94 updates per epoch, 2,820 in total. Differences: noise and real batch
are new in every update, and the five critic updates come before the generator's.
"""

from wgan_jax.config import Config, Data, Model, Objective, Optimizer, Run


def get_config():
    return Config(
        data=Data(
            source="tfds",
            name="mnist",
            test_split="test",
            image_size=32,
            resize="bilinear",
            batch_size=128,
        ),
        model=Model(
            z_dim=100,
            features=256,
            generator_widths=(4, 2, 1),
            critic_widths=(1, 2, 4),
            critic_norm="batch",
            bias="all",
        ),
        objective=Objective(constraint="clip", clip=0.005, n_critic=5),
        optimizer=Optimizer(kind="rmsprop", critic_lr=5e-5, generator_lr=5e-5),
        run=Run(
            steps=2820, chunk=10, log_every=10, sample_every=100, checkpoint_every=100
        ),
    )
