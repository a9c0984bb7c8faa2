"""WGAN-GP in the plane: 25 Gaussians on a lattice, constants as in the paper's code.

python -m wgan_jax.train --config configs/toy_25gaussians.py

Time as toy_8gaussians.py, with points on all 25 modes later than there. Otherwise the
same.
"""

import dataclasses

from configs import toy_8gaussians


def get_config():
    base = toy_8gaussians.get_config()
    data = dataclasses.replace(base.data, source="25gaussians")
    return dataclasses.replace(base, data=data)
