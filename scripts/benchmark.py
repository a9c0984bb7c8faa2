"""Benchmarks of training: python scripts/benchmark.py [NAME] [options].

speed (the default): full training cycles of this library against PyTorch.
breakdown: the operations in which a training cycle spends its time.
streaming: rates of image streams, their cost in training, and memory over an epoch.
scaling: communication of a cycle, and the predicted speed of many devices.
features: sensitivity of image features to known disturbances of real images.

python scripts/benchmark.py NAME --help lists the options of each.
"""

import importlib
import sys

from wgan_jax import cli
from wgan_jax.errors import UserError

NAMES = ("speed", "breakdown", "streaming", "scaling", "features")


def main(argv=None) -> int:
    """Runs the benchmark that the first argument names, speed where there is none."""
    argv = sys.argv[1:] if argv is None else list(argv)
    name = "speed"
    if argv and not argv[0].startswith("-"):
        name = argv.pop(0)
        if name not in NAMES:
            known = ", ".join(NAMES)
            raise UserError(f"{name} is not a benchmark: choose from {known}")
    return importlib.import_module(f"benchmarks.{name}").main(argv)


if __name__ == "__main__":
    cli.run(main)
