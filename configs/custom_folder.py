"""A template for your images: copy it, change it, and train.

python -m wgan_jax.train --config configs/custom_folder.py --data.dir FOLDER

240 GFLOP per step: 2.5 seconds on two cores of an AMD EPYC, 7 hours in total. Expect
the estimate to rise while the critic learns, then to fall as long as samples improve.

Every field has a default and a help text: python -m wgan_jax.train --help lists them.
Try --dry-run first: it prints both networks and their cost without training.
"""

from wgan_jax.config import Config, Data, Model, Objective, Optimizer, Run


def get_config():
    return Config(
        data=Data(
            # A folder tree of image files, or source="npz" with dir="images.npz", or
            # source="array_record" with the output of `wgan_jax.prepare pack`.
            source="folder",
            dir="data/my_images",
            # Images are centre-cropped to a square and resized to this size.
            image_size=64,
            # 1 for grey, 3 for colour.
            channels=3,
            # Grey level under transparent pixels: 255 is white.
            background=255,
            batch_size=64,
            # Images held out to see whether the critic overfits: a tenth at most.
            heldout=200,
        ),
        model=Model(
            # Base width. 64, the papers' width, needs a GPU; 16 trains on a CPU.
            features=32,
            # One entry per halving of the image, so 64 = 4 * 2^4. For 32x32 use
            # (4, 2, 1) and (1, 2, 4); for 128x128 (16, 8, 4, 2, 1) and its reverse.
            generator_widths=(8, 4, 2, 1),
            critic_widths=(1, 2, 4, 8),
            # With a penalty, layer or instance norm, never batch norm.
            critic_norm="instance",
            init="dcgan",
        ),
        objective=Objective(constraint="penalty", n_critic=5),
        optimizer=Optimizer(
            kind="adam",
            critic_lr=1e-4,
            generator_lr=1e-4,
            # Samples come from averaged weights, which are smoother; 0 disables it.
            ema_decay=0.999,
        ),
        run=Run(
            # Generator updates. 10,000 suffice for a simple data set.
            steps=10000,
            # Steps per compiled call; the intervals below are multiples of it.
            chunk=25,
            log_every=25,
            sample_every=250,
            checkpoint_every=250,
        ),
    )
