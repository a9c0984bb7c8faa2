"""WGAN-GP in the plane: 25 Gaussians on a lattice, constants as in the paper's code.

python -m wgan_jax.train --config configs/toy_25gaussians.py

Time and networks are those of toy_8gaussians.py. Expect points on all 25 modes after
3,000 steps, and at the end an exact W1 to the truth of 1.2 times the sampling floor
(3 seeds, 2,000 points) and 94 % of the points within three standard deviations of a
mode.
"""

import dataclasses

from configs import toy_8gaussians


def get_config():
    base = toy_8gaussians.get_config()
    data = dataclasses.replace(base.data, source="25gaussians")
    return dataclasses.replace(base, data=data)
