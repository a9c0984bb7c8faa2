"""Features that need no labels: responses to patches of the data set's own images.

A layer of filters is computed, not trained: patches of the images, whitened as the
images' patches are, at random (Coates, Ng & Lee 2011). Each filter's positive and
negative responses are averaged over the quarters of an image. Its numbers compare runs
on the same data set only, never with published numbers.
"""

import hashlib

import jax
import jax.numpy as jnp
import numpy as np

from wgan_jax.data.content import content_order, digests
from wgan_jax.data.readers import LazyImages
from wgan_jax.errors import UserError
from wgan_jax.files import cached_npz
from wgan_jax.nn import conv

# Part of the cache key: increment it with any change below that affects the result.
VERSION = 1
SIZE = 6
FILTERS = 16
# Quarters of an image, and signs of a response.
FEATURES = FILTERS * 4 * 2
IMAGES = 4000
PATCHES = 40_000
# Response from which on a feature rises, in standard deviations of a whitened pixel.
THRESHOLD = 0.25
# Added to the variances of patches, relative to the largest.
SMOOTHING = 0.01
# Images of at least this size are seen a second time, reduced to less than it.
LARGE = 48
LEAST = 8


def dimension(params) -> int:
    """Number of features by these parameters."""
    return FEATURES * len(params)


def features(params, images):
    """(features [n, dimension], None) of uint8 images [n, h, w, c], float32.

    Features are 0 or more. Those of the reduced images follow those of the images.
    """
    parts = []
    for x, (kernel, bias) in zip(_scales(images), params, strict=True):
        x = conv.conv(x, kernel, stride=1, padding=0) - bias.reshape(1, 1, 1, -1)
        x = jnp.concatenate([x, -x], -1)
        x = jax.nn.relu(x - THRESHOLD)
        count, height, width, channels = x.shape
        # An odd row or column at the end is in no quarter.
        x = x[:, : height // 2 * 2, : width // 2 * 2]
        x = x.reshape(count, 2, height // 2, 2, width // 2, channels)
        parts.append(x.mean((2, 4)).reshape(count, -1))
    return jnp.concatenate(parts, -1), None


def load(
    images,
    name: str = "the data",
    option: str = "--features patches",
    seed: int = 0,
    report=print,
) -> list:
    """Parameters for `features`, computed once and cached in the cache directory.

    images: uint8 [n, h, w, c], or `LazyImages`, of which a part is read. Neither the
    parameters nor the cache key, a hash of the images, the seed and VERSION, depend on
    the order of images in memory. Raises UserError for images below 8 pixels; name, of
    the data, and option, which requests the features, appear in its message.
    """
    height, width = images.shape[1:3]
    if min(height, width) < LEAST:
        raise UserError(
            f"{option} needs images of {LEAST}x{LEAST} pixels or more and those of "
            f"{name} have {height}x{width}: take inception"
        )
    if isinstance(images, LazyImages):
        order = np.random.default_rng(seed).permutation(len(images))
        identity = images.identity.encode()
    else:
        order = content_order(images, seed)
        identity = np.sort(digests(images)).tobytes()
    count = len(_reductions(height, width))
    keys = [f"{part}{i}" for i in range(count) for part in ("kernel", "bias")]

    def compute():
        params = fit(np.asarray(images[order[:IMAGES]]), seed)
        return dict(zip(keys, (array for pair in params for array in pair)))

    if not identity:
        arrays = compute()
    else:
        facts = f"{VERSION} {seed} {images.shape}".encode()
        digest = hashlib.sha256(facts + identity).hexdigest()[:24]
        arrays = cached_npz(f"patches-{digest}.npz", keys, compute, report)
    values = [jnp.asarray(arrays[key]) for key in keys]
    return list(zip(values[::2], values[1::2], strict=True))


def fit(images, seed: int = 0) -> list:
    """Pairs (kernel [6, 6, c, 16], bias [16]) of images [n, h, w, c], one per scale."""
    rng = np.random.default_rng(seed)
    scales = [np.asarray(x, np.float64) for x in _scales(jnp.asarray(images))]
    return [_filters(x, rng) for x in scales]


def _filters(images, rng):
    """Whitened patches of float images as filters of pixels: (kernel, bias)."""
    count, height, width, channels = images.shape
    which = rng.integers(0, count, PATCHES)
    top = rng.integers(0, height - SIZE + 1, PATCHES)
    left = rng.integers(0, width - SIZE + 1, PATCHES)
    rows, columns = (v[:, None] + np.arange(SIZE) for v in (top, left))
    patches = images[which[:, None, None], rows[:, :, None], columns[:, None]]
    patches = patches.reshape(PATCHES, -1)
    mean = patches.mean(0)
    values, vectors = np.linalg.eigh(np.cov(patches.T))
    # Images of one colour have no variance at all.
    scale = 1 / np.sqrt(np.maximum(values, 0) + SMOOTHING * values[-1] + 1e-8)
    whiten = vectors * scale @ vectors.T
    white = (patches - mean) @ whiten
    lengths = np.linalg.norm(white, axis=1)
    # Patches of the background have no direction.
    clear = np.flatnonzero(lengths >= np.median(lengths) / 2)
    chosen = white[rng.choice(clear, FILTERS, replace=len(clear) < FILTERS)]
    chosen /= np.maximum(np.linalg.norm(chosen, axis=1, keepdims=True), 1e-12)
    kernel = whiten @ chosen.T
    bias = (mean @ kernel).astype(np.float32)
    return kernel.reshape(SIZE, SIZE, channels, -1).astype(np.float32), bias


def _reductions(height, width):
    """How often the sides are halved at each scale."""
    halvings = 0
    while min(height, width) >> halvings >= LARGE:
        halvings += 1
    return (0, halvings) if halvings else (0,)


def _scales(images):
    """float32 images in [0, 1] at each scale; halving averages four pixels."""
    x = images.astype(jnp.float32) / 255
    scales = []
    for halvings in _reductions(*images.shape[1:3]):
        y = x
        for _ in range(halvings):
            count, height, width, channels = y.shape
            y = y[:, : height // 2 * 2, : width // 2 * 2]
            y = y.reshape(count, height // 2, 2, width // 2, 2, channels).mean((2, 4))
        scales.append(y)
    return scales
