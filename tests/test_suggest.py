"""Suggested configurations: valid for all data, and functions of the facts."""

import dataclasses

import numpy as np
import pytest

from wgan_jax.config import Data
from wgan_jax.errors import UserError
from wgan_jax.suggest import Facts, suggest
from wgan_jax.validation import validate

PHOTOS = Facts(
    count=9303,
    shape=(300, 400, 3),
    data=Data(source="folder", dir="photos"),
    shorter_sides=(120, 300, 400),
)
DIGITS = dataclasses.replace(
    PHOTOS, shape=(28, 28, 1), shorter_sides=(28, 28, 28), classes=10, rarest=500
)
VECTORS = Facts(count=1000, shape=(5,), data=Data(source="vectors", dir="v.npz"))


def test_photos_get_a_dcgan_of_64_pixels_on_a_cpu_and_of_128_elsewhere():
    config, reasons = suggest(PHOTOS)
    assert (config.data.image_size, config.data.channels) == (64, 3)
    assert (config.model.kind, config.model.features) == ("dcgan", 16)
    assert config.model.generator_widths == (8, 4, 2, 1)
    assert (config.data.heldout, config.data.batch_size) == (930, 64)
    assert any(r.startswith("data.image_size=64: the largest") for r in reasons)
    sharp = dataclasses.replace(PHOTOS, shorter_sides=(128, 300, 400))
    config, _ = suggest(sharp, accelerator=True)
    assert (config.data.image_size, config.model.features) == (128, 64)


def test_images_of_one_size_keep_it():
    config, _ = suggest(DIGITS)
    assert (config.data.image_size, config.data.channels) == (28, 1)
    assert config.model.critic_widths == (1, 2)


def test_labels_are_used_on_an_accelerator_and_named_elsewhere():
    _, reasons = suggest(DIGITS)
    assert any("the 10 labels are not used" in reason for reason in reasons)
    config, _ = suggest(DIGITS, accelerator=True)
    assert (config.model.kind, config.model.classes) == ("resnet", 10)


def test_choices_follow_the_fields_that_are_given():
    given = {"data.image_size": 128, "model.features": 8, "run.steps": 40}
    config, reasons = suggest(PHOTOS, given=given)
    assert config.model.critic_widths == (1, 2, 4, 8, 16)
    assert (config.model.features, config.run.steps) == (8, 40)
    assert config.run.sample_every == 25
    assert not any(reason.startswith(tuple(given)) for reason in reasons)
    validate(config)


def test_a_small_memory_halves_the_batch_and_then_the_width():
    config, reasons = suggest(PHOTOS, memory=3e8, accelerator=True)
    assert config.data.batch_size == 8
    assert config.model.features < 64
    assert any(r.startswith("data.batch_size=8: halved to fit 300 MB") for r in reasons)


def test_few_samples_have_a_warning_and_one_is_refused():
    few = dataclasses.replace(PHOTOS, count=40)
    config, reasons = suggest(few)
    assert (config.data.heldout, config.data.batch_size) == (4, 8)
    assert any(reason.startswith("warning: 40 samples are few") for reason in reasons)
    with pytest.raises(UserError, match="1 sample is too few"):
        suggest(dataclasses.replace(PHOTOS, count=1))


@pytest.mark.parametrize("accelerator", [False, True])
@pytest.mark.parametrize("count", [2, 10, 70_000])
def test_every_suggestion_is_valid(count, accelerator):
    for shape in ((1,), (5,), (300,), *((side, side, 1) for side in range(1, 70))):
        data = (VECTORS if len(shape) == 1 else PHOTOS).data
        facts = Facts(data, count, shape)
        config, reasons = suggest(facts, accelerator=accelerator)
        validate(config)
        assert config.data.batch_size + config.data.heldout <= count
        assert suggest(facts, accelerator=accelerator) == (config, reasons)
        assert all(": " in reason for reason in reasons)


def test_facts_of_an_array():
    images = np.zeros((6, 8, 8), np.uint8)
    facts = Facts.of_array(PHOTOS.data, images, np.array([0, 0, 1, 1, 1, 7]))
    assert facts == Facts(PHOTOS.data, 6, (8, 8, 1), classes=3, rarest=1)
    config, _ = suggest(Facts.of_array(VECTORS.data, np.zeros((20, 3))))
    assert config.data.dimensions == 3
