"""Real samples: from their sources to uint8 arrays, and from those to batches.

Images are decoded once, on the host, to one uint8 array that stays on the device.
Batches are a function of (key, index), so that a resumed run needs no position in the
data: an epoch is a keyed bijection of the image numbers, computed where it is used.
"""

import concurrent.futures
import contextlib
import dataclasses
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image, ImageOps
from rich.progress import track

from wgan_jax import tfds_source
from wgan_jax.config import Data, UserError

SUFFIXES = {
    *(".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
}


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Samples in memory."""

    train: np.ndarray
    """uint8 [n, height, width, channels] or float32 vectors [n, d]; empty for a toy,
    which is drawn endlessly."""
    heldout: np.ndarray
    """Samples never trained on: like train, or float32 [n, 2] for a toy."""


def load(data: Data, report: Callable[[str], None] = print) -> Dataset:
    """The samples that `data` describes; `report` is told of what takes long or fails.

    Raises UserError where they are missing, unreadable, or fewer than a batch.
    """
    if data.is_toy:
        points = toy_sample(data.source, jax.random.key(0), data.heldout)
        return Dataset(train=np.zeros((0, 2), np.uint8), heldout=np.asarray(points))
    loaders = {
        "digits": _load_digits,
        "npz": _load_npz,
        "vectors": _load_vectors,
        "folder": _load_folder,
        "tfds": _load_tfds,
    }
    train, test = loaders[data.source](data, report)
    # Fixed, so that runs with different seeds hold back the same images.
    order = np.random.default_rng(0)
    if test is None:
        shuffled = order.permutation(len(train))
        keep = len(train) - data.heldout
        test, train = train[shuffled[max(keep, 0) :]], train[shuffled[: max(keep, 0)]]
    else:
        test = test[order.permutation(len(test))[: data.heldout]]
    if len(train) < data.batch_size:
        what = "vectors" if data.is_points else "images"
        raise UserError(
            f"data.batch_size={data.batch_size} is larger than the {len(train)} {what} "
            f"left to train on beside data.heldout={data.heldout}: lower one of them"
        )
    return Dataset(train=train, heldout=test)


# ------------------------------------------------------------------------------ batches


def make_draw(data: Data, count: int) -> Callable:
    """draw(samples, key, index) -> the batch number `index`, float32 [batch, ...].

    samples: `Dataset.train` [count, ...]. Each epoch of count // batch_size batches
    visits a sample at most once, in a new order; the remainder of an epoch is left out.
    """
    if data.is_toy:

        def draw_points(samples, key, index):
            key = jax.random.fold_in(key, index)
            return toy_sample(data.source, key, data.batch_size)

        return draw_points

    batches = count // data.batch_size

    def draw(samples, key, index):
        key_order, key_noise = jax.random.split(key)
        position = index % batches * data.batch_size + jnp.arange(data.batch_size)
        key_order = jax.random.fold_in(key_order, index // batches)
        images = samples[permute(position, count, key_order)]
        return to_float(images, data, jax.random.fold_in(key_noise, index))

    return draw


def permute(position, count: int, key):
    """Where `position` (integers in [0, count)) goes in a permutation drawn by `key`.

    The swap-or-not shuffle (Hoang, Morris & Rogaway 2012): in each round a number and
    its mirror image about a random point change places, or not, by a hash of the
    larger. A bijection of any count, in constant memory, one element at a time.
    """
    rounds = 40
    pivots, salts = jax.random.bits(key, (2, rounds), jnp.uint32)
    x, n = position.astype(jnp.uint32), jnp.uint32(count)
    for pivot, salt in zip(pivots % n, salts, strict=True):
        mirror = (pivot + n - x) % n
        h = (jnp.maximum(x, mirror) ^ salt) * jnp.uint32(0x9E3779B1)
        # The finaliser of MurmurHash3: every input bit reaches the bit that is used.
        h = (h ^ (h >> 16)) * jnp.uint32(0x85EBCA6B)
        h = (h ^ (h >> 13)) * jnp.uint32(0xC2B2AE35)
        x = jnp.where(h >> 31, mirror, x)
    return x.astype(jnp.int32)


def to_float(images, data: Data, key):
    """uint8 images to float32 in the range of data.scale; points pass through.

    With data.dequantize, (x + u) / 256 for u ~ U[0, 1) by `key` replaces x / 255.
    """
    if data.is_points:
        return images
    x = images.astype(jnp.float32)
    noise = jax.random.uniform(key, x.shape) if data.dequantize else 0.0
    x = (x + noise) / (256 if data.dequantize else 255)
    return 2 * x - 1 if data.scale == "symmetric" else x


def toy_sample(name: str, key, count: int):
    """Points [count, 2] of a toy distribution, constants as in WGAN-GP's gan_toy.py."""
    key_place, key_noise = jax.random.split(key)
    noise = jax.random.normal(key_noise, (count, 2))
    if name == "8gaussians":
        # Radius 2, deviation 0.02, then all divided by 1.414.
        angle = jnp.pi / 4 * jax.random.randint(key_place, (count,), 0, 8)
        centre = 2 * jnp.stack([jnp.cos(angle), jnp.sin(angle)], 1)
        return (centre + 0.02 * noise) / 1.414
    if name == "25gaussians":
        # A 5 x 5 lattice of spacing 2, deviation 0.05, then all divided by 2.828.
        centre = 2.0 * jax.random.randint(key_place, (count, 2), -2, 3)
        return (centre + 0.05 * noise) / 2.828
    # scikit-learn's make_swiss_roll(noise=0.25), axes 0 and 2, divided by 7.5.
    t = 1.5 * jnp.pi * (1 + 2 * jax.random.uniform(key_place, (count,)))
    roll = jnp.stack([t * jnp.cos(t), t * jnp.sin(t)], 1)
    return (roll + 0.25 * noise) / 7.5


# ------------------------------------------------------------------------------ sources


def _load_digits(data, report):
    from sklearn.datasets import load_digits

    # Grey levels 0 to 16.
    scans = np.round(load_digits().images * (255 / 16)).astype(np.uint8)
    return _fit_all((Image.fromarray(scan) for scan in scans), data), None


def _load_npz(data, report):
    path, name, images = _read_npz(data)
    shape_fits = images.ndim == 3 or (images.ndim == 4 and images.shape[3] in (1, 3))
    if not shape_fits or images.dtype != np.uint8:
        raise UserError(
            f"array {name!r} of data.dir={path} is {images.dtype}{list(images.shape)}: "
            "it must be uint8 [n, height, width] or [n, height, width, 1 or 3]"
        )
    if images.ndim == 4 and images.shape[1:] == data.sample_shape:
        return images, None
    if images.ndim == 4 and images.shape[3] == 1:
        images = images[..., 0]
    images = track(images, "resizing", transient=True, disable=len(images) < 5000)
    return _fit_all((Image.fromarray(image) for image in images), data), None


def _load_vectors(data, report):
    path, name, vectors = _read_npz(data)
    what = f"array {name!r} of data.dir={path}"
    if vectors.ndim != 2 or vectors.dtype.kind != "f":
        raise UserError(
            f"{what} is {vectors.dtype}{list(vectors.shape)}: it must be floating "
            "point [n, data.dimensions]"
        )
    if vectors.shape[1] != data.dimensions:
        raise UserError(
            f"data.dimensions={data.dimensions} does not fit {what}, whose vectors "
            f"have {vectors.shape[1]} numbers: take --data.dimensions "
            f"{vectors.shape[1]}"
        )
    vectors = vectors.astype(np.float32)
    if not np.isfinite(vectors).all():
        raise UserError(f"{what} has numbers that are not finite: leave them out")
    return vectors, None


def _read_npz(data):
    path = Path(data.dir)
    try:
        # numpy leaves a file open that it opened itself and could not read.
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            name = data.array or ("images" if "images" in file else "")
            if not name and len(file.files) == 1:
                name = file.files[0]
            if name not in file:
                raise UserError(
                    f"data.array={data.array!r} is not in data.dir={path}, which has "
                    f"{', '.join(file.files)}: name one of them with --data.array"
                )
            array = file[name]
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"data.dir={path} is no readable .npz file: {error}") from error
    return path, name, array


def _load_folder(data, report):
    folder = Path(data.dir)
    if not folder.is_dir():
        raise UserError(f"data.dir={folder} is no folder")
    found = (p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)
    files = sorted(p for p in found if p.is_file())
    if not files:
        raise UserError(
            f"data.dir={folder} has no image files: it must hold files ending in "
            f"{' '.join(sorted(SUFFIXES))}, at any depth"
        )

    def decode():
        def read(path):
            try:
                with Image.open(path) as image:
                    return _fit(ImageOps.exif_transpose(image), data), "", True
            except Exception as error:
                # What the system refuses today it may grant tomorrow.
                lasting = getattr(error, "errno", None) is None
                return None, f"{path} ({type(error).__name__}: {error})", lasting

        with concurrent.futures.ThreadPoolExecutor() as pool:
            work = pool.map(read, files)
            results = list(track(work, "decoding", len(files), transient=True))
        images = [image for image, _, _ in results if image is not None]
        bad = [message for image, message, _ in results if image is None]
        stack = _stack(images, data)
        return stack, bad, all(lasting for _, _, lasting in results)

    images, bad = _cached(f"folder {_stamps(folder, files)}", data, decode, report)
    if bad:
        some = "; ".join(bad[:3]) + ("; ..." if len(bad) > 3 else "")
        found = f"{len(bad)} of {len(files)} image files cannot be read: {some}"
        if not data.skip_corrupt:
            raise UserError(
                f"{found}; remove them, or train without them by --data.skip-corrupt"
            )
        report(f"{found}; training without them")
    return images, None


def _load_tfds(data, report):
    builder = tfds_source.open_builder(data, report)

    def read(split, field):
        def decode():
            source = tfds_source.images(builder, split, data.name, field)
            rows = track(source, f"decoding {data.name} {split}", transient=True)
            return _fit_all((Image.fromarray(row) for row in rows), data), [], True

        # By the files and not only the name: they may be prepared anew.
        folder = Path(builder.data_path)
        source = f"tfds {split} {_stamps(folder, sorted(folder.iterdir()))}"
        return _cached(source, data, decode, report)[0]

    train = read(data.split, "data.split")
    return train, read(data.test_split, "data.test_split") if data.test_split else None


def _fit(image, data):
    """A Pillow image to uint8 [image_size, image_size, channels]."""
    if image.mode.startswith("I;16"):
        # Pillow would cut its 65,536 grey levels off at 255.
        image = Image.fromarray(np.round(np.asarray(image) / 257).astype(np.uint8))
    image = image.convert("L" if data.channels == 1 else "RGB")
    size = (data.image_size, data.image_size)
    if image.size != size:
        method = Image.Resampling[data.resize.upper()]
        image = ImageOps.fit(image, size, method=method)
    return np.asarray(image).reshape(data.sample_shape)


def _fit_all(images, data):
    return _stack([_fit(image, data) for image in images], data)


def _stack(images, data):
    return np.stack(images) if images else np.zeros((0, *data.sample_shape), np.uint8)


def _stamps(folder, files):
    """Names, sizes and times of files: what changes when one of them does."""
    stamps = [(p.relative_to(folder), p.stat()) for p in files]
    lines = [f"{name} {stat.st_size} {stat.st_mtime_ns}" for name, stat in stamps]
    return "\n".join([str(folder.resolve()), *lines])


def cache_directory() -> Path:
    """Where decoded images are kept: $XDG_CACHE_HOME/wgan_jax or ~/.cache/wgan_jax."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "wgan_jax"


def _cached(source, data, decode, report):
    """Images and unreadable files, kept on disk under a name of all that shapes them.

    decode() -> (images, unreadable files, whether that is worth keeping).
    """
    facts = f"{source}\n{data.sample_shape} {data.resize}"
    name = hashlib.sha256(facts.encode()).hexdigest()[:24]
    path = cache_directory() / f"{name}.npz"
    # Whatever is missing, cut off or foreign is decoded again.
    with contextlib.suppress(Exception), path.open("rb") as opened:
        file = np.load(opened, allow_pickle=False)
        return file["images"], list(file["bad"])
    images, bad, lasting = decode()
    if not lasting:
        return images, bad
    temporary = path.with_name(f"{name}.{os.getpid()}.tmp.npz")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(temporary, images=images, bad=np.array(bad, dtype=str))
        temporary.replace(path)
    except OSError as error:
        report(f"decoded images are not kept for the next run: {error}")
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    return images, bad
