"""Differences of images from their reconstructions, pixel by pixel."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
from sklearn import metrics

from wgan_jax import pictures
from wgan_jax.anogan.images import Images
from wgan_jax.anogan.mvtec import Masks
from wgan_jax.config import Data
from wgan_jax.errors import UserError

BATCH = 100
# Size to which a small image is enlarged.
SIZE = 96


def reconstruct(generate, z, scale: str) -> np.ndarray:
    """uint8 [n, h, w, c]: the generator's images of latent points [n, z_dim].

    scale: see `data.scale`.
    """
    parts = []
    for start in range(0, len(z), BATCH):
        # Padded: one shape is compiled once.
        rows = np.zeros((min(BATCH, len(z)), z.shape[1]), z.dtype)
        part = z[start : start + BATCH]
        rows[: len(part)] = part
        fake = pictures.to_uint8(generate(jnp.asarray(rows)), scale)
        parts.append(fake[: len(part)])
    return np.concatenate(parts)


def differences(samples, fake) -> np.ndarray:
    """float32 [n, h, w] in [0, 1]: |image - reconstruction|, mean over channels."""
    off = np.abs(samples.astype(np.int16) - fake)
    return off.mean(-1, dtype=np.float32) / 255


def pixel_auroc(maps, masks: Masks, which) -> float | None:
    """Area under the ROC curve of the pixels of the images `which`, bool [n].

    maps: differences [n, h, w]. Images whose defective pixels are not known are left
    out. None where no pixel or every pixel is defective.
    """
    rows = masks.known & which
    truth = masks.pixels[rows].ravel()
    if not truth.any() or truth.all():
        return None
    return float(metrics.roc_auc_score(truth, maps[rows].ravel()))


def names(images: Images) -> list[str]:
    """Name of the PNG file of each image: that of its file, or its index.

    Raises UserError where two are the same.
    """
    if images.names is None:
        width = len(str(images.indices.max()))
        return [f"{index:0{width}}.png" for index in images.indices]
    files = [n if Path(n).suffix == ".png" else f"{n}.png" for n in images.names]
    if len(set(files)) < len(files):
        twice = next(name for name in files if files.count(name) > 1)
        raise UserError(
            f"--heat-maps has one name, {twice}, for two images: rename one of them"
        )
    return files


def write_heat_maps(
    folder: Path,
    data_config: Data,
    images: Images,
    fake: np.ndarray,
    maps: np.ndarray,
    captions: list[str],
) -> None:
    """A PNG for each image: image, reconstruction and heat map of their difference.

    One colour scale for all: the largest of 99.9 % of the differences is white. Where
    the defective pixels are known, their outline is green.
    """
    top = float(np.quantile(maps, 0.999)) or 1.0
    for i, name in enumerate(names(images)):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cells = panels(images.samples[i : i + 1], fake[i : i + 1], maps[i : i + 1], top)
        repeat = max(1, SIZE // max(data_config.height_and_width))
        cells = cells.repeat(repeat, 1).repeat(repeat, 2)
        if images.masks is not None:
            mask = images.masks.pixels[i].repeat(repeat, 0).repeat(repeat, 1)
            cells[:, _outline(mask)] = (0, 200, 0)
        picture = pictures.caption(pictures.grid(cells, 3), captions[i])
        pictures.save_png(path, picture)


def panels(samples, fake, maps, top: float) -> np.ndarray:
    """uint8 [3 n, h, w, 3]: images, reconstructions, and heat maps up to `top`."""
    colour = [np.broadcast_to(v, (*v.shape[:3], 3)) for v in (samples, fake)]
    return np.concatenate([*colour, pictures.heat(maps / top)])


def _outline(mask):
    """Pixels just outside of a region, bool [h, w]."""
    wide = np.pad(mask, 1)
    near = wide[2:, 1:-1] | wide[:-2, 1:-1] | wide[1:-1, 2:] | wide[1:-1, :-2]
    return near & ~mask
