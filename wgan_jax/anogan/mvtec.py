"""Folders in the layout of MVTec AD (Bergmann et al. 2019).

ROOT/train/good/*                         normal images to train on
ROOT/test/good/*, ROOT/test/DEFECT/*      images to score
ROOT/ground_truth/DEFECT/NAME_mask.png    defects of ROOT/test/DEFECT/NAME.png
"""

import dataclasses
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from wgan_jax.config import Data
from wgan_jax.data.decoding import decode
from wgan_jax.errors import UserError

GOOD = "good"


class Masks(NamedTuple):
    """Defective pixels of n images."""

    pixels: np.ndarray
    """bool [n, height, width]."""
    known: np.ndarray
    """bool [n], False where an image with a defect has no mask."""

    def rows(self, which) -> "Masks":
        """Those of the images `which`."""
        return Masks(self.pixels[which], self.known[which])


def is_layout(root: Path) -> bool:
    """True for a folder with train/good and with folders in test."""
    test = root / "test"
    folders = [p for p in test.iterdir() if p.is_dir()] if test.is_dir() else []
    return bool(folders) and (root / "train" / GOOD).is_dir()


def defects(names: list[str]) -> np.ndarray:
    """The folder of each image of ROOT/test by its name DEFECT/NAME: str [n].

    Raises UserError for an image outside of a folder.
    """
    for name in names:
        if "/" not in name:
            raise UserError(
                f"test/{name} is in no folder: move it to test/{GOOD} or to the folder "
                "of its defect"
            )
    return np.array([name.partition("/")[0] for name in names])


def read_masks(root: Path, names: list[str], data_config: Data) -> Masks:
    """The masks of the images of ROOT/test by their names DEFECT/NAME.

    No pixel of a good image is defective. A mask is cropped and resized as its image,
    and a pixel is defective where the mask covers half of it or more. Raises UserError
    for a mask that cannot be read or is of another size than its image.
    """
    height, width = data_config.sample_shape[:2]
    masks = np.zeros((len(names), height, width), bool)
    known = np.zeros(len(names), bool)
    grey = dataclasses.replace(data_config, channels=1)
    for i, name in enumerate(names):
        defect, _, rest = name.partition("/")
        known[i] = defect == GOOD
        stem = Path(rest).with_suffix("")
        path = root / "ground_truth" / defect / f"{stem}_mask.png"
        if known[i] or not path.is_file():
            continue
        masks[i] = _read(path, root / "test" / name, grey)
        known[i] = True
    return Masks(masks, known)


def _read(path, image, data_config):
    try:
        with Image.open(path) as mask, Image.open(image) as original:
            sizes = mask.size, original.size
        pixels = decode(path, data_config, Counter())[..., 0]
    except Exception as error:
        raise UserError(f"the mask {path} cannot be read ({error})") from error
    if sizes[0] != sizes[1]:
        words = ["x".join(map(str, size)) for size in sizes]
        raise UserError(
            f"the mask {path} has {words[0]} pixels and its image {words[1]}: give "
            "them one size"
        )
    return pixels >= 128
