"""Two sets of images to compare, each a folder or an .npz file, exactly as they lie."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from rich.progress import track

from wgan_jax.data.dataset import Dataset
from wgan_jax.data.readers import SUFFIXES
from wgan_jax.data.sources import check_images
from wgan_jax.errors import UserError


def load_pair(images: str, reference: str) -> tuple[np.ndarray, Dataset]:
    """The images at one path and, as a `Dataset`, those at the other and their labels.

    A tenth of a labelled reference is held out. Nothing is resized: it would change
    the scores. Raises UserError for what cannot be read or has two shapes.
    """
    found, _ = _load(images, f"--images {images}")
    real, labels = _load(reference, f"--reference {reference}")
    for typed, array in ((f"--images {images}", found), ("--reference", real)):
        if len(array) < 10:
            raise UserError(f"{typed} has {len(array)} images: give 10 or more")
    if found.shape[1:] != real.shape[1:]:
        raise UserError(
            f"--images {images} has images {_shape(found)} and --reference {reference} "
            f"{_shape(real)}: bring both to one size and number of channels"
        )
    if labels is None:
        return found, Dataset(train=real, heldout=real[:0])
    order = np.random.default_rng(0).permutation(len(real))
    held, rest = order[: len(order) // 10], order[len(order) // 10 :]
    return found, Dataset(real[rest], real[held], labels[rest], labels[held])


def _shape(array):
    return "x".join(map(str, array.shape[1:]))


def _load(path, typed):
    path = Path(path)
    if path.is_dir():
        return _load_folder(path, typed), None
    if path.suffix == ".npz" and path.is_file():
        return _load_npz(path, typed)
    raise UserError(f"{typed} is neither a folder of images nor an .npz file")


def _load_folder(folder, typed):
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)
    if not files:
        raise UserError(
            f"{typed} has no image files: they must end in {' '.join(sorted(SUFFIXES))}"
        )
    rows = track(files, f"reading {folder}", transient=True)
    decoded = [_decode(path, typed) for path in rows]
    grey = all(image.mode == "L" for image in decoded)
    arrays = [np.asarray(i if grey else i.convert("RGB")) for i in decoded]
    for file, array in zip(files, arrays, strict=True):
        if array.shape != arrays[0].shape:
            raise UserError(
                f"{typed} has images of different sizes, {files[0].name} and "
                f"{file.name}: bring all to one size"
            )
    return np.stack(arrays)[..., None] if grey else np.stack(arrays)


def _decode(path, typed):
    try:
        with Image.open(path) as image:
            image = ImageOps.exif_transpose(image)
            return image.convert("L" if image.mode in ("1", "L") else "RGB")
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise UserError(
            f"{typed} has {path.name}, which cannot be read ({reason}): remove it"
        ) from error


def _load_npz(path, typed):
    try:
        # numpy leaves a file open that it opened itself and could not read.
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            name = "images" if "images" in file or len(file) != 1 else file.files[0]
            array = file[name]
            labels = file.get("labels")
    except Exception as error:
        raise UserError(f"{typed} is no .npz file with `images`: {error}") from error
    check_images(array, labels, f"{name} of {typed}", f"labels of {typed}")
    return (array[..., None] if array.ndim == 3 else array), labels
