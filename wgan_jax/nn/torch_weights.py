"""Conversion between state dicts of PyTorch and the arrays of a network.

Pure functions on NumPy arrays, which do not need PyTorch. Kernels are
[out, in, height, width] in PyTorch and [height, width, in, out] here (in transposed
convolutions, in and out are exchanged in both), those of text [out, in, length] and
[length, in, out], dense layers [out, in] and [in, out], and PyTorch flattens an image
or a line of text channels first.
"""

import dataclasses
import itertools
import math
from functools import partial

import jax
import numpy as np

from wgan_jax.config import Config
from wgan_jax.errors import UserError
from wgan_jax.nn.layers import ConvTranspose
from wgan_jax.nn.network import Network

# Names here and in PyTorch, in the order in which PyTorch saves them.
NAMES = {
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "variance": "running_var",
}
# Order of the axes of our kernels in PyTorch, by their number.
AXES = {2: (1, 0), 3: (2, 1, 0), 4: (3, 2, 0, 1)}
# Parts of a layer, in the order in which PyTorch saves them.
PARTS = ("main", "shortcut", "score", "classes")


@dataclasses.dataclass(frozen=True)
class Row:
    """A tensor of a state dict and the array of a network at the same position."""

    name: str
    shape: tuple[int, ...] | None
    """Shape of the tensor, or None where the state dict has none."""
    layer: str
    needs: tuple[int, ...] | None
    """Shape that the network needs, or None where the network has no array."""

    @property
    def fits(self) -> bool:
        """True where both exist and have the same shape."""
        return self.shape == self.needs

    def __str__(self):
        theirs = "nothing" if self.shape is None else f"{self.name} {list(self.shape)}"
        ours = self.layer if self.needs is None else f"{self.layer} {list(self.needs)}"
        return f"{' ' if self.fits else '>'} {theirs:<46} {ours}"


def compare(tensors: dict, network: Network, input_shape) -> list[Row]:
    """The rows of a state dict and a network, layer by layer in the order of both.

    Names decide only which tensors belong to one layer. input_shape: of one sample that
    the network reads, (z_dim,) or the image's [height, width, channels].
    """
    return [row for row, _, _ in _matched(tensors, network, input_shape)]


def mismatch(beginning: str, rows: list[Row]) -> UserError:
    """An error with the first difference of the rows, and all rows as its table."""
    first = next(row for row in rows if not row.fits)
    position = first.name or f"{first.layer}, which is missing in the file"
    lines = "\n".join(map(str, rows))
    return UserError(f"{beginning} first at {position} (file, network):", table=lines)


def from_torch(tensors: dict, network: Network, input_shape):
    """(params, stats) of a network from a state dict {name: array}, as float32.

    Raises UserError, with a table of the shapes, where the two do not fit.
    """
    matched = _matched(tensors, network, input_shape)
    rows = [row for row, _, _ in matched]
    if not all(row.fits for row in rows):
        raise mismatch("the state dict does not fit the network,", rows)
    arrays = {array.path: array.from_torch(theirs) for _, array, theirs in matched}
    paths, structure = jax.tree_util.tree_flatten_with_path(_shapes(network))
    return structure.unflatten(arrays[_keys(path)] for path, _ in paths)


def to_torch(params, stats, network: Network, input_shape, names=None) -> dict:
    """The inverse of `from_torch`: a state dict {name: array} in PyTorch's layouts.

    names: {position in network.summary: module}; the default is the positions, as in an
    nn.Sequential with one module per row of the summary, and in such a module as in
    3.main.0, 3.shortcut.0, 9.score and 9.classes.
    """
    tensors = {}
    for place, arrays in _layers(network, input_shape).items():
        module = names[place[0]] if names else ".".join(map(str, place))
        for array in arrays:
            ours = (params, stats)
            for key in array.path:
                ours = ours[key]
            tensors[f"{module}.{array.name}"] = array.to_torch(ours)
        if any(array.name == "running_var" for array in arrays):
            tensors[f"{module}.num_batches_tracked"] = np.array(0)
    return tensors


def arjovsky_names(network: Network) -> dict[int, str]:
    """Module names of martinarjovsky/WassersteinGAN, models/dcgan.py, by position."""
    layers = _shapes(network)[0]["layers"]
    kernels = [i for i in layers if "kernel" in layers[i]]
    stages = {kernels[0]: "initial", kernels[-1]: "final"}
    names = {}
    stage, width = "", 0
    for i in layers:
        if i in kernels:
            stage = stages.get(i, "pyramid")
            channels, width = layers[i]["kernel"].shape[2:]
            kind = "conv"
            if isinstance(network.summary[i].layer, ConvTranspose):
                channels, width, kind = width, channels, "convt"
            names[i] = f"main.{stage}:{channels}-{width}:{kind}"
        else:
            names[i] = f"main.{stage}:{width}:batchnorm"
    return names


def require_arjovsky(config: Config) -> None:
    """Raises UserError where Arjovsky's code does not define the same networks."""
    model, height = config.model, config.data.height_and_width[0]
    widths = tuple(2**i for i in range(max(height.bit_length() - 3, 2)))
    expected = {
        "data.image_size": (config.data.image_size, 4 * 2 ** len(widths)),
        "model.kind": (model.kind, "dcgan"),
        "model.critic_kind": (model.critic_is, "dcgan"),
        "model.features": (model.features, model.features // 2 * 2),
        "model.bias": (model.bias, "none"),
        "model.kernel": (model.kernel, 4),
        "model.ends": (model.ends, "conv"),
        "model.generator_extra_depth": (model.generator_extra_depth, 0),
        "model.critic_extra_depth": (model.critic_extra_depth, 0),
        "model.generator_widths": (model.generator_widths, widths[::-1]),
        "model.critic_widths": (model.critic_widths, widths),
        "model.norm_epsilon": (model.norm_epsilon, 1e-5),
        "model.generator_activation": (model.generator_activation, "relu"),
        "model.critic_activation": (model.critic_activation, "leaky_relu"),
        "model.leaky_slope": (model.leaky_slope, 0.2),
        "model.output": (model.output, "tanh"),
    }
    if model.critic_bias not in ("same", "none"):
        expected["model.critic_bias"] = (model.critic_bias, "same")
    if model.critic_norm != "none":
        expected["model.critic_norm"] = (model.critic_norm, "batch")
    for field, (value, needed) in expected.items():
        if value != needed:
            raise UserError(
                f"--naming arjovsky needs {field}={needed} and the run has {value}: "
                "take --naming sequential"
            )


# ------------------------------------------------------------------------------ pieces


@dataclasses.dataclass(frozen=True)
class _Array:
    """An array of a network and its layout in PyTorch.

    PyTorch's tensor is the array, indexed by `order`, then transposed.
    """

    path: tuple
    """(0 for params or 1 for stats, "layers", position, part of the layer..., name)."""
    shape: tuple[int, ...]
    order: tuple
    """Index that orders the elements of a flat image channels first."""

    @property
    def name(self):
        return NAMES[self.path[-1]]

    @property
    def axes(self):
        count = len(self.shape)
        return AXES[count] if self.path[-1] == "kernel" else tuple(range(count))

    @property
    def needs(self):
        return tuple(self.shape[a] for a in self.axes)

    def to_torch(self, ours):
        theirs = np.asarray(ours)[self.order].transpose(self.axes)
        return np.ascontiguousarray(theirs)

    def from_torch(self, theirs):
        ours = np.empty(self.shape, np.float32)
        ours[self.order] = theirs.transpose(np.argsort(self.axes))
        return ours


def _shapes(network):
    return jax.eval_shape(network.init, jax.random.key(0))


def _keys(path):
    return tuple(p.idx if hasattr(p, "idx") else p.key for p in path)


def _layers(network, input_shape) -> dict[tuple, list[_Array]]:
    """The arrays of each module that has any, by its place.

    A place is the position in network.summary, and the path in that layer.
    """
    leaves = {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(_shapes(network))[0]:
        path = _keys(path)
        inner = [key for key in path[3:-1] if not isinstance(key, int)]
        is_kernel = path[-1] == "kernel"
        fits = leaf.ndim in AXES if is_kernel else leaf.ndim in (1, 2)
        if path[-1] not in NAMES or not fits or not set(inner) <= set(PARTS):
            raise UserError(
                f"layer {path[2]} ({network.summary[path[2]][0]}) cannot be converted: "
                "only dense layers, convolutions, norms and residual blocks can"
            )
        leaves.setdefault(path[2:-1], {})[path[-1]] = (path, leaf.shape)
    shapes = [tuple(input_shape), *(tuple(row.shape) for row in network.summary)]
    mixing = {
        place[0]
        for place, arrays in leaves.items()
        if "kernel" in arrays or len(place) > 1
    }
    order = partial(_channels_first, shapes, mixing)

    def rank(place):
        return [PARTS.index(key) if key in PARTS else key for key in place]

    layers = {}
    for place in sorted(leaves, key=rank):
        layers[place] = []
        for name in (name for name in NAMES if name in leaves[place]):
            path, shape = leaves[place][name]
            axes = [np.arange(size) for size in shape]
            if len(place) == 1 and len(shape) < 4:
                axes[-1] = axes[-1][order(place[0] + 1)]
            if name == "kernel" and len(shape) == 2:
                axes[0] = axes[0][order(place[0])]
            layers[place].append(_Array(path, shape, np.ix_(*axes)))
    return layers


def _channels_first(shapes, mixing, at):
    """Index that orders the vector shapes[at] channels first, if it is a flat image.

    It is one where the image is flattened before it or formed after it, with no layer
    in between that mixes elements.
    """
    for step, layer in ((1, 0), (-1, -1)):
        i = at
        while 0 <= i + layer < len(shapes) - 1 and i + layer not in mixing:
            i += step
            if len(shapes[i]) in (2, 3) and (math.prod(shapes[i]),) == shapes[at]:
                index = np.arange(shapes[at][0]).reshape(shapes[i])
                return np.moveaxis(index, -1, 0).ravel()
    return slice(None)


def _matched(tensors, network, input_shape):
    """(Row, array of the network or None, tensor or None) of all on either side."""
    modules = {}
    for full, array in tensors.items():
        module, _, name = full.rpartition(".")
        if name != "num_batches_tracked":
            modules.setdefault(module, {})[name] = (full, array)
    layers = _layers(network, input_shape).items()
    matched = []
    for theirs, ours in itertools.zip_longest(modules.values(), layers):
        theirs, (place, arrays) = theirs or {}, ours or (None, [])
        label = "no layer left"
        if place:
            inner = ".".join(map(str, place[1:]))
            label = f"layer {place[0]} ({network.summary[place[0]][0]}) {inner}".strip()
        for array in arrays:
            full, tensor = theirs.get(array.name, ("", None))
            shape = None if tensor is None else tuple(tensor.shape)
            row = Row(full, shape, f"{label} {array.path[-1]}", array.needs)
            matched.append((row, array, tensor))
        known = {array.name for array in arrays}
        for name, (full, tensor) in theirs.items():
            if name not in known:
                without = f"{label} has no {name}" if place else label
                row = Row(full, tuple(tensor.shape), without, None)
                matched.append((row, None, tensor))
    return matched
