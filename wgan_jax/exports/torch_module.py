"""Networks as a state dict of PyTorch, and the source of the module that loads it."""

import ast
import pprint
import runpy
from collections.abc import Sequence
from pathlib import Path
from textwrap import indent

import numpy as np

from wgan_jax.errors import UserError
from wgan_jax.exports.part import Part
from wgan_jax.nn import layers, torch_files, torch_weights

SUFFIXES = (".pth", ".pt")
SEVERAL = True
ACTIVATIONS = {
    "relu": "nn.ReLU()",
    "tanh": "nn.Tanh()",
    "sigmoid": "nn.Sigmoid()",
    "linear": "nn.Identity()",
    "softmax": "nn.Softmax(1)",
    "softplus": "ShiftedSoftplus()",
    "gated": "Gate()",
    "upsample": "nn.Upsample(scale_factor=2)",
    "mean pool": "nn.AvgPool2d(2)",
    "global mean pool": "GlobalMeanPool()",
    "depth to space": "DepthToSpace()",
}


def files(path: Path) -> tuple[Path, ...]:
    """All files of an export: the weights and the module."""
    return (path, path.with_suffix(".py"))


def require() -> None:
    """Raises UserError without PyTorch."""
    torch_files.import_torch()


def write(path: Path, parts: Sequence[Part], metadata: dict) -> None:
    """Writes the state dict of all parts, and their module in PyTorch.

    The names of one part have no prefix, those of two begin with generator and critic.
    Raises UserError for layers other than those of `nn.layers`.
    """
    tensors = {}
    for part in parts:
        prefix = f"{part.name}." if len(parts) > 1 else ""
        arrays = (part.params, part.stats, part.network, part.input_shape)
        for name, array in torch_weights.to_torch(*arrays).items():
            tensors[prefix + name] = array
    torch_files.write(path, tensors)
    path.with_suffix(".py").write_text(_source(path.name, parts, metadata))


def run(path: Path, part: Part, x, labels=None):
    """Outputs of the module, channels last."""
    torch = torch_files.import_torch()
    module = runpy.run_path(str(path.with_suffix(".py")))["load"](path)
    module = getattr(module, part.name, module)
    x = torch.from_numpy(np.ascontiguousarray(_channels_first(x)))
    more = [] if labels is None else [torch.from_numpy(labels)]
    with torch.no_grad():
        y = module(x, *more).numpy()
    if part.network.classify:
        y = y[:, 0]
    return np.moveaxis(y, 1, -1) if y.ndim > 2 else y


def _channels_first(x):
    return np.moveaxis(x, -1, 1)


# ------------------------------------------------------------------------------ source


def _source(name, parts, metadata):
    classes = [_network_class(part) for part in parts]
    body = "\n\n\n".join(classes)
    if len(parts) > 1:
        body += '''


class Networks(nn.Module):
    """Both networks."""

    def __init__(self):
        super().__init__()
        self.generator = Generator()
        self.critic = Critic()'''
    body += f"\n\n\n{_loader(parts, metadata)}"
    helpers, uses_functional = _helpers(body)
    functional = "import torch.nn.functional as F\n" if uses_functional else ""
    # The classes say it.
    shown = {key: value for key, value in metadata.items() if key != "layers"}
    values = pprint.pformat(shown, width=86, sort_dicts=False, compact=True)
    return f'''"""{_title(name, parts, metadata)}"""

import torch
{functional}from torch import nn


{helpers}{body}


METADATA = {values}
'''


def _title(name, parts, metadata):
    both, shape = len(parts) > 1, f"n, {_shape(metadata['sample_shape'])}"
    labels = ", torch.randint(0, {}, (16,))".format(metadata["classes"])
    lines = [
        f"{' and '.join(metadata['networks']).capitalize()} in PyTorch, written by "
        f"wgan_jax {metadata['wgan_jax']}.",
        "",
        f"Weights: {metadata['weights']}, of step {metadata['step']}. "
        "This file needs PyTorch only.",
        "",
        f'    net = load("{name}")' + (".generator" if both else ""),
    ]
    if parts[0].name == "generator":
        given = f"torch.randn(16, {metadata['latent_size']})"
        given += labels if metadata["classes"] else ""
        low_high = f", in {metadata['value_range']}" if metadata["value_range"] else ""
        lines += [
            f"    x = net({given})  # float32 [{shape}]{low_high}",
            "    data = to_data(x)  # " + metadata["to_data"],
        ]
    else:
        score = "score and logits" if parts[0].network.classify else "score"
        lines.append(f"    y = net(x)  # {score} of samples x, float32 [{shape}]")
    return "\n".join(lines) + "\n"


def _loader(parts, metadata):
    kind = "Networks" if len(parts) > 1 else parts[0].name.capitalize()
    text = f'''def load(path):
    """The module with the weights of a file, in evaluation mode: norms of batches use
    running statistics."""
    net = {kind}()
    net.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return net.eval()'''
    if parts[0].name != "generator":
        return text
    if metadata["vocabulary"]:
        return f'''{text}


def to_data(x):
    """Outputs of the generator as lines of text."""
    known = METADATA["vocabulary"]
    rows = x.argmax(1).tolist()
    return ["".join(known[i] for i in row).rstrip(known[1]) for row in rows]'''
    if metadata["value_range"]:
        unit = "(x + 1) / 2" if metadata["data_scale"] == "symmetric" else "x"
        return f'''{text}


def to_data(x):
    """Outputs of the generator as pixels, uint8 [n, h, w, c]."""
    pixels = ({unit} * 255).round().clamp(0, 255).to(torch.uint8)
    return pixels.permute(0, 2, 3, 1)'''
    if metadata["mean"]:
        return f'''{text}


def to_data(x):
    """Outputs of the generator in the units of the columns, float64 [n, d]."""
    mean, std = (torch.tensor(METADATA[k]).double() for k in ("mean", "std"))
    return x.double() * std.to(x.device) + mean.to(x.device)'''
    return f'''{text}


def to_data(x):
    """Outputs of the generator, which are points of the data."""
    return x'''


def _network_class(part):
    rows, lines = part.network.summary, []
    shapes = [part.input_shape, *(row.shape for row in rows)]
    parameters = part.params["layers"]
    for i, row in enumerate(rows):
        text = _module(row.layer, parameters.get(i, {}), shapes[i + 1], f"layer {i}")
        lines.append(text)
    base = "Layers" if part.classes else "nn.Sequential"
    output_shape = rows[-1].shape if part.network.classify else part.output_shape
    listed = indent(",\n".join(lines), " " * 12)
    return f'''class {part.name.capitalize()}({base}):
    """[n, {_shape(part.input_shape)}] to [n, {_shape(output_shape)}]."""

    def __init__(self):
        super().__init__(
{listed},
        )'''.replace("[n, ]", "[n]")


def _shape(shape):
    """The shape of a sample with channels first, as text."""
    return ", ".join(map(str, [*shape[-1:], *shape[:-1]]))


def _module(layer, params, shape, place):
    """Source of the module of PyTorch for a layer with the output `shape`."""
    kind, bias = type(layer), "" if "bias" in params else ", bias=False"
    if kind is layers.Dense:
        ins, outs = params["kernel"].shape
        return f"nn.Linear({ins}, {outs}{bias})"
    if kind is layers.Conv or kind is layers.ConvTranspose:
        return _convolution(layer, params["kernel"].shape, bias)
    if kind is layers.Conv1d:
        size, ins, outs = params["kernel"].shape
        padding = f", padding={size // 2}" * (size > 1)
        return f"nn.Conv1d({ins}, {outs}, {size}{padding}{bias})"
    if kind is layers.BatchNorm or kind is layers.SampleNorm:
        return _norm(layer, params["scale"].shape, shape)
    if kind is layers.ResidualBlock:
        main, shortcut = (
            [
                _module(inner, params.get(name, {}).get(j, {}), (0, 0, 0), place)
                for j, inner in enumerate(getattr(layer, name))
            ]
            for name in ("main", "shortcut")
        )
        listed = indent("".join(f"{text},\n" for text in main), " " * 8)
        return f"Residual(\n    [\n{listed}    ],\n    [{', '.join(shortcut)}],\n)"
    if kind is layers.Heads:
        ins, classes = params["classes"]["kernel"].shape
        bias = "" if "bias" in params["score"] else ", bias=False"
        return f"ScoreAndClasses({ins}, {classes}{bias})"
    if kind is layers.Function:
        if layer.name == "leaky_relu":
            return f"nn.LeakyReLU({layer.function.keywords['negative_slope']})"
        if layer.name == "scale":
            return f"Scale({layer.function.args[0]})"
        if layer.name == "reshape":
            return f"Reshape({_shape(shape)})"
        if layer.name in ACTIVATIONS:
            return ACTIVATIONS[layer.name]
    raise UserError(
        f"--format torch: {place} ({layer}) has no counterpart in PyTorch: take "
        "--format stablehlo"
    )


def _convolution(layer, shape, bias):
    ins, outs = shape[2:]
    before, after = layers.conv.pair(layer.padding)
    rows, columns = shape[:2]
    given = f"{rows}" if rows == columns else f"({rows}, {columns})"
    given += f", stride={layer.stride}" * (layer.stride > 1)
    prefix, same, options = "nn.Conv2d", "", ""
    if isinstance(layer, layers.ConvTranspose):
        ins, outs, prefix = outs, ins, "nn.ConvTranspose2d"
        if layer.output_padding:
            options = f", output_padding={layer.output_padding}"
    elif layer.resample:
        prefix = {"up": "UpsampleConv2d", "down": "Conv2dMeanPool"}[layer.resample]
    if before != after:
        prefix, same = f"{prefix.removeprefix('nn.')}Same", f", {before=}, {after=}"
    elif before:
        given += f", padding={before}"
    return f"{prefix}({ins}, {outs}, {given}{options}{bias}{same})"


def _norm(layer, shape, output_shape):
    eps = f"eps={layer.epsilon!r}"
    if isinstance(layer, layers.BatchNorm):
        options = f"{eps}, momentum={layer.momentum!r}"
        if layer.conditional:
            return f"ConditionalBatchNorm2d({shape[1]}, {shape[0]}, {options})"
        kind = "BatchNorm2d" if len(output_shape) == 3 else "BatchNorm1d"
        return f"nn.{kind}({shape[0]}, {options})"
    if layer.name == "instance":
        return f"nn.InstanceNorm2d({shape[0]}, {eps}, affine=True)"
    return f"LayerNorm({shape[0]}, {eps})"


def _helpers(body):
    """(source of the classes of torch_layers that `body` uses, it uses F)."""
    text = Path(__file__).with_name("torch_layers.py").read_text()
    nodes = [n for n in ast.parse(text).body if isinstance(n, ast.ClassDef)]
    sources = {n.name: ast.get_source_segment(text, n) or "" for n in nodes}

    def names(source):
        used = (n.id for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Name))
        return {name for name in used if name in sources}

    needed, waiting = set(), names(body)
    while waiting:
        name = waiting.pop()
        needed.add(name)
        waiting |= names(sources[name]) - needed
    used = [source for name, source in sources.items() if name in needed]
    return "".join(f"{s}\n\n\n" for s in used), any("F." in s for s in used)
