"""torch-fidelity's FID Inception with random weights, the reference for ours.

It needs `pip install --no-deps torch-fidelity`: torch-fidelity requires torchvision for
its data sets and other networks, but not for this network. Only tests with the markers
torch and fidelity import this file.
"""

import importlib.util
import sys
import types
from pathlib import Path

import numpy as np
import torch

from wgan_jax.metrics import inception

TORCHVISION = (
    "torchvision",
    "torchvision.datasets",
    "torchvision.transforms",
    "torchvision.transforms.functional",
)


def _import_torch_fidelity():
    """Its module of the network, imported with a stand-in for torchvision."""
    modules = {name: sys.modules.get(name) for name in TORCHVISION}
    for name in TORCHVISION:
        module = types.ModuleType(name)
        # Every attribute is a class: a base class or a name that is never used.
        module.__getattr__ = lambda attribute: type(attribute, (), {})
        module.__path__ = []
        sys.modules[name] = module
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, module)
    try:
        return importlib.import_module("torch_fidelity.feature_extractor_inceptionv3")
    finally:
        for name, module in modules.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


_fidelity = _import_torch_fidelity()


def random_state_dict(seed=0) -> dict:
    """Weights under which signals neither vanish nor explode, from input to output.

    Names and shapes are those of our network. torch-fidelity's network loads them, so
    both have the same layers.
    """
    rng = np.random.default_rng(seed)
    tensors = {}
    for name, shape in inception.kernel_shapes().items():
        fan_in, width = np.prod(shape[1:]), shape[0]
        tensors |= {
            f"{name}.conv.weight": rng.normal(0, np.sqrt(2 / fan_in), shape),
            f"{name}.bn.weight": rng.uniform(0.7, 1.3, width),
            f"{name}.bn.bias": rng.normal(0, 0.2, width),
            f"{name}.bn.running_mean": rng.normal(0, 0.2, width),
            f"{name}.bn.running_var": rng.uniform(0.5, 1.5, width),
        }
    tensors["fc.weight"] = rng.normal(0, 2048**-0.5, (1008, 2048))
    tensors["fc.bias"] = rng.normal(0, 1, 1008)
    return {name: torch.tensor(array).float() for name, array in tensors.items()}


def reference(tmp_path) -> tuple:
    """(torch-fidelity's extractor, the path of a file with its weights in tmp_path).

    The extractor gives (features [n, 2048], logits without bias [n, 1008]) of uint8
    images [n, 3, h, w]. The file is in the format of PyTorch before 1.6, as the
    published one is, whose 95,628,359 bytes are fewer than a zip could have.
    """
    path = Path(tmp_path) / "inception.pth"
    torch.save(random_state_dict(), path, _use_new_zipfile_serialization=False)
    extractor = _fidelity.FeatureExtractorInceptionV3(
        "inception-v3-compat",
        ["2048", "logits_unbiased"],
        feature_extractor_weights_path=str(path),
    )
    torch.save(extractor.state_dict(), path, _use_new_zipfile_serialization=False)
    return extractor, path


def extract(extractor, images) -> tuple:
    """(features, logits) of uint8 images [n, h, w, 1 or 3], as arrays."""
    images = np.broadcast_to(images, (*images.shape[:3], 3)).transpose(0, 3, 1, 2)
    with torch.no_grad():
        result = extractor(torch.tensor(images.copy()))
    return tuple(array.numpy() for array in result)


def enlarge(images, size=299):
    """torch-fidelity's resize of uint8 images [n, h, w, c], NHWC."""
    module = importlib.import_module("torch_fidelity.interpolate_compat_tensorflow")
    x = torch.tensor(images.transpose(0, 3, 1, 2).copy()).float()
    function = module.interpolate_bilinear_2d_like_tensorflow1x
    return function(x, (size, size), align_corners=False).numpy().transpose(0, 2, 3, 1)
