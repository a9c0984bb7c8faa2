"""The FID Inception against torch-fidelity's, and the files of its weights.

The parity tests need `pip install --no-deps torch-fidelity` (see torch_inception.py).
"""

import collections
import gzip
import hashlib
import io
import os
import pickle
import socket
import sys
import zipfile
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax
from PIL import Image

from wgan_jax.errors import UserError
from wgan_jax.files import cache_directory
from wgan_jax.metrics import (
    frechet,
    inception,
    inception_score,
    inception_weights,
    kernel_distance,
)
from wgan_jax.metrics.frechet import Moments
from wgan_jax.metrics.inception_weights import WEIGHTS

# -------------------------------------------------------------------- resize and pools


def test_resize_to_twice_the_size_reads_at_pixels_and_halfway_between():
    image = jnp.array([[0, 100], [200, 50]], jnp.uint8)[None, :, :, None]
    # Positions beyond the last pixel have its value.
    expected = [
        [0, 50, 100, 100],
        [100, 87.5, 75, 75],
        [200, 125, 50, 50],
        [200, 125, 50, 50],
    ]
    np.testing.assert_array_equal(inception.resize(image, 4)[0, ..., 0], expected)


def test_resize_takes_every_third_pixel_of_three_times_the_size(new_key):
    images = jax.random.bits(new_key(), (2, 12, 15, 3), jnp.uint8)
    result = inception.resize(images[:, :, :12], 4)
    np.testing.assert_array_equal(result, images[:, ::3, :12:3])


def test_resize_of_a_linear_image_is_linear():
    rows, columns = np.mgrid[:40, :80].astype(np.uint8)
    plane = jnp.asarray(rows + 2 * columns)[None, :, :, None]
    i = np.arange(299)
    # Steps of 40 / 299 rows and 80 / 299 columns, up to the last pixel.
    y, x = np.minimum(i * 40 / 299, 39), np.minimum(i * 80 / 299, 79)
    expected = y[:, None] + 2 * x[None, :]
    result = inception.resize(plane)[0, ..., 0]
    np.testing.assert_allclose(result, expected, rtol=0, atol=4e-5)


def test_resize_to_its_own_size_changes_nothing(new_key):
    images = jax.random.bits(new_key(), (1, 299, 299, 1), jnp.uint8)
    np.testing.assert_array_equal(inception.resize(images), images)


def test_average_pool_excludes_the_padding(new_key):
    x = jax.random.normal(new_key(), (2, 4, 5, 3))
    padded = np.full((2, 6, 7, 3), np.nan)
    padded[:, 1:-1, 1:-1] = x
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2))
    expected = np.nanmean(windows, (-2, -1))
    np.testing.assert_allclose(inception._average(x), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("size", "kernel", "stride"),
    [((9, 7), (3, 3), 2), ((6, 7), (3, 3), 1), ((8, 8), (3, 3), 2)],
)
def test_unpadded_convolution_equals_lax_s(new_key, size, kernel, stride):
    x = jax.random.normal(new_key(), (2, *size, 3))
    weights = jax.random.normal(new_key(), (*kernel, 3, 4))
    expected = lax.conv_general_dilated(
        *(x, weights, (stride, stride), "VALID"),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    result = inception._convolve(x, weights, stride, padded=False)
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5)


# -------------------------------------------------------------- against torch-fidelity


@pytest.fixture(scope="module")
def torch_inception():
    import torch_inception

    return torch_inception


@pytest.fixture(scope="module")
def reference(torch_inception, tmp_path_factory):
    return torch_inception.reference(tmp_path_factory.mktemp("inception"))


@pytest.fixture(scope="module")
def params(reference):
    return inception.load(str(reference[1]), report=lambda _: None)


@pytest.fixture(scope="module")
def features(params):
    """inception.features, compiled once for each dtype and shape of images."""
    jitted = jax.jit(inception.features, static_argnames="dtype")
    return partial(jitted, params)


def photographs():
    """Colour images [4, 32, 32, 3] cut from scikit-learn's two photographs."""
    from sklearn.datasets import load_sample_images

    temple, flower = load_sample_images().images
    return np.stack(
        [temple[:32, :32], temple[300:332, 200:232], flower[200:232, 300:332]]
        + [flower[:32, 100:132]]
    )


def digits():
    """Grey images [4, 28, 28, 1] of scikit-learn's scans."""
    from sklearn.datasets import load_digits

    scans = np.round(load_digits().images[:4] * (255 / 16)).astype(np.uint8)
    return scans.repeat(4, 1).repeat(4, 2)[:, 2:30, 2:30, None]


def mnist(count=4):
    path = Path(os.environ["WGAN_JAX_DATA"]) / "mnist" / "t10k-images-idx3-ubyte.gz"
    pixels = np.frombuffer(gzip.decompress(path.read_bytes())[16:], np.uint8)
    return pixels.reshape(-1, 28, 28, 1)[:count]


def cifar10(count=4):
    path = Path(os.environ["WGAN_JAX_DATA"]) / "cifar10" / "cifar10_sheets_b.zip"
    with zipfile.ZipFile(path) as archive:
        name = next(n for n in sorted(archive.namelist()) if n.startswith("test_"))
        grid = Image.open(io.BytesIO(archive.read(name))).convert("RGB")
    return np.asarray(grid)[:32].reshape(32, -1, 32, 3).swapaxes(0, 1)[:count]


def whole_photograph():
    """One image [1, 427, 640, 3], larger than the network's."""
    from sklearn.datasets import load_sample_images

    return load_sample_images().images[0][None]


@pytest.mark.torch
@pytest.mark.fidelity
@pytest.mark.parametrize("images", [photographs, digits, whole_photograph])
def test_resize_is_torch_fidelity_s(torch_inception, images):
    images = images()
    expected = torch_inception.enlarge(images)
    np.testing.assert_array_equal(inception.resize(jnp.asarray(images)), expected)
    # Compiled, a product and a sum may be rounded once instead of twice: 2 units in the
    # last place of 255.
    compiled = jax.jit(inception.resize)(images)
    np.testing.assert_allclose(compiled, expected, rtol=0, atol=4e-5)


def require_close(result, expected, tolerance):
    """All numbers within `tolerance` of the largest, far below image differences."""
    for ours, theirs in zip(result, expected, strict=True):
        assert ours.dtype == jnp.float32
        assert ours.shape == theirs.shape
        atol = tolerance * np.abs(theirs).max()
        assert theirs.std(0).mean() > 3 * atol
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=atol)


@pytest.mark.torch
@pytest.mark.fidelity
@pytest.mark.parametrize(
    "images",
    [
        photographs,
        digits,
        pytest.param(cifar10, marks=pytest.mark.data),
        pytest.param(mnist, marks=pytest.mark.data),
    ],
)
def test_features_are_torch_fidelity_s(torch_inception, reference, features, images):
    images = images()
    expected = torch_inception.extract(reference[0], images)
    assert [array.shape for array in expected] == [(4, 2048), (4, 1008)]
    # Measured: at most 8e-7 of the largest.
    require_close(features(images), expected, 1e-5)


@pytest.mark.data
@pytest.mark.torch
@pytest.mark.fidelity
def test_scores_of_images_are_torch_fidelity_s(
    torch_inception, reference, features, fidelity
):
    """FID, Inception score and KID of real images by both, from pixels."""
    import torch

    images = cifar10(12)
    batches = np.split(images, 3)
    theirs = [torch_inception.extract(reference[0], batch) for batch in batches]
    ours = [features(batch) for batch in batches]
    theirs, ours = (
        [np.concatenate(arrays) for arrays in zip(*result, strict=True)]
        for result in (theirs, ours)
    )
    halves = [torch.tensor(half.astype(np.float64)) for half in np.split(theirs[0], 2)]
    statistics = map(fidelity.fid.fid_features_to_statistics, halves)
    fid = fidelity.fid.fid_statistics_to_metric(*statistics, verbose=False)
    kid = fidelity.kid.kid_features_to_metric(
        *halves, kid_subsets=1, kid_subset_size=6, verbose=False
    )
    score = inception_score.SplitScore(12, 3)
    score.update(ours[1])
    # Their parts are consecutive.
    order = np.argsort(score.part, kind="stable")
    expected = fidelity.isc.isc_features_to_metric(
        torch.tensor(theirs[1][order]), splits=3, shuffle=False
    )
    assert score.result() == pytest.approx(tuple(expected.values()), rel=1e-4)
    half, other = np.split(ours[0], 2)
    moments = Moments.of(half), Moments.of(other)
    # The features differ by 1e-6 of the largest.
    expected = fid[fidelity.fid.KEY_METRIC_FID]
    assert frechet.frechet_distance(*moments) == pytest.approx(expected, rel=1e-4)
    result = kernel_distance.kernel_distance(half, other, subsets=1, size=6)[0]
    expected = kid[fidelity.kid.KEY_METRIC_KID_MEAN]
    assert result == pytest.approx(expected, rel=1e-4)


@pytest.mark.torch
@pytest.mark.fidelity
def test_bfloat16_features_are_near(torch_inception, reference, features):
    images = photographs()[:2]
    expected = torch_inception.extract(reference[0], images)
    for ours, theirs in zip(features(images, dtype="bfloat16"), expected, strict=True):
        assert ours.dtype == jnp.float32
        # Measured: 7e-3 of the largest; one rounding to bfloat16 is up to 4e-3.
        atol = 0.02 * np.abs(theirs).max()
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=atol)


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((1, 8, 8, 3), np.float32),
        np.zeros((1, 8, 8, 4), np.uint8),
        np.zeros((8, 8, 3), np.uint8),
    ],
)
def test_arrays_that_are_not_images_are_refused(images):
    with pytest.raises(ValueError, match="must be uint8"):
        inception.features({}, images)


# ---------------------------------------------------------------------------- the file


def complaint(call, *arguments):
    """The message of a UserError, which must be one sentence."""
    with pytest.raises(UserError) as caught:
        call(*arguments)
    message = str(caught.value)
    assert "\n" not in message
    return message


def tensor(offset, shape, strides, kind=b"FloatStorage"):
    """A pickled tensor on the storage "0" of 4 numbers, as torch.save writes it."""

    def numbers(values):
        return b"(" + b"".join(b"I%d\n" % n for n in values) + b"t"

    storage = b"(Vstorage\nctorch\n%b\nV0\nVcpu\nI4\ntQ" % kind
    given = storage + b"I%d\n" % offset + numbers(shape) + numbers(strides)
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + given + b"I00\n(dtR"


def zipped(path, content, numbers=b""):
    """A file of PyTorch 1.6's format: one pickle, and the numbers of storage "0"."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", content)
        archive.writestr("archive/data/0", numbers)
    return path


def legacy(path, content, numbers=None):
    """The same in the older format."""
    head = (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})
    keys = [] if numbers is None else ["0"]
    pickles = [*map(pickle.dumps, head), content, pickle.dumps(keys)]
    tail = b"" if numbers is None else (4).to_bytes(8, "little") + numbers
    path.write_bytes(b"".join(pickles) + tail)
    return path


def dictionary(*values):
    """A pickled {"w": value} of the last value, others put on the stack before."""
    return b"(dVw\n" + b"".join(values) + b"s."


FORMS = pytest.mark.parametrize("form", [zipped, legacy])
FOUR = np.array([1, 2, 3, 4], "<f4").tobytes()


@FORMS
def test_tensors_are_read_with_offset_and_strides(form, tmp_path):
    path = form(tmp_path / "w.pth", dictionary(tensor(1, (3, 1), (1, 1))), FOUR)
    result = inception_weights.read(path)["w"]
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, [[2], [3], [4]])
    path = form(path, dictionary(tensor(0, (2, 2), (1, 2))), FOUR)
    np.testing.assert_array_equal(inception_weights.read(path)["w"], [[1, 3], [2, 4]])
    path = form(path, dictionary(tensor(0, (), ())), FOUR)
    assert inception_weights.read(path)["w"] == 1


@FORMS
@pytest.mark.parametrize(
    ("offset", "shape", "strides"),
    [
        (1, (4,), (1,)),
        (0, (2,), (4,)),
        (-1, (2,), (1,)),
        (0, (2,), (-1,)),
        (4, (), ()),
        (0, (-1,), (1,)),
        (0, (2,), (1, 1)),
    ],
)
def test_tensors_beyond_their_numbers_are_refused(
    form, offset, shape, strides, tmp_path
):
    content = dictionary(tensor(offset, shape, strides))
    path = form(tmp_path / "w.pth", content, FOUR)
    assert "cannot be read (ValueError" in complaint(inception_weights.read, path)


class Code:
    """An object whose pickle would write a file where it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


@FORMS
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_code_in_a_file_is_refused_and_not_run(form, protocol, tmp_path):
    harm = tmp_path / "harm"
    path = form(tmp_path / "w.pth", pickle.dumps({"w": Code(harm)}, protocol))
    message = complaint(inception_weights.read, path)
    assert "open), and code in a file is never run" in message
    assert not harm.exists()


def test_code_is_refused_in_every_pickle_of_a_legacy_file(tmp_path):
    harm = tmp_path / "harm"
    code = pickle.dumps(Code(harm))
    whole = legacy(tmp_path / "w.pth", dictionary(tensor(0, (4,), (1,)))).read_bytes()
    keys = pickle.dumps([])
    assert whole.endswith(keys)
    for content in (code, whole[: -len(keys)] + code):
        (tmp_path / "w.pth").write_bytes(content)
        message = complaint(inception_weights.read, tmp_path / "w.pth")
        assert "never run" in message
        assert not harm.exists()


@FORMS
def test_damaged_files_are_refused(form, tmp_path):
    path = form(tmp_path / "w.pth", dictionary(tensor(0, (4,), (1,))), FOUR)
    whole = path.read_bytes()
    for size in (0, 1, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        assert "cannot be read" in complaint(inception_weights.read, path)
    path = form(path, pickle.dumps([1, 2]))
    assert "it holds a list" in complaint(inception_weights.read, path)


def is_read(path):
    """Whether weights are read, and not refused by one sentence."""
    try:
        weights = inception_weights.read(path)
    except UserError:
        complaint(inception_weights.read, path)
        return False
    kinds = {np.dtype(dtype) for dtype in inception_weights.DTYPES.values()}
    assert all(array.dtype in kinds for array in weights.values())
    return True


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused(tmp_path, content):
    for form in (zipped, legacy):
        assert not is_read(form(tmp_path / "w.pth", b"\x80" + content, FOUR))
    (tmp_path / "w.pth").write_bytes(content)
    assert not is_read(tmp_path / "w.pth")


@settings(max_examples=200)
@given(st.data())
def test_a_changed_file_is_read_or_refused_and_runs_nothing(tmp_path, data):
    form = data.draw(st.sampled_from([zipped, legacy]))
    content = bytearray(dictionary(tensor(1, (3, 1), (1, 1))))
    where = st.integers(0, len(content) - 1)
    for place, byte in data.draw(st.lists(st.tuples(where, st.integers(0, 255)))):
        content[place] = byte
    is_read(form(tmp_path / "w.pth", bytes(content), FOUR))
    path = form(tmp_path / "w.pth", dictionary(tensor(1, (3, 1), (1, 1))), FOUR)
    whole = bytearray(path.read_bytes())
    whole[data.draw(st.integers(0, len(whole) - 1))] ^= 1 << data.draw(
        st.integers(0, 7)
    )
    path.write_bytes(whole)
    is_read(path)


@given(
    st.sampled_from(["os", "posix", "builtins", "subprocess", "torch", "torch._utils"]),
    st.sampled_from(["system", "eval", "exec", "open", "Popen", "_rebuild_tensor"]),
)
def test_no_function_is_loaded_but_those_of_tensors(tmp_path, module, name):
    harm = tmp_path / "harm"
    code = f"c{module}\n{name}\n(Vtouch {harm}\ntR".encode()
    for form in (zipped, legacy):
        path = form(tmp_path / "w.pth", dictionary(code), FOUR)
        assert "never run" in complaint(inception_weights.read, path)
        assert not harm.exists()


@pytest.mark.torch
@pytest.mark.parametrize("zip_format", [True, False])
def test_files_of_pytorch_are_read_without_it(zip_format, tmp_path, monkeypatch):
    import torch

    numbers = torch.arange(24).reshape(2, 3, 4)
    state = collections.OrderedDict(
        {
            f"kind.{i}": numbers.to(kind)
            for i, kind in enumerate(
                [
                    torch.float64,
                    torch.float32,
                    torch.float16,
                    torch.bfloat16,
                    torch.int64,
                    torch.int32,
                    torch.int16,
                    torch.int8,
                    torch.uint8,
                    torch.bool,
                ]
            )
        }
    )
    state |= {
        "view": numbers.permute(2, 0, 1)[1:3],
        "same.numbers": numbers[1],
        "parameter": torch.nn.Parameter(torch.ones(3)),
        "scalar": torch.tensor(7),
        "empty": torch.zeros(0, 5),
    }
    path = tmp_path / "w.pth"
    torch.save(state, path, _use_new_zipfile_serialization=zip_format)
    expected = {name: value.detach().float().numpy() for name, value in state.items()}
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "torch", None)
        result = inception_weights.read(path)
    assert list(result) == list(expected)
    assert result["kind.3"].dtype == jnp.bfloat16
    assert result["kind.4"].dtype == np.int64
    for name, array in result.items():
        np.testing.assert_array_equal(array.astype(np.float32), expected[name])


@pytest.mark.torch
def test_both_formats_give_the_same_parameters(reference, params, tmp_path):
    import torch

    torch.save(torch.load(reference[1], weights_only=True), tmp_path / "w.pth")
    reports = []
    result = inception.load(str(tmp_path / "w.pth"), reports.append)
    jax.tree.map(np.testing.assert_array_equal, result, params)
    assert len(reports) == 1
    assert "w.pth is not the published" in reports[0]


def shapes():
    """The shapes of all arrays that a file must have, by name."""
    needed = {"fc.weight": (1008, 2048)}
    for name, shape in inception.kernel_shapes().items():
        norm = ("weight", "bias", "running_mean", "running_var")
        needed |= {f"{name}.bn.{part}": shape[:1] for part in norm}
        needed[f"{name}.conv.weight"] = shape
    return needed


def test_the_network_has_the_size_of_the_published_one():
    # 94 convolutions; 23.9 million numbers: 95,541,568 bytes of a file of 95,628,359.
    assert len(inception.kernel_shapes()) == 94
    numbers = sum(map(np.prod, shapes().values())) + 1008
    assert 4 * numbers == 95_541_568


@pytest.mark.parametrize(
    ("name", "shape", "words"),
    [
        # torchvision's Inception-v3 has the same names.
        ("fc.weight", (1000, 2048), "([1000, 2048], expected [1008, 2048])"),
        (
            "Mixed_6b.branch7x7_2.conv.weight",
            (128, 128, 7, 1),
            "expected [128, 128, 1, 7",
        ),
        ("Mixed_7c.branch_pool.bn.running_var", None, "(missing, expected [192])"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(name, shape, words, tmp_path, monkeypatch):
    path = tmp_path / "w.pth"
    path.touch()
    tensors = {n: np.broadcast_to(np.float32(1), s) for n, s in shapes().items()}
    tensors.pop(name)
    if shape:
        tensors[name] = np.zeros(shape, np.float32)
    monkeypatch.setattr(inception_weights, "read", lambda _: tensors)
    message = complaint(inception.load, str(path), lambda _: None)
    assert "1 of 471 arrays are missing or of another shape" in message
    assert f"the first is {name} (" in message
    assert words in message


# ------------------------------------------------------------- location of the file


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A stand-in for the published file, the cache an empty folder."""
    path = tmp_path / "published.pth"
    path.write_bytes(os.urandom(3_000_000))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(inception_weights, "SHA256", digest)
    monkeypatch.setattr(inception_weights, "ADDRESS", path.as_uri())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(inception_weights.VARIABLE, raising=False)
    return path


def test_the_file_name_has_the_first_digits_of_the_checksum():
    digits = WEIGHTS.removesuffix(".pth").rpartition("-")[2]
    assert inception_weights.SHA256.startswith(digits)
    assert len(bytes.fromhex(inception_weights.SHA256)) == 32
    assert digits in inception_weights.ADDRESS


def test_the_file_is_downloaded_once(published, monkeypatch):
    reports = []
    result = inception_weights.find(report=reports.append)
    assert result == cache_directory() / WEIGHTS
    assert result.read_bytes() == published.read_bytes()
    assert len(reports) == 1
    assert list(result.parent.iterdir()) == [result]
    monkeypatch.setattr(inception_weights, "ADDRESS", "file:///nowhere")
    assert inception_weights.find(report=reports.append) == result
    assert len(reports) == 1


def test_a_named_file_overrides_the_variable_and_the_cache(
    published, tmp_path, monkeypatch
):
    cached = inception_weights.find(report=lambda _: None)
    named, variable = tmp_path / "named.pth", tmp_path / "variable.pth"
    reports = []
    named.write_bytes(published.read_bytes())
    variable.write_bytes(published.read_bytes())
    monkeypatch.setenv(inception_weights.VARIABLE, str(variable))
    assert inception_weights.find(str(named), reports.append) == named
    assert inception_weights.find("", reports.append) == variable
    assert not reports
    variable.write_bytes(b"another")
    assert inception_weights.find("", reports.append) == variable
    assert f"WGAN_JAX_INCEPTION={variable} is not the published" in reports.pop()
    monkeypatch.delenv(inception_weights.VARIABLE)
    assert inception_weights.find("", reports.append) == cached
    assert not reports


def test_the_error_of_a_missing_file_names_the_option(published, tmp_path, monkeypatch):
    missing = str(tmp_path / "missing.pth")
    message = complaint(inception_weights.find, missing)
    assert message.startswith(f"{missing} is not a file")
    monkeypatch.setenv(inception_weights.VARIABLE, missing)
    message = complaint(inception_weights.find)
    assert message.startswith(f"WGAN_JAX_INCEPTION={missing} is not a file")
    assert WEIGHTS in message


def test_without_network_the_file_and_its_place_are_named(published, monkeypatch):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{closed.getsockname()[1]}/{WEIGHTS}"
    monkeypatch.setattr(inception_weights, "ADDRESS", address)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    message = complaint(inception_weights.find, "", lambda _: None)
    for part in (WEIGHTS, inception_weights.SHA256, str(cache_directory())):
        assert part in message
    assert "WGAN_JAX_INCEPTION" in message
    assert not list(cache_directory().iterdir())


def test_a_download_with_another_checksum_is_not_saved(published):
    published.write_bytes(published.read_bytes()[:-1])
    message = complaint(inception_weights.find, "", lambda _: None)
    assert "wrong sha256" in message
    assert not list(cache_directory().iterdir())


def test_a_cached_file_with_another_checksum_is_refused(published):
    cached = inception_weights.find(report=lambda _: None)
    cached.write_bytes(b"damaged")
    message = complaint(inception_weights.find)
    assert message.startswith(f"{cached} is not the published file")
    assert "delete it" in message
