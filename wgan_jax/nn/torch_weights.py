"""Conversion between state dicts of PyTorch and the arrays of a network.

Pure functions on NumPy arrays, which do not need PyTorch. Kernels are
[out, in, height, width] in PyTorch and [height, width, in, out] here (in transposed
convolutions, in and out are exchanged in both), dense layers [out, in] and [in, out],
and PyTorch flattens an image channels first.
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
# Order of our axes in PyTorch, by their number.
AXES = {1: (0,), 2: (1, 0), 4: (3, 2, 0, 1)}


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
    nn.Sequential with one module per row of the summary.
    """
    tensors = {}
    for i, arrays in _layers(network, input_shape).items():
        module = names[i] if names else str(i)
        for array in arrays:
            collection, _, _, name = array.path
            ours = (params, stats)[collection]["layers"][i][name]
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
        "model.generator_widths": (model.generator_widths, widths[::-1]),
        "model.critic_widths": (model.critic_widths, widths),
        "model.norm_epsilon": (model.norm_epsilon, 1e-5),
        "model.generator_activation": (model.generator_activation, "relu"),
        "model.critic_activation": (model.critic_activation, "leaky_relu"),
        "model.leaky_slope": (model.leaky_slope, 0.2),
        "model.output": (model.output, "tanh"),
    }
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
    """(0 for params or 1 for stats, "layers", position, name)."""
    shape: tuple[int, ...]
    order: tuple
    """Index that orders the elements of a flat image channels first."""

    @property
    def name(self):
        return NAMES[self.path[-1]]

    @property
    def needs(self):
        return tuple(self.shape[a] for a in AXES[len(self.shape)])

    def to_torch(self, ours):
        theirs = np.asarray(ours)[self.order].transpose(AXES[len(self.shape)])
        return np.ascontiguousarray(theirs)

    def from_torch(self, theirs):
        ours = np.empty(self.shape, np.float32)
        ours[self.order] = theirs.transpose(np.argsort(AXES[len(self.shape)]))
        return ours


def _shapes(network):
    return jax.eval_shape(network.init, jax.random.key(0))


def _keys(path):
    return tuple(p.idx if hasattr(p, "idx") else p.key for p in path)


def _layers(network, input_shape) -> dict[int, list[_Array]]:
    """The arrays of each layer that has any, by its position in network.summary."""
    leaves = {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(_shapes(network))[0]:
        path = _keys(path)
        if len(path) != 4 or path[-1] not in NAMES or leaf.ndim not in AXES:
            raise UserError(
                f"layer {path[2]} ({network.summary[path[2]][0]}) cannot be converted: "
                "only plain stacks of dense layers, convolutions and norms can"
            )
        leaves.setdefault(path[2], {})[path[-1]] = (path, leaf.shape)
    shapes = [tuple(input_shape), *(tuple(row.shape) for row in network.summary)]
    mixing = {i for i, arrays in leaves.items() if "kernel" in arrays}
    order = partial(_channels_first, shapes, mixing)
    layers = {}
    for i in sorted(leaves):
        layers[i] = []
        for name in (name for name in NAMES if name in leaves[i]):
            path, shape = leaves[i][name]
            axes = [np.arange(size) for size in shape]
            if len(shape) < 4:
                axes[-1] = axes[-1][order(i + 1)]
            if len(shape) == 2:
                axes[0] = axes[0][order(i)]
            layers[i].append(_Array(path, shape, np.ix_(*axes)))
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
            if len(shapes[i]) == 3 and (math.prod(shapes[i]),) == shapes[at]:
                index = np.arange(shapes[at][0]).reshape(shapes[i])
                return index.transpose(2, 0, 1).ravel()
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
        theirs, (i, arrays) = theirs or {}, ours or (None, [])
        label = "no layer left" if i is None else f"layer {i} ({network.summary[i][0]})"
        for array in arrays:
            full, tensor = theirs.get(array.name, ("", None))
            shape = None if tensor is None else tuple(tensor.shape)
            row = Row(full, shape, f"{label} {array.path[-1]}", array.needs)
            matched.append((row, array, tensor))
        known = {array.name for array in arrays}
        for name, (full, tensor) in theirs.items():
            if name not in known:
                without = label if i is None else f"{label} has no {name}"
                row = Row(full, tuple(tensor.shape), without, None)
                matched.append((row, None, tensor))
    return matched
