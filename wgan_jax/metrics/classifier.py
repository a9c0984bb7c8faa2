"""Features for small images: a classifier trained on the data set's own labels.

Inception's features do not describe digits of 28x28 pixels; those of a network that
classifies digits do. Its numbers compare runs on the same data set only, never with
published numbers.
"""

import hashlib
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from rich.progress import Progress

from wgan_jax.data.content import content_order, digests
from wgan_jax.errors import UserError
from wgan_jax.files import cached_npz
from wgan_jax.nn import conv

# Part of the cache key: increment it with any change below that affects the result.
VERSION = 2
FEATURES = 64
WIDTHS = (16, 32, 64)
KERNEL = 4
PADDING = 1
BATCH = 128
STEPS = 1500
EPOCHS = 20
RATE = 2e-3
CHUNK = 20


def features(params, images):
    """(features [n, 64], logits [n, classes]) of uint8 images [n, h, w, c], float32.

    Features are the activations before the last layer, 0 or more.
    """
    x = images.astype(jnp.float32) / 255 - 0.5
    for kernel, bias in params[:-2]:
        x = conv.conv(x, kernel, stride=2, padding=PADDING)
        x = jax.nn.relu(x + bias.reshape(1, 1, 1, -1))
    (kernel, bias), (last, last_bias) = params[-2:]
    x = jax.nn.relu(x.reshape(len(x), -1) @ kernel + bias[None])
    return x, x @ last + last_bias[None]


def load(
    images,
    labels,
    name: str = "the data",
    option: str = "--features classifier",
    seed: int = 0,
    report=print,
) -> list:
    """Parameters for `features`, trained once and cached in the cache directory.

    images: uint8 [n, h, w, c]; labels: integers [n]. Neither the parameters nor the
    cache key, a hash of both, the seed and VERSION, depend on their order. Raises
    UserError without labels, with a single class, or for images below 8 pixels; name,
    of the data, and option, which requests the classifier, appear in its message.
    """
    if labels is None:
        raise UserError(
            f"{option} needs labels and {name} has none: take patches or inception"
        )
    classes = np.unique(labels)
    if len(classes) < 2:
        raise UserError(
            f"{option} needs images of two classes or more and {name} has only class "
            f"{classes[0]}: take patches or inception"
        )
    if min(images.shape[1:3]) < 2 ** len(WIDTHS):
        raise UserError(
            f"{option} needs images of 8x8 pixels or more and those of {name} have "
            f"{images.shape[1]}x{images.shape[2]}: take inception"
        )
    keys, targets = digests(images), np.searchsorted(classes, labels)
    order = np.lexsort((targets, keys))
    facts = f"{VERSION} {STEPS} {EPOCHS} {seed} {images.shape} {classes}".encode()
    digest = hashlib.sha256(facts)
    for array in (keys, targets):
        digest.update(array[order].data)
    count = 2 * len(WIDTHS) + 4

    def compute():
        params = train(images, targets, len(classes), seed)
        return {str(i): np.asarray(p) for i, p in enumerate(sum(params, ()))}

    name = f"classifier-{digest.hexdigest()[:24]}.npz"
    arrays = cached_npz(name, list(map(str, range(count))), compute, report)
    params = [jnp.asarray(arrays[str(i)]) for i in range(count)]
    return list(zip(params[::2], params[1::2], strict=True))


def accuracy(params, images, labels, classes) -> float:
    """Share of images [n, h, w, c] whose largest logit is that of their label.

    classes: the distinct labels of the training images, ascending.
    """
    predicted = [
        np.asarray(_logits(params, images[start : start + 1000])).argmax(1)
        for start in range(0, len(images), 1000)
    ]
    return float((classes[np.concatenate(predicted)] == labels).mean())


def train(images, targets, classes: int, seed: int = 0) -> list:
    """Parameters that classify uint8 images [n, h, w, c] as targets [n] < `classes`.

    Adam minimises the cross-entropy, its learning rate falling to zero along a cosine,
    for STEPS batches or EPOCHS epochs, whichever is less. Epochs draw without
    replacement, whatever the order of the images. Shows a progress bar.
    """
    size = min(BATCH, len(images))
    batches = len(images) // size
    steps = min(STEPS, EPOCHS * batches)
    rng = np.random.default_rng(seed)
    by_content = content_order(images, seed, targets)
    orders = [
        rng.permutation(by_content)[: batches * size].reshape(batches, size)
        for _ in range(-(-steps // batches))
    ]
    order = np.concatenate(orders)[:steps]
    images, targets = jax.device_put(images), jax.device_put(targets)
    params = _init(jax.random.key(seed), images.shape, classes)
    state = params, _optimizer(steps).init(params)
    with Progress(transient=True) as progress:
        task = progress.add_task("training the classifier", total=steps)
        for start in range(0, steps, CHUNK):
            rows = order[start : start + CHUNK]
            state = _train_chunk(state, images, targets, rows, steps=steps)
            jax.block_until_ready(state)
            progress.update(task, completed=start + CHUNK)
    return state[0]


def _optimizer(steps):
    return optax.adam(optax.cosine_decay_schedule(RATE, steps))


@partial(jax.jit, donate_argnums=0, static_argnames="steps")
def _train_chunk(state, images, targets, rows, *, steps):
    def loss(params, which):
        logits = features(params, images[which])[1]
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, targets[which])
        return losses.mean()

    def step(state, which):
        params, moments = state
        gradient = jax.grad(loss)(params, which)
        updates, moments = _optimizer(steps).update(gradient, moments)
        return (optax.apply_updates(params, updates), moments), None

    return jax.lax.scan(step, state, rows)[0]


_logits = jax.jit(lambda params, images: features(params, images)[1])


def _init(key, shape, classes):
    """Pairs (kernel, bias): uniform of variance 2 / fan-in, and zeros."""
    height, width, channels = shape[1:]
    shapes = []
    for features_out in WIDTHS:
        shapes.append((KERNEL, KERNEL, channels, features_out))
        height, width, channels = height // 2, width // 2, features_out
    shapes += [(height * width * channels, FEATURES), (FEATURES, classes)]
    initial = jax.nn.initializers.he_uniform()
    keys = jax.random.split(key, len(shapes))
    return [(initial(k, s), jnp.zeros(s[-1])) for k, s in zip(keys, shapes)]
