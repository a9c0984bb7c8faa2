"""WGAN-GP at 64x64 on cat faces, model 1 of seed 002: 15 epochs, learning rate 1e-4.

python -m wgan_jax.train --config configs/cat_faces_1.py --data.dir FOLDER_OF_IMAGES

622 GFLOP per step: 5.8 seconds on two cores of an AMD EPYC, 12 hours in total; with
--model.features 16, one step per second on one core. Expect an estimate that falls from
about 20, eyes and ears after 1,000 steps, and faces after 2,000.

The seed updates the generator once per batch: 15 epochs of 493 batches of 32 (15,747
images) are 7,395 updates. Differences: each of the five critic updates uses a new real
batch and the generator new noise, where the seed uses one batch for all five, and the
last of their generated samples for the generator. BatchNorm scales are initialised
around 1; the seed initialises them around 0, which silences every layer at the start.

At 128x128 the seed has one more layer on each side:
--data.image-size 128
--model.generator-widths 32 16 8 4 2
--model.critic-widths 1 2 4 8 16
"""

from wgan_jax.config import Config, Data, Model, Objective, Optimizer, Run


def get_config():
    return Config(
        data=Data(
            source="folder",
            dir="data/cat_faces",
            image_size=64,
            channels=3,
            batch_size=32,
        ),
        model=Model(
            z_dim=100,
            features=64,
            generator_widths=(16, 8, 4, 2),
            critic_widths=(1, 2, 4, 8),
            critic_norm="instance",
            init="dcgan",
        ),
        objective=Objective(constraint="penalty", gp_weight=10.0, n_critic=5),
        optimizer=Optimizer(
            kind="adam", critic_lr=1e-4, generator_lr=1e-4, beta1=0.0, beta2=0.9
        ),
        run=Run(steps=7395),
    )
