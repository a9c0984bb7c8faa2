"""WGAN-GP in the plane: a Swiss roll, constants as in the paper's code.

python -m wgan_jax.train --config configs/toy_swiss_roll.py

Time and networks are those of toy_8gaussians.py. Expect points along the whole roll.
"""

import dataclasses

from configs import toy_8gaussians


def get_config():
    base = toy_8gaussians.get_config()
    data = dataclasses.replace(base.data, source="swiss_roll")
    return dataclasses.replace(base, data=data)
