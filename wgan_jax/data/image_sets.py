"""Two sets of images to compare at their own size: folders, .npz or .npy files."""

from collections import Counter
from pathlib import Path

import numpy as np

from wgan_jax.config import Data
from wgan_jax.data.content import content_order
from wgan_jax.data.dataset import Dataset
from wgan_jax.data.decoding import view
from wgan_jax.data.image_files import image_files
from wgan_jax.data.memory import in_threads, print_remarks
from wgan_jax.data.readers import UnreadableSample
from wgan_jax.data.sources.arrays import check_images
from wgan_jax.data.sources.npz import read_npz
from wgan_jax.errors import UserError


def load_pair(images: str, reference: str) -> tuple[np.ndarray, Dataset]:
    """The images at one path and, as a `Dataset`, the labelled ones at the other.

    A tenth of a labelled reference is held out. Nothing is resized, because that would
    change the scores. Raises UserError where a set cannot be read, has fewer than 10
    images, or where their shapes differ.
    """
    compared, _ = _load(images, f"--images {images}")
    real, labels = _load(reference, f"--reference {reference}")
    for option, array in ((f"--images {images}", compared), ("--reference", real)):
        if len(array) < 10:
            raise UserError(f"{option} has {len(array)} images: give 10 or more")
    if compared.shape[1:] != real.shape[1:]:
        raise UserError(
            f"--images {images} has images {_shape(compared)} and --reference "
            f"{reference} {_shape(real)}: bring both to one size and number of channels"
        )
    if labels is None:
        return compared, Dataset(train=real, heldout=real[:0])
    order = content_order(real, labels=labels)
    heldout, rest = order[: len(order) // 10], order[len(order) // 10 :]
    return compared, Dataset(real[rest], real[heldout], labels[rest], labels[heldout])


def _shape(array):
    return "x".join(map(str, array.shape[1:]))


def _load(path, option):
    """(uint8 images [n, h, w, 1 or 3], labels or None); option: as the user typed."""
    path = Path(path)
    if path.is_dir():
        return _load_folder(path, option), None
    if path.suffix in (".npz", ".npy") and path.is_file():
        asked, remedy = "the array `images`", "rename one of them"
        _, images, labels, _ = read_npz(
            path, "", where=option, asked=asked, remedy=remedy
        )
        images = check_images(images, f"the array of {option}")
        print_remarks((), Counter(), len(images), images.max(initial=0))
        return images, labels
    raise UserError(f"{option} is neither a folder of images nor an .npz file")


def _load_folder(folder, option):
    def decode(path):
        notes = Counter()
        try:
            return view(path, Data.background, notes), notes
        except Exception as error:
            name = f"{option} has {path.name}, which"
            raise UnreadableSample.because(error, name, "remove it") from error

    files, skipped = image_files(folder, f"{option.split()[0]} ")
    decoded, notes = [], Counter()
    for image, found in list(in_threads(decode, files, "reading images")):
        if decoded and image.size != decoded[0].size:
            raise UserError(
                f"{option} has images of different sizes, {files[0].name} and "
                f"{files[len(decoded)].name}: bring all to one size"
            )
        decoded.append(image)
        notes += found
    grey = all(image.mode == "L" for image in decoded)
    mode = "L" if grey else "RGB"
    images = np.stack([np.asarray(image.convert(mode)) for image in decoded])
    print_remarks(skipped.line(), notes, len(images), images.max(initial=0))
    return images[..., None] if grey else images
