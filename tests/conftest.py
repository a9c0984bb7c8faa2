import ast
import functools
import importlib.util
import itertools
import os
import sys
import tempfile
import types
from shutil import which

import hypothesis
import jax
import pytest
from jaxtyping import install_import_hook

# Modules whose annotated shapes are checked at every call in tests. jaxtyping's own
# pytest option allows one module only where the type checker takes arguments.
CHECKED = (
    "wgan_jax.algorithm",
    "wgan_jax.data.batches",
    "wgan_jax.nn.conv",
    "wgan_jax.nn.norms",
)
CHECKER = "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"
install_import_hook(CHECKED, CHECKER)

# Programs of the tests run once or twice: optimising them would take most of the time,
# and XLA's older way of writing the code of fused operations, where it still has one,
# takes half as long. Read when the first array is made, and inherited by subprocesses.
FLAGS = ["--xla_backend_optimization_level=0"]
FLAGS += ["--xla_llvm_disable_expensive_passes=true"]
if jax.__version_info__ < (0, 11):
    # A flag that XLA does not know ends the process.
    FLAGS += ["--xla_cpu_use_fusion_emitters=false"]
os.environ.setdefault("XLA_FLAGS", " ".join(FLAGS))
# A silently broadcast [n, 1] against [n] is the classic wrong loss; a raw uint32 key
# can be mistaken for data.
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_legacy_prng_key", "error")
# As run.precision; a GPU would round products to TensorFloat-32.
jax.config.update("jax_default_matmul_precision", "float32")
# All processes of one test session share the programs that they compile, and the cache
# of whoever runs the tests stays as it is. Workers and commands inherit the variables,
# and the process that started first removes the folder.
if "PYTEST_XDIST_WORKER" not in os.environ:
    PROGRAMS = tempfile.TemporaryDirectory(prefix="wgan_jax_programs_")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = PROGRAMS.name
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.05"
jax.config.update("jax_compilation_cache_dir", os.environ["JAX_COMPILATION_CACHE_DIR"])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.05)


# The same examples in each run, without a file of earlier ones. Programs are compiled
# in an example, so that its time says little.
hypothesis.settings.register_profile(
    "tests",
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=25,
    suppress_health_check=[
        hypothesis.HealthCheck.too_slow,
        hypothesis.HealthCheck.function_scoped_fixture,
    ],
)
hypothesis.settings.load_profile("tests")

# Files of few but long tests: begun last, they would keep one process busy alone.
LONG = (
    "torture",
    "readme",
    "train_command",
    "parity",
    "sample_command",
    "tfds",
    "torch_loops",
)


# Marker of a test: the module that it needs, which an extra of pyproject.toml installs.
EXTRAS = {
    "browser": "selenium",
    "figures": "matplotlib",
    "notebooks": "nbclient",
    "onnx": "jax2onnx",
    "parquet": "pyarrow",
    "prepare": "tensorflow",
    "stream": "grain",
    "tensorboard": "tensorboardX",
    "torch": "torch",
    "fidelity": "torch_fidelity",
}


def missing(marker):
    """Why tests with this marker cannot run here, or None where they can."""
    if marker == "data" and not os.environ.get("WGAN_JAX_DATA"):
        return "needs real images: set WGAN_JAX_DATA to their folder"
    if marker in EXTRAS and importlib.util.find_spec(EXTRAS[marker]) is None:
        return f"needs {EXTRAS[marker]}: install the extra {marker}"
    if marker == "browser" and not (which("chromium") and which("chromedriver")):
        return "needs chromium and chromedriver"
    return None


def pytest_collection_modifyitems(items):
    names = [f"test_{name}" for name in LONG]

    def rank(item):
        name = item.path.stem
        return names.index(name) if name in names else len(names)

    items.sort(key=rank)
    for item in items:
        for reason in filter(None, (missing(m.name) for m in item.iter_markers())):
            item.add_marker(pytest.mark.skip(reason=reason))


class SkippedModule(pytest.Module):
    """A test file whose `pytestmark` names a missing extra: it is not imported."""

    def collect(self):
        pytest.skip(self.reason)


def pytest_pycollect_makemodule(module_path, parent):
    for node in ast.parse(module_path.read_text()).body:
        if ast.unparse(node).startswith("pytestmark = "):
            names = (n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute))
            for reason in filter(None, map(missing, names)):
                module = SkippedModule.from_parent(parent, path=module_path)
                module.reason = reason
                return module
    return None


@pytest.fixture
def new_key():
    """A function whose every call gives another key, the same ones in each run."""
    seeds = itertools.count(1000)
    return lambda: jax.random.key(next(seeds))


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="module")
def restore_each_once():
    """Reading a checkpoint takes longer than all that is done with it in some tests."""
    from wgan_jax.runs import restore

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(restore, "restore_run", functools.cache(restore.restore_run))
        yield


@pytest.fixture(scope="session")
def fidelity():
    """torch_fidelity with a stand-in for torchvision, whose parts are not called."""
    # PyTorch looks through all modules while it is imported: before the stand-in.
    import torch  # noqa: F401

    def anything(name):
        module = types.ModuleType(name)
        module.__getattr__ = lambda attribute: type(attribute, (), {})
        module.__path__ = []
        return module

    root, *below = "torchvision", "datasets", "models", "transforms"
    with pytest.MonkeyPatch.context() as patch:
        top = anything(root)
        patch.setitem(sys.modules, root, top)
        for name in below:
            setattr(top, name, anything(f"{root}.{name}"))
            patch.setitem(sys.modules, f"{root}.{name}", getattr(top, name))
        functional = top.transforms.functional = anything("functional")
        patch.setitem(sys.modules, f"{root}.transforms.functional", functional)
        from torch_fidelity import metric_fid, metric_isc, metric_kid, metric_prc
    # By now the stand-in is gone: PyTorch looks through all modules that there are.
    return types.SimpleNamespace(
        fid=metric_fid, isc=metric_isc, kid=metric_kid, prc=metric_prc
    )
