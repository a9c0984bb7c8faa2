"""WGAN-GP on CIFAR-10 with the ResNet pair of Table 3, no labels (Gulrajani et al.).

python -m wgan_jax.train --config configs/cifar10_resnet.py

Meant for a GPU: 100,000 generator updates to an Inception score of 7.86 +- 0.07 in the
paper, measured by `python -m wgan_jax.evaluate RUN --metrics is --batch-stats`. They
take 40 minutes on one H100 with --run.precision tensorfloat32, at the measured 41.5
updates per second. On a CPU use --model.features 16 and fewer steps.

As in the paper's code: 128 generated samples per generator update, dequantised images,
learning rates that fall linearly to zero, tflib's uniform initialisation, BatchNorm
over halves of a batch as on its two GPUs. Differences: the generator is updated after
its critic updates, not before them; a 1x1 shortcut and its change of size are computed
in the cheaper order, with equal results.
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
            dequantize=True,
            batch_size=64,
        ),
        model=Model(
            kind="resnet",
            z_dim=128,
            features=128,
            generator_widths=(1, 1, 1),
            critic_widths=(1, 1, 1, 1),
            critic_halvings=2,
            kernel=3,
            norm_groups=2,
            critic_activation="relu",
            bias="all",
            init="tflib",
        ),
        objective=Objective(
            constraint="penalty", gp_weight=10.0, n_critic=5, generator_batch=128
        ),
        optimizer=Optimizer(
            kind="adam",
            critic_lr=2e-4,
            generator_lr=2e-4,
            beta1=0.0,
            beta2=0.9,
            decay="linear",
        ),
        run=Run(
            steps=100_000,
            chunk=100,
            log_every=100,
            sample_every=5000,
            checkpoint_every=5000,
        ),
    )
