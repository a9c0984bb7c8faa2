"""Pictures as data URIs: grids with transparent gaps, small enough for a page."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from wgan_jax import pictures
from wgan_jax.config import Config

MOST_FRAMES = 24
"""Grids of a slider, chosen evenly from those of the run."""
FRAMES_BYTES = 2_500_000
"""Size of all frames of a slider, as files."""
LOSSLESS_PIXELS = 3_000_000
"""Pixels of a set of pictures up to which none of them loses detail."""
PLOT = 512
"""Side of a scatter plot of `pictures.scatter`."""


def data_uri(picture: Image.Image, lossless: bool = True) -> str:
    """A picture as the data URI of a WebP file."""
    file = io.BytesIO()
    picture.save(file, "WEBP", lossless=lossless, quality=50 if lossless else 82)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()


def grid(images: np.ndarray, columns: int = 0) -> Image.Image:
    """uint8 images [n, h, w, c] as one picture whose gaps are transparent."""
    return _clear_gaps(
        Image.fromarray(_rgb(pictures.grid(images, columns))), *images.shape[1:3]
    )


def saved_grid(path: Path, config: Config | None) -> Image.Image | None:
    """A picture of samples/ without its caption; None where it cannot be read."""
    try:
        picture = Image.open(path).convert("RGB")
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError):
        return None
    if config is None:
        return picture
    if config.data.is_points:
        # The plot and the line with its limits.
        return picture.crop((0, 0, picture.width, min(picture.height, PLOT + 42)))
    height, width = config.data.sample_shape[:2]
    columns = int(np.ceil(np.sqrt(config.run.grid_size)))
    rows = -(-config.run.grid_size // columns)
    size = columns * (width + 2) + 2, rows * (height + 2) + 2
    left = (picture.width - size[0]) // 2
    if left < 0 or picture.height < size[1]:
        return picture
    picture = picture.crop((left, 0, left + size[0], size[1]))
    return _clear_gaps(picture, height, width)


def frames(paths: dict[int, Path], config: Config | None) -> dict[int, str]:
    """{step: data URI} of at most `MOST_FRAMES` pictures, the newest among them."""
    steps = sorted(paths)
    while steps:
        places = np.linspace(0, len(steps) - 1, min(MOST_FRAMES, len(steps)))
        steps = [steps[i] for i in np.unique(places.round().astype(int))]
        opened = {step: saved_grid(paths[step], config) for step in steps}
        found = {step: p for step, p in opened.items() if p is not None}
        pixels = sum(p.width * p.height for p in found.values())
        uris = {s: data_uri(p, pixels < LOSSLESS_PIXELS) for s, p in found.items()}
        if sum(map(len, uris.values())) <= FRAMES_BYTES or len(steps) == 1:
            return uris
        steps = [*steps[:-1:2], steps[-1]]
    return {}


def strip(images: Sequence[np.ndarray]) -> list[str]:
    """A data URI of each uint8 image [h, w, c]."""
    return [data_uri(Image.fromarray(_rgb(image))) for image in images]


def _rgb(image):
    return np.repeat(image, 3, -1) if image.shape[-1] == 1 else image


def _clear_gaps(picture, height, width):
    """Makes the gaps between the images of a `pictures.grid` transparent."""
    x, y = np.arange(picture.width), np.arange(picture.height)
    inside = np.outer(y % (height + 2) >= 2, x % (width + 2) >= 2)
    alpha = Image.fromarray(np.where(inside, 255, 0).astype(np.uint8))
    picture = picture.convert("RGB")
    picture.putalpha(alpha)
    # Without the gap at the four edges.
    return picture.crop((2, 2, picture.width - 2, picture.height - 2))
