"""Weight clipping with fully connected networks on Fashion-MNIST (seed 000).

python -m wgan_jax.train --config configs/fashion_mnist_mlp.py

About 20 minutes on two cores of an AMD EPYC, 160 critic updates per second. Expect the
held-out estimate to fall from 1.2 to below 0.05, and recognisable shirts, trousers,
shoes and bags, as blurred as fully connected networks make them.

The seed trains 200 epochs of 938 batches and updates the generator at every 25th, from
the first: 38 updates per epoch, 7,600 in total, with 190,000 critic updates.
Differences: noise and real batch are new in every update, and all 25 critic updates
come before the first generator update. As in the seed, BatchNorm has epsilon 0.8, the
value of Keras's momentum in the wrong argument, and 28x28 images are resized to 32x32.
"""

from wgan_jax.config import Config, Data, Model, Objective, Optimizer, Run


def get_config():
    return Config(
        data=Data(
            source="tfds",
            name="fashion_mnist",
            test_split="test",
            image_size=32,
            resize="bilinear",
            batch_size=64,
        ),
        model=Model(
            kind="mlp",
            z_dim=100,
            features=128,
            generator_widths=(1, 2, 4, 8),
            critic_widths=(4, 2),
            norm_epsilon=0.8,
            generator_activation="leaky_relu",
            bias="all",
        ),
        objective=Objective(constraint="clip", clip=0.005, n_critic=25),
        optimizer=Optimizer(kind="rmsprop", critic_lr=5e-5, generator_lr=5e-5),
        run=Run(steps=7600, log_every=50, sample_every=500, checkpoint_every=500),
    )
