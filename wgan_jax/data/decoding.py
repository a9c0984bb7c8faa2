"""Image files and encoded images to pixels. Free of JAX, as `readers`."""

import io
import math
import re
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from wgan_jax.config import Data
from wgan_jax.errors import UserError

# Header of a binary PGM (5) or PPM (6) with 256 levels, as most programs write it.
PLAIN = re.compile(rb"P([56])\s+(\d+)\s+(\d+)\s+255\s")
SUFFIXES = (
    ".bmp",
    ".gif",
    ".jpeg",
    ".jpg",
    ".pgm",
    ".png",
    ".ppm",
    ".tif",
    ".tiff",
    ".webp",
)


def image_files(folder: Path, option: str = "data.dir=") -> list[Path]:
    """Image files of a folder, at any depth, sorted. Raises UserError without any.

    option: prefix of the folder in messages, as the user typed it.
    """
    if not folder.is_dir():
        raise UserError(f"{option}{folder} is not a folder")
    files = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    files = sorted(path for path in files if path.is_file())
    if not files:
        raise UserError(
            f"{option}{folder} has no image files: it must hold files ending in "
            f"{' '.join(SUFFIXES)}, at any depth"
        )
    return files


def stamps(folder: Path, files: list[Path]) -> str:
    """Names, sizes and modification times of files, as the identity of a reader."""
    stats = [(path.relative_to(folder), path.stat()) for path in files]
    lines = [f"{name} {stat.st_size} {stat.st_mtime_ns}" for name, stat in stats]
    return "\n".join([str(folder.resolve()), *lines])


def decode(file: Path | bytes, data: Data) -> np.ndarray:
    """Pixels of an image file or encoded image, turned by its EXIF tag and fitted.

    Returns uint8 [image_size, image_size, channels].
    """
    if isinstance(file, bytes):
        pixels = plain_pixels(file, data)
        if pixels is not None:
            return pixels
    with Image.open(io.BytesIO(file) if isinstance(file, bytes) else file) as image:
        return fit(ImageOps.exif_transpose(image), data)


def plain_pixels(encoded: bytes, data: Data) -> np.ndarray | None:
    """Pixels of a binary PGM or PPM of the right size; None for everything else.

    Equal to Pillow's pixels, in a tenth of the time.
    """
    header = PLAIN.match(encoded)
    if not header:
        return None
    kind, width, height = map(int, header.groups())
    shape = height, width, 1 if kind == 5 else 3
    if shape != data.sample_shape or len(encoded) - header.end() != math.prod(shape):
        return None
    return np.frombuffer(encoded, np.uint8, offset=header.end()).reshape(shape)


def fit(image: Image.Image, data: Data) -> np.ndarray:
    """A Pillow image as uint8 [image_size, image_size, channels]."""
    if image.mode.startswith("I;16"):
        # Pillow would clip its 65,536 grey levels at 255.
        image = Image.fromarray(np.round(np.asarray(image) / 257).astype(np.uint8))
    image = image.convert("L" if data.channels == 1 else "RGB")
    size = (data.image_size, data.image_size)
    if image.size != size:
        method = Image.Resampling[data.resize.upper()]
        image = ImageOps.fit(image, size, method=method)
    return np.asarray(image).reshape(data.sample_shape)


def stack(images: list, data: Data) -> np.ndarray:
    """Fitted images as one uint8 [n, image_size, image_size, channels]."""
    return np.stack(images) if images else np.zeros((0, *data.sample_shape), np.uint8)


def fit_arrays(images: np.ndarray, data: Data) -> np.ndarray:
    """uint8 [n, height, width, 1 or 3] as uint8 [n, image_size, image_size, channels].

    Images that have this shape are returned unchanged.
    """
    if images.shape[1:] == data.sample_shape:
        return images
    if images.shape[3] == 1:
        images = images[..., 0]
    return stack([fit(Image.fromarray(image), data) for image in images], data)
