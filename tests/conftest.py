import itertools
import os

import jax
import pytest

# Programs of the tests run once or twice: optimising them would take most of the time.
# Read when the first array is made, and inherited by subprocesses.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true",
)
# A silently broadcast [n, 1] against [n] is the classic wrong loss; a raw uint32 key
# can be mistaken for data.
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_legacy_prng_key", "error")


def pytest_collection_modifyitems(items):
    if os.environ.get("WGAN_JAX_DATA"):
        return
    skip = pytest.mark.skip(reason="needs real images: set WGAN_JAX_DATA to a folder")
    for item in items:
        if item.get_closest_marker("data"):
            item.add_marker(skip)


@pytest.fixture
def new_key():
    """A function whose every call gives another key, the same ones in each run."""
    seeds = itertools.count(1000)
    return lambda: jax.random.key(next(seeds))


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield
