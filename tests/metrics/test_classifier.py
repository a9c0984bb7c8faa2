"""The classifier that computes features of small images."""

import dataclasses

import jax
import numpy as np
import pytest
from sklearn.datasets import load_digits

from wgan_jax.data.dataset import Dataset
from wgan_jax.errors import UserError
from wgan_jax.metrics import classifier
from wgan_jax.metrics.features import classifier_extractor


@pytest.fixture(scope="module")
def digits():
    scans = load_digits()
    images = (scans.images * 15).astype(np.uint8)[..., None]
    labels = scans.target.astype(np.int32)
    return Dataset(images[:1400], images[1400:], labels[:1400], labels[1400:])


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A separate cache directory, and training that takes seconds."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        patch.setattr(classifier, "STEPS", 160)
        yield folder / "wgan_jax"


@pytest.fixture(scope="module")
def params(cache, digits):
    return classifier.load(digits.train, digits.train_labels)


features_of = jax.jit(classifier.features)


def test_it_classifies_held_out_digits(params, digits):
    classes = np.arange(10)
    accuracy = classifier.accuracy(
        params, digits.heldout, digits.heldout_labels, classes
    )
    assert accuracy > 0.85
    wrong = (digits.heldout_labels + 1) % 10
    assert classifier.accuracy(params, digits.heldout, wrong, classes) < 0.1


def test_features_are_the_activations_before_the_logits(params, digits):
    features, logits = features_of(params, digits.heldout[:7])
    assert features.shape == (7, classifier.FEATURES)
    assert features.dtype == logits.dtype == np.float32
    assert (features >= 0).all()
    kernel, bias = params[-1]
    expected = np.asarray(features) @ np.asarray(kernel) + np.asarray(bias)
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4)


def test_its_features_equal_a_network_in_numpy(params, digits):
    images = digits.heldout[:7]
    *convolutions, dense, _ = jax.tree.map(np.asarray, params)
    x = images.astype(np.float32) / 255 - 0.5
    for kernel, bias in convolutions:
        windows = np.lib.stride_tricks.sliding_window_view(
            np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))), (4, 4), (1, 2)
        )[:, ::2, ::2]
        x = np.maximum(np.einsum("nyxcij,ijco->nyxo", windows, kernel) + bias, 0)
    x = np.maximum(x.reshape(7, -1) @ dense[0] + dense[1], 0)
    result = features_of(params, images)[0]
    np.testing.assert_allclose(result, x, rtol=1e-4, atol=1e-4)


def test_it_is_trained_once_for_the_same_images_and_labels(
    params, digits, cache, monkeypatch
):
    again = classifier.load(digits.train, digits.train_labels)
    for a, b in zip(jax.tree.leaves(params), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(a, b)

    class Trained(Exception):
        pass

    def train(*_):
        raise Trained

    monkeypatch.setattr(classifier, "train", train)
    classifier.load(digits.train, digits.train_labels)
    order = np.random.default_rng(0).permutation(1400)
    classifier.load(digits.train[order], digits.train_labels[order])
    changed = digits.train_labels.copy()
    changed[0] += 1
    for images, labels, more in (
        (255 - digits.train, digits.train_labels, {}),
        (digits.train, changed, {}),
        (digits.train, digits.train_labels, {"seed": 1}),
    ):
        with pytest.raises(Trained):
            classifier.load(images, labels, **more)
    # A damaged file is trained again.
    next(cache.glob("classifier-*.npz")).write_bytes(b"half a file")
    with pytest.raises(Trained):
        classifier.load(digits.train, digits.train_labels)


def test_its_seed_determines_it(digits, cache, monkeypatch):
    monkeypatch.setattr(classifier, "STEPS", 3)
    images, labels = digits.train[:64], digits.train_labels[:64]
    result = [
        np.asarray(classifier.train(images, labels, 10, seed)[-1][0])
        for seed in (0, 0, 1)
    ]
    np.testing.assert_array_equal(result[0], result[1])
    assert (result[0] != result[2]).any()


def test_the_order_of_the_images_does_not_change_it(digits, cache, monkeypatch):
    monkeypatch.setattr(classifier, "STEPS", 3)
    images = np.repeat(digits.train[:40], 2, 0)
    # Equal images with unequal labels.
    labels = digits.train_labels[:80]
    expected = classifier.train(images, labels, 10)
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(80)
        again = classifier.train(images[order], labels[order], 10)
        for a, b in zip(jax.tree.leaves(expected), jax.tree.leaves(again)):
            np.testing.assert_array_equal(a, b)


def test_labels_may_start_above_zero_and_images_be_in_colour(
    digits, cache, monkeypatch
):
    monkeypatch.setattr(classifier, "STEPS", 60)
    some = np.isin(digits.train_labels, (3, 7))
    images = np.repeat(digits.train[some], 3, 3)
    labels = digits.train_labels[some]
    params = classifier.load(images, labels)
    assert params[-1][0].shape == (classifier.FEATURES, 2)
    assert classifier.accuracy(params, images, labels, np.array([3, 7])) > 0.95


def test_the_extractor_reports_its_accuracy_on_held_out_images(params, digits):
    reports = []
    extractor = classifier_extractor(digits, "digits", report=reports.append)
    accuracy = classifier.accuracy(
        params, digits.heldout, digits.heldout_labels, np.arange(10)
    )
    expected = f"accuracy on 397 held-out images is {accuracy:.2%}"
    assert reports == [f"the classifier's {expected}"]
    assert (extractor.name, extractor.dimension) == ("classifier", 64)
    features, logits = extractor.apply(digits.train[:3])
    assert features.shape == (3, 64)
    assert logits.shape == (3, 10)
    other = classifier_extractor(
        dataclasses.replace(digits, train=255 - digits.train),
        "digits",
        report=reports.append,
    )
    assert extractor.identity != other.identity


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda x, y: (x, None), "needs labels and FOLDER has none"),
        (
            lambda x, y: (x, 0 * y + 4),
            "two classes or more and FOLDER has only",
        ),
        (lambda x, y: (x[:, :7], y), "8x8 pixels or more and those of FOLDER have 7x8"),
    ],
)
def test_unsuitable_data_are_refused(digits, cache, change, part):
    images, labels = change(digits.train, digits.train_labels)
    with pytest.raises(UserError, match="--features classifier needs") as caught:
        classifier.load(images, labels, "FOLDER")
    assert part in str(caught.value)
    assert str(caught.value).endswith("inception")
