"""WGAN-GP on CIFAR-10 with the DCGAN pair of Fig. 3, Adam (Gulrajani et al.).

python -m wgan_jax.train --config configs/cifar10_dcgan_gp_adam.py

The curve "WGAN-GP (Adam)" of that figure: 200,000 generator updates to an Inception
score of about 6, meant for a GPU. On a CPU use --model.features 32 and fewer steps. The
other three curves are the other cifar10_dcgan configurations.

As in the paper's code: a dense first layer with a norm per unit, 5x5 kernels padded as
TensorFlow's SAME, tflib's uniform initialisation. Differences: the generator is updated
after its critic updates, not before them; generated samples are new in each critic
update.
"""

from wgan_jax.config import Config, Data, Model, Objective, Optimizer, Run


def get_config():
    return Config(
        data=Data(
            source="tfds",
            name="cifar10",
            test_split="test",
            image_size=32,
            channels=3,
            batch_size=64,
        ),
        model=Model(
            z_dim=128,
            features=128,
            generator_widths=(4, 2, 1),
            critic_widths=(1, 2, 4),
            kernel=5,
            padding="same",
            ends="dense",
            bias="all",
            init="tflib",
        ),
        objective=Objective(constraint="penalty", gp_weight=10.0, n_critic=5),
        optimizer=Optimizer(
            kind="adam", critic_lr=1e-4, generator_lr=1e-4, beta1=0.5, beta2=0.9
        ),
        run=Run(
            steps=200_000,
            chunk=100,
            log_every=100,
            sample_every=5000,
            checkpoint_every=5000,
        ),
    )
