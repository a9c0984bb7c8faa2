"""WGAN-GP on the MNIST digits that count as normal, for scoring those that do not.

python -m wgan_jax.train --config configs/mnist_anomaly.py --data.classes 1
python -m wgan_jax.anomaly runs/mnist_anomaly --normal-class 1

The nets and rates of the quick start at 32x32, sized for a CPU. Expect digits that can
be told apart from step 1,000 on.
"""

from wgan_jax.config import Config, Data, Model, Objective, Optimizer, Run


def get_config():
    return Config(
        data=Data(
            source="tfds",
            name="mnist",
            test_split="test",
            classes=(1,),
            image_size=32,
            batch_size=64,
        ),
        model=Model(
            z_dim=64,
            features=24,
            generator_widths=(4, 2, 1),
            critic_widths=(1, 2, 4),
        ),
        objective=Objective(constraint="penalty", gp_weight=10.0, n_critic=3),
        optimizer=Optimizer(
            kind="adam",
            critic_lr=5e-4,
            generator_lr=5e-4,
            decay="linear",
            average=0.99,
        ),
        run=Run(steps=3000, log_every=50, sample_every=500, checkpoint_every=500),
    )
