"""The Inception-v3 of the published FID and Inception scores, as pure functions.

The TensorFlow graph of 2015-12-05 with 1,008 outputs, in the weights and names of
PyTorch's port of it (pytorch-fid, torch-fidelity). It differs from torchvision's
network in three points: averages at borders exclude the padding, the pool of Mixed_7c
is a maximum, and images are resized by TensorFlow 1's method. Images are NHWC.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from wgan_jax.errors import UserError
from wgan_jax.metrics import inception_weights
from wgan_jax.metrics.inception_weights import WEIGHTS

SIZE = 299
EPSILON = 0.001
PARTS = ("conv.weight", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var")
FEATURES, CLASSES = 2048, 1008


def load(path: str = "", report=print) -> dict:
    """Parameters for `features`: {layer: (kernel [h, w, in, out], shift)}, float32.

    path: of the weights; empty takes $WGAN_JAX_INCEPTION, or else the file WEIGHTS in
    the cache directory, which is downloaded once. BatchNorm is folded into the kernels
    in float64 and each number is rounded once, which changes a layer's output by parts
    in 1e7. Raises UserError where the file is missing, damaged or of another network.
    """
    file = inception_weights.find(path, report)
    tensors = inception_weights.read(file)
    _require_fit(tensors, file)
    params = {}
    for name in kernel_shapes():
        kernel, scale, shift, mean, variance = (
            tensors[f"{name}.{part}"].astype(np.float64) for part in PARTS
        )
        scale = scale / np.sqrt(variance + EPSILON)
        kernel = kernel.transpose(2, 3, 1, 0) * scale
        shift = (shift - mean * scale).reshape(1, 1, 1, -1)
        params[name] = (jnp.float32(kernel), jnp.float32(shift))
    return params | {"fc": jnp.float32(tensors["fc.weight"].T)}


def features(params, images, dtype="float32"):
    """(pool3 [n, 2048], logits [n, 1008]) of images, both float32; to be jitted.

    images: uint8 [n, height, width, 1 or 3] of any size; the channel of a grey image is
    repeated. Logits are pool3 times the last weights without their bias, as in the
    published Inception score. dtype: of kernels and activations, "float32" (without
    TF32 on every backend) or "bfloat16". Raises ValueError for other images.
    """
    if images.dtype != jnp.uint8 or images.ndim != 4 or images.shape[3] not in (1, 3):
        raise ValueError(
            f"images {images.dtype}{list(images.shape)} must be uint8 [n, height, "
            "width, 1 or 3]"
        )
    x = (resize(images) - 128) / 128
    x = jnp.broadcast_to(x, (*x.shape[:3], 3)).astype(dtype)

    def conv(x, name, width, kernel=(1, 1), stride=1, padded=True):
        weights, shift = (p.astype(dtype) for p in params[name])
        return jax.nn.relu(_convolve(x, weights, stride, padded) + shift)

    x = _network(conv, x)
    pooled = x.astype(jnp.float32).mean((1, 2))
    return pooled, jnp.matmul(pooled, params["fc"], precision=lax.Precision.HIGHEST)


def resize(images, size: int = SIZE):
    """Images [n, h, w, c] as float32 [n, size, size, c], as TensorFlow 1's bilinear.

    Output i reads at i * h / size, without half-pixel centres and without antialiasing
    (tf.image.resize_bilinear, align_corners=False): first along rows, then along
    columns, with the same roundings.
    """
    # Gathers: two products with [size, h] matrices take three times as long on a CPU.
    x = images.astype(jnp.float32)
    for axis in (2, 1):
        length = x.shape[axis]
        place = np.arange(size, dtype=np.float32) * np.float32(length / size)
        low = np.floor(place)
        weight = np.expand_dims(place - low, [i for i in range(4) if i != axis])
        low = low.astype(np.int32)
        below, above = x.take(low, axis), x.take(np.minimum(low + 1, length - 1), axis)
        x = below + (above - below) * weight
    return x


# ----------------------------------------------------------------------------- weights


@functools.cache
def kernel_shapes() -> dict[str, tuple]:
    """{layer: (out, in, height, width)}, PyTorch's kernel shapes, by tracing."""
    shapes = {}

    def conv(x, name, width, kernel=(1, 1), stride=1, padded=True):
        shapes[name] = (width, x.shape[3], *kernel)
        return _convolve(
            x, jnp.zeros((*kernel, x.shape[3], width), x.dtype), stride, padded
        )

    image = jax.ShapeDtypeStruct((1, SIZE, SIZE, 3), jnp.float32)
    jax.eval_shape(functools.partial(_network, conv), image)
    return shapes


def _require_fit(tensors, path):
    expected = {"fc.weight": (CLASSES, FEATURES)}
    for name, shape in kernel_shapes().items():
        expected |= {f"{name}.{part}": shape[:1] for part in PARTS}
        expected[f"{name}.conv.weight"] = shape
    shapes = {name: array.shape for name, array in tensors.items()}
    wrong = [name for name, shape in expected.items() if shapes.get(name) != shape]
    if wrong:
        first = wrong[0]
        state = list(shapes[first]) if first in shapes else "missing"
        raise UserError(
            f"{path} does not fit the FID Inception: {len(wrong)} of {len(expected)} "
            f"arrays are missing or of another shape; the first is {first} ({state}, "
            f"expected {list(expected[first])}): take {WEIGHTS}"
        )


# ----------------------------------------------------------------------------- network


def _network(conv, x):
    """[n, 299, 299, 3] to [n, 8, 8, 2048]; conv(x, name, width, kernel, ...)."""
    x = conv(x, "Conv2d_1a_3x3", 32, (3, 3), 2, False)
    x = conv(x, "Conv2d_2a_3x3", 32, (3, 3), 1, False)
    x = conv(x, "Conv2d_2b_3x3", 64, (3, 3))
    x = _maximum(x, 2, "VALID")
    x = conv(x, "Conv2d_3b_1x1", 80)
    x = conv(x, "Conv2d_4a_3x3", 192, (3, 3), 1, False)
    x = _maximum(x, 2, "VALID")

    def block(function, x, name, *rest):
        def inner(x, branch, *shape):
            return conv(x, f"{name}.{branch}", *shape)

        return jnp.concatenate(function(inner, x, *rest), 3)

    for letter, width in (("b", 32), ("c", 64), ("d", 64)):
        x = block(_mixed_5, x, f"Mixed_5{letter}", width)
    x = block(_mixed_6a, x, "Mixed_6a")
    for letter, width in (("b", 128), ("c", 160), ("d", 160), ("e", 192)):
        x = block(_mixed_6, x, f"Mixed_6{letter}", width)
    x = block(_mixed_7a, x, "Mixed_7a")
    x = block(_mixed_7, x, "Mixed_7b", _average)
    return block(_mixed_7, x, "Mixed_7c", lambda x: _maximum(x, 1, "SAME"))


def _mixed_5(conv, x, width):
    fives = conv(conv(x, "branch5x5_1", 48), "branch5x5_2", 64, (5, 5))
    threes = conv(conv(x, "branch3x3dbl_1", 64), "branch3x3dbl_2", 96, (3, 3))
    threes = conv(threes, "branch3x3dbl_3", 96, (3, 3))
    pooled = conv(_average(x), "branch_pool", width)
    return [conv(x, "branch1x1", 64), fives, threes, pooled]


def _mixed_6a(conv, x):
    threes = conv(conv(x, "branch3x3dbl_1", 64), "branch3x3dbl_2", 96, (3, 3))
    threes = conv(threes, "branch3x3dbl_3", 96, (3, 3), 2, False)
    three = conv(x, "branch3x3", 384, (3, 3), 2, False)
    return [three, threes, _maximum(x, 2, "VALID")]


def _mixed_6(conv, x, width):
    row, column = (1, 7), (7, 1)
    seven = conv(conv(x, "branch7x7_1", width), "branch7x7_2", width, row)
    seven = conv(seven, "branch7x7_3", 192, column)
    sevens = conv(conv(x, "branch7x7dbl_1", width), "branch7x7dbl_2", width, column)
    sevens = conv(sevens, "branch7x7dbl_3", width, row)
    sevens = conv(sevens, "branch7x7dbl_4", width, column)
    sevens = conv(sevens, "branch7x7dbl_5", 192, row)
    pooled = conv(_average(x), "branch_pool", 192)
    return [conv(x, "branch1x1", 192), seven, sevens, pooled]


def _mixed_7a(conv, x):
    three = conv(x, "branch3x3_1", 192)
    three = conv(three, "branch3x3_2", 320, (3, 3), 2, False)
    seven = conv(conv(x, "branch7x7x3_1", 192), "branch7x7x3_2", 192, (1, 7))
    seven = conv(seven, "branch7x7x3_3", 192, (7, 1))
    seven = conv(seven, "branch7x7x3_4", 192, (3, 3), 2, False)
    return [three, seven, _maximum(x, 2, "VALID")]


def _mixed_7(conv, x, pool):
    three = conv(x, "branch3x3_1", 384)
    threes = conv(conv(x, "branch3x3dbl_1", 448), "branch3x3dbl_2", 384, (3, 3))
    return [
        conv(x, "branch1x1", 320),
        conv(three, "branch3x3_2a", 384, (1, 3)),
        conv(three, "branch3x3_2b", 384, (3, 1)),
        conv(threes, "branch3x3dbl_3a", 384, (1, 3)),
        conv(threes, "branch3x3dbl_3b", 384, (3, 1)),
        conv(pool(x), "branch_pool", 192),
    ]


def _convolve(x, kernel, stride, padded):
    """x by a kernel [h, w, in, out] of odd size, with zero padding or without."""
    # Without padding XLA takes up to three times as long on a CPU; the outputs that
    # depend on this padding are cut off below.
    padding = "SAME" if padded else ((0, 1), (0, 1))
    y = lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        padding,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        precision=lax.Precision.HIGHEST,
    )
    if padded:
        return y
    rows, columns = ((x.shape[i] - kernel.shape[i - 1]) // stride + 1 for i in (1, 2))
    return y[:, :rows, :columns]


def _maximum(x, stride, padding):
    window, strides = (1, 3, 3, 1), (1, stride, stride, 1)
    return lax.reduce_window(x, -jnp.inf, lax.max, window, strides, padding)


def _average(x):
    """Means of 3 x 3 windows over the pixels inside the image."""
    total = lax.reduce_window(
        x.astype(jnp.float32), 0.0, lax.add, (1, 3, 3, 1), (1, 1, 1, 1), "SAME"
    )
    rows, columns = (np.convolve(np.ones(n), np.ones(3), "same") for n in x.shape[1:3])
    counts = np.outer(rows, columns)[None, :, :, None].astype(np.float32)
    return (total / counts).astype(x.dtype)
