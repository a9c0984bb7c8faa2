"""WGAN-GP at 64x64 on cat faces, model 3 of seed 002: 30 epochs.

python -m wgan_jax.train --config configs/cat_faces_3.py --data.dir FOLDER_OF_IMAGES

Twice the 7,395 updates and the time of cat_faces_1.py, with the same differences. The
seed's report finds this model the best.
"""

import dataclasses

from configs import cat_faces_1


def get_config():
    base = cat_faces_1.get_config()
    run = dataclasses.replace(base.run, steps=14790)
    return dataclasses.replace(base, run=run)
