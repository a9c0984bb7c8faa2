"""A stream gives what images in memory give, and leaves nothing behind."""

import dataclasses
import importlib.util
import io
import json
import math
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import (
    ROOT,
    TFDS_TEST,
    TFDS_TRAIN,
    encode_image,
    environment,
    final_arrays,
    in_process,
    records,
    write_array_record,
    write_tfds,
)
from PIL import Image

from wgan_jax import evaluate, sweep, train
from wgan_jax.algorithm import steps
from wgan_jax.config import Config, Data, Model, Objective, Run
from wgan_jax.data import decoding, shuffle, stream
from wgan_jax.data.batches import (
    epoch_rounds,
    make_get_batch,
    make_get_block_batch,
    permute,
)
from wgan_jax.data.dataset import load, load_in_memory
from wgan_jax.data.prefetch import Prefetcher
from wgan_jax.data.sources.array_record import ArrayRecordImages
from wgan_jax.distributed.sharding import ONE_DEVICE, BatchSharding
from wgan_jax.errors import UserError
from wgan_jax.metrics.features import Extractor, extract_array
from wgan_jax.runs import directory
from wgan_jax.training.setup import prepare, prepare_monitor
from wgan_jax.validation import validate

pytestmark = pytest.mark.stream


@pytest.fixture(autouse=True)
def cached(tmp_path, monkeypatch):
    """The folder of decoded images, away from that of the user."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


IMAGES = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 3), np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """IMAGES as array_record files of 40 and 20 records of several formats."""
    folder = tmp_path_factory.mktemp("records")
    forms = ("png", "ppm", "bmp")
    encoded = [encode_image(image, forms[i % 3]) for i, image in enumerate(IMAGES)]
    write_array_record(folder / "x.array_record-00000-of-00002", encoded[:40])
    write_array_record(folder / "x.array_record-00001-of-00002", encoded[40:])
    return folder


def described(folder, **changes):
    fields = {"image_size": 8, "channels": 3, "batch_size": 6, "heldout": 5}
    fields |= {"stream": "always", "workers": 0}
    return Data(source="array_record", dir=str(folder), **(fields | changes))


def opened(cfg, limit=math.inf):
    cfg = cfg if isinstance(cfg, Config) else Config(cfg)
    return load(cfg, limit=limit)


# ------------------------------------------------------------------------------- order


@pytest.mark.parametrize("count", [1, 2, 1009, 2**31 - 1])
def test_numpy_and_jax_give_the_same_order(count, new_key):
    key = new_key()
    rounds = np.asarray(jax.random.bits(key, (2, shuffle.ROUNDS), jnp.uint32))
    position = np.random.default_rng(1).integers(0, count, 500)
    found = shuffle.shuffled_index(position, count, *rounds)
    assert found.dtype == np.int32
    expected = permute(jnp.asarray(position.astype(np.int32)), count, key)
    np.testing.assert_array_equal(found, expected)


def test_the_rounds_of_an_epoch_are_those_that_the_device_draws(new_key):
    key = new_key()
    found = epoch_rounds(key, range(3, 6))
    key_order = jax.random.split(key)[0]
    for epoch, rounds in zip(range(3, 6), found, strict=True):
        position = np.arange(50)
        expected = permute(position, 50, jax.random.fold_in(key_order, epoch))
        np.testing.assert_array_equal(
            shuffle.shuffled_index(position, 50, *rounds), expected
        )


# ------------------------------------------------------------------------ same batches


def both(cfg, key, batches, **more):
    """The batches of these numbers as training sees them: (resident, streamed)."""
    resident = load_in_memory(cfg.data)
    labelled = bool(cfg.model.classes)
    draw = jax.jit(make_get_batch(cfg.data, len(resident.train), labelled))
    samples = (resident.train, resident.train_labels) if labelled else resident.train
    first = [draw(samples, key, i) for i in batches]
    draw = jax.jit(make_get_block_batch(cfg.data, labelled))
    raw = stream.read_batches(opened(cfg).stream, key, batches, **more)
    raw = jax.tree.map(lambda *rows: np.stack(rows), *raw)
    return first, [draw((raw, batches.start), key, i) for i in batches]


def assert_same(first, second):
    assert len(first) == len(second)
    jax.tree.map(np.testing.assert_array_equal, first, second)


# 55 images are nine batches of 6, so these cross the ends of two epochs.
@pytest.mark.parametrize("workers", [0, 2])
def test_a_stream_gives_the_bits_of_images_in_memory(folder, workers, new_key):
    cfg = Config(described(folder, workers=workers, flip=True, dequantize=True))
    assert_same(*both(cfg, new_key(), range(3, 20)))


def test_a_stream_begins_anywhere(folder, new_key):
    cfg, key = Config(described(folder)), new_key()
    source = opened(cfg).stream
    every = list(stream.read_batches(source, key, range(30)))
    for first, last in ((4, 8), (8, 11), (17, 30)):
        again = list(stream.read_batches(source, key, range(first, last)))
        assert_same(every[first:last], again)


def test_processes_read_the_parts_of_each_batch(folder, new_key):
    source, key = opened(described(folder)).stream, new_key()
    whole = list(stream.read_batches(source, key, range(12)))
    parts = [
        list(stream.read_batches(source, key, range(12), process=(i, 2)))
        for i in range(2)
    ]
    assert_same(whole, [np.concatenate(pair) for pair in zip(*parts, strict=True)])


@pytest.fixture(scope="module")
def tfds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    write_tfds(folder)
    return folder


@pytest.mark.parametrize("workers", [0, 1])
def test_labels_come_with_their_images(tfds, workers, new_key):
    cfg = Config(
        Data(
            source="tfds",
            name="tiny",
            tfds_dir=str(tfds),
            image_size=4,
            batch_size=2,
            heldout=2,
            stream="always",
            workers=workers,
            test_split="test" if workers else "",
        ),
        Model(kind="resnet", classes=10),
    )
    assert_same(*both(cfg, new_key(), range(6)))
    resident, streamed = load_in_memory(cfg.data), opened(cfg)
    np.testing.assert_array_equal(streamed.heldout, resident.heldout)
    np.testing.assert_array_equal(streamed.heldout_labels, resident.heldout_labels)
    assert len(streamed.train) == len(TFDS_TRAIN) - (0 if workers else 2)
    assert len(streamed.heldout) == 2 < len(TFDS_TEST)


def test_a_folder_of_images_is_streamed(tmp_path, new_key):
    for i, image in enumerate(IMAGES[:20]):
        Image.fromarray(image).resize((9 + i, 8)).save(tmp_path / f"{i}.png")
    cfg = described(tmp_path, workers=1)
    cfg = Config(dataclasses.replace(cfg, source="folder"))
    assert_same(*both(cfg, new_key(), range(4)))
    np.testing.assert_array_equal(opened(cfg).heldout, load_in_memory(cfg.data).heldout)


def test_records_are_read_whatever_their_format(folder):
    resident = load_in_memory(described(folder, heldout=0, batch_size=1))
    kept = np.random.default_rng(0).permutation(60)
    np.testing.assert_array_equal(resident.train, IMAGES[kept])


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("encoded", "plain"),
    [
        (encode_image(IMAGES[0], "ppm"), 3),
        (encode_image(IMAGES[0, ..., 0], "ppm"), 1),
        (encode_image(IMAGES[0, :4], "ppm"), 0),
        (b"P6 # a comment\n8 8 255\n" + IMAGES[0].tobytes(), 0),
        (encode_image(IMAGES[0]), 0),
    ],
    ids=["colour", "grey", "other size", "comment", "png"],
)
def test_plain_pixels_are_those_that_pillow_gives(encoded, plain, channels):
    settings = Data(image_size=8, channels=channels)
    found = decoding.plain_pixels(encoded, settings)
    assert (found is not None) == (plain == channels)
    if found is not None:
        with Image.open(io.BytesIO(encoded)) as image:
            np.testing.assert_array_equal(found, decoding.fit(image, settings))


# ----------------------------------------------------------------------------- blocks


def follow_blocks(cfg, start, counts, before):
    """The raw batches that each call of the program could see, as the steps take them.

    Calls of `counts` steps from the step `start` on; (batches, metrics of each call).
    """
    seen, told = [], []

    def chunk(step, samples, count):
        (block, first), stop = samples, step + int(count)
        wanted = np.arange(before(step), before(stop)) - int(first)
        assert wanted.min() >= 0
        assert wanted.max() < len(block)
        seen.extend(np.asarray(block)[wanted])
        mean = np.arange(step, stop).mean()
        return stop, {"mean_step": jnp.float32(mean)}

    key, step = jax.random.key(3), start
    source = opened(cfg).stream
    with Prefetcher(source, ONE_DEVICE, key, start, before) as prefetcher:
        for count in counts:
            step, metrics = prefetcher.advance(chunk, step, count)
            told.append(float(metrics["mean_step"]))
    expected = stream.read_batches(source, key, range(before(start), before(step)))
    assert_same(list(expected), seen)
    return told


@pytest.mark.parametrize("block_bytes", [1, 6 * 192 * 7, 2**30])
def test_blocks_hold_whole_steps_and_chunks_have_their_mean(
    folder, block_bytes, monkeypatch
):
    monkeypatch.setattr(stream, "BLOCK_BYTES", block_bytes)
    cfg = Config(
        described(folder), objective=Objective(n_critic=3), run=Run(steps=30, chunk=10)
    )
    told = follow_blocks(cfg, 4, [6, 10, 10], lambda step: 3 * step)
    np.testing.assert_allclose(told, [6.5, 14.5, 24.5], rtol=1e-6)


def test_blocks_are_long_enough_for_the_warmup_of_the_critic(folder, monkeypatch):
    monkeypatch.setattr(stream, "BLOCK_BYTES", 1)
    objective = Objective(n_critic=3, warmup=True)
    cfg = Config(described(folder), objective=objective, run=Run(steps=40, chunk=10))

    def before(step):
        return int(steps.critic_updates_before(step, objective))

    follow_blocks(cfg, 22, [8, 10], before)


class Late:
    """Metrics of a device that has, or has not, computed them."""

    def __init__(self, ready, awaited=lambda: None):
        self.is_ready, self.block_until_ready = lambda: ready, awaited


def test_blocks_do_not_pile_up_on_a_slow_device(folder):
    cfg = Config(described(folder), objective=Objective(n_critic=1), run=Run(steps=5))
    cfg = dataclasses.replace(cfg, run=Run(steps=5, chunk=1))
    source, told = opened(cfg).stream, []

    def chunk(step, *_):
        told.append(f"given {step}")
        return step + 1, {"x": Late(False, lambda: told.append(f"awaited {step}"))}

    with Prefetcher(
        source, ONE_DEVICE, jax.random.key(0), 0, lambda step: step
    ) as ahead:
        for step in range(4):
            ahead.advance(chunk, step, 1)
    expected = ["given 0", "given 1", "awaited 0", "given 2", "awaited 1", "given 3"]
    assert told == expected


@pytest.mark.parametrize("ready", [True, False])
def test_only_a_device_without_work_waits(folder, monkeypatch, ready):
    def slowly(*_):
        for _ in range(3):
            time.sleep(0.05)
            yield IMAGES[:6]

    monkeypatch.setattr("wgan_jax.data.prefetch.read_batches", slowly)
    cfg = Config(described(folder), objective=Objective(n_critic=1), run=Run(steps=3))
    cfg = dataclasses.replace(cfg, run=Run(steps=3, chunk=1))
    source = opened(cfg).stream
    with Prefetcher(source, ONE_DEVICE, None, 0, lambda step: step) as prefetcher:
        prefetcher.advance(lambda *_: (0, {"x": Late(ready)}), 0, 1)
        begin = prefetcher.wait_seconds
        prefetcher.advance(lambda *_: (0, {"x": Late(ready)}), 0, 1)
        assert begin > 0.03
        assert (prefetcher.wait_seconds > begin + 0.03) == ready


# ------------------------------------------------------------------------------ command

TINY = """--config configs/digits.py --data.source array_record --data.image-size 8
--data.channels 3 --data.batch-size 6 --data.heldout 12 --model.kind mlp
--model.features 4 --model.generator-widths 1 --model.critic-widths 1
--model.z-dim 4 --objective.n-critic 2 --run.chunk 5
--run.log-every 5 --run.sample-every 0 --run.checkpoint-every 10 --run.grid-size 4
--optimizer.decay constant --run.no-tensorboard""".split()  # noqa: SIM905


def run(out, folder, how, steps, *more):
    words = [*TINY, "--data.dir", folder, "--data.stream", how, "--data.workers", "1"]
    return in_process(train, *words, "--out", out, "--run.steps", steps, *more)


@pytest.fixture(scope="module")
def streamed(folder, tmp_path_factory):
    """A streamed run of 40 steps, which is ten epochs."""
    out = tmp_path_factory.mktemp("streamed") / "run"
    with pytest.MonkeyPatch.context() as patch:
        # Three steps a block, where a chunk has five.
        patch.setattr(stream, "BLOCK_BYTES", 6 * 6 * 192)
        assert run(out, folder, "always", 40) == (0, "")
    return out


def test_a_streamed_run_is_that_of_images_in_memory(streamed, folder, tmp_path):
    code, error = run(tmp_path / "run", folder, "never", 40)
    assert code == 0, error
    times = {"seconds", "cycles_per_second", "data_wait_fraction"}
    for mine, other in zip(records(streamed), records(tmp_path / "run"), strict=True):
        assert mine.keys() - other.keys() == {"data_wait_fraction"}
        assert 0 <= mine["data_wait_fraction"] <= 1
        for name in other.keys() - times:
            np.testing.assert_allclose(mine[name], other[name], rtol=1e-5, atol=1e-6)
    first, second = final_arrays(streamed), final_arrays(tmp_path / "run")
    for name, array in first.items():
        np.testing.assert_allclose(array, second[name], rtol=1e-5, atol=1e-6)
    assert multiprocessing.active_children() == []


def test_a_streamed_run_that_was_stopped_goes_on_with_the_same_bits(
    streamed, folder, tmp_path, capsys
):
    out = tmp_path / "run"
    assert run(out, folder, "always", 20) == (0, "")
    said = capsys.readouterr().out
    assert "streaming 48 images (0.00922 MB) with 1 worker: data.stream=always" in said
    # How images come to the device may change in the middle of a run.
    assert run(out, folder, "always", 40, "--extend", "--data.workers", "0")[0] == 0
    first, second = final_arrays(streamed), final_arrays(out)
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert directory.read_config(out).data.workers == 0


def test_a_streamed_run_is_evaluated_on_the_same_images(streamed, tmp_path):
    resident = tmp_path / "run"
    shutil.copytree(streamed, resident)
    path = resident / "config.json"
    path.write_text(path.read_text().replace('"always"', '"never"'))
    told = []
    for out in (streamed, resident):
        assert in_process(evaluate, out, "--num", "8", "--repeats", "2") == (0, "")
        told.append(json.loads((out / "evaluation.json").read_text()))
        assert told[-1]["evaluation"].pop("run") == str(out)
    assert told[0] == told[1]


def test_a_bad_record_ends_training_with_its_name_and_loses_nothing(folder, tmp_path):
    records_, out = tmp_path / "records", tmp_path / "run"
    shutil.copytree(folder, records_)
    assert run(out, records_, "always", 10) == (0, "")
    path = records_ / "x.array_record-00000-of-00002"
    encoded = [encode_image(image) for image in IMAGES[:40]]
    encoded[:40:2] = [b"no image"] * 20
    write_array_record(path, encoded)
    code, error = run(out, records_, "always", 20, "--extend", "--data.heldout", 12)
    assert code == 2
    assert error.count("\n") == 1
    assert error.startswith("error: record ")
    assert f" of {path} cannot be read (UnidentifiedImageError: " in error
    assert final_arrays(out)["step"] == 10
    assert multiprocessing.active_children() == []


def test_a_record_that_is_damaged_on_disk_is_named(tmp_path):
    path = tmp_path / "x.array_record"
    write_array_record(path, [encode_image(image) for image in IMAGES])
    damaged = bytearray(path.read_bytes())
    place = damaged.index(encode_image(IMAGES[7])[60:100])
    damaged[place] ^= 1
    path.write_bytes(damaged)
    reader = ArrayRecordImages(described(path))
    np.testing.assert_array_equal(reader.read([6, 8]).samples, IMAGES[[6, 8]])
    with pytest.raises(UserError, match=f"record 7 of {path} cannot be read .*hash"):
        reader.read([6, 7])


def test_diagnostics_of_a_stream_are_of_some_of_its_images(folder):
    cfg = Config(described(folder), Model(kind="mlp"), run=Run(diagnostics=True))
    dataset, samples, spec = prepare(cfg)
    draw, some = prepare_monitor(cfg, spec, dataset, samples)
    batch = draw(some, jax.random.key(0), 0)
    assert batch.shape == (6, 8, 8, 3)
    np.testing.assert_array_equal(some, load_in_memory(cfg.data).train)


# ------------------------------------------------------------------------------ workers


def test_workers_do_without_jax_and_end_with_the_stream(folder, new_key):
    source = opened(described(folder, workers=2)).stream
    batches = stream.read_batches(source, new_key(), range(1000))
    next(batches)
    workers = multiprocessing.active_children()
    assert len(workers) == 2
    maps = Path(f"/proc/{workers[0].pid}/maps")
    if maps.exists():
        assert "array_record" in maps.read_text()
        assert "jaxlib" not in maps.read_text()
    batches.close()
    assert multiprocessing.active_children() == []


def test_workers_do_not_outlive_a_process_that_is_killed(folder):
    code = f"""
import jax, multiprocessing, time
from wgan_jax import config
from wgan_jax.data import stream
from wgan_jax.data.dataset import load
settings = config.{described(folder, workers=1)!r}
source = load(config.Config(settings)).stream
batches = stream.read_batches(source, jax.random.key(0), range(1000))
next(batches)
print(multiprocessing.active_children()[0].pid, flush=True)
time.sleep(60)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment(),
        cwd=ROOT,
    )
    worker = int(process.stdout.readline())
    os.kill(worker, 0)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    for _ in range(100):
        if not alive(worker):
            return
        time.sleep(0.1)
    pytest.fail("the worker is still there after ten seconds")


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # One that has ended may wait for someone to ask how.
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rsplit(")")[-1].split()[0] != "Z"


def test_a_worker_that_is_killed_is_told_in_a_sentence(folder, new_key):
    source = opened(described(folder, workers=1)).stream
    batches = stream.read_batches(source, new_key(), range(10**6))
    next(batches)
    multiprocessing.active_children()[0].kill()
    with pytest.raises(UserError, match="was killed"):
        list(batches)
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize(
    ("asked", "cores", "expected"), [(-1, 1, 1), (-1, 4, 3), (-1, 99, 16), (5, 1, 5)]
)
def test_one_worker_for_each_core_but_one(asked, cores, expected, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(cores), raising=False)
    assert stream.worker_count(asked) == expected


# ------------------------------------------------------------------------------- choice


# 60 images of 192 bytes.
@pytest.mark.parametrize(
    ("how", "limit", "streams"),
    [
        ("auto", 2 * 11520, False),
        ("auto", 2 * 11520 - 1, True),
        ("auto", math.inf, False),
        ("never", 1, False),
        ("always", 10**9, True),
    ],
)
def test_auto_streams_what_takes_more_than_half_of_the_memory(
    folder, how, limit, streams
):
    settings = dataclasses.replace(described(folder), stream=how)
    found = opened(settings, limit)
    assert bool(found.stream) == streams
    if streams and how == "auto":
        assert found.stream.reason == "more than half of 0.023 MB of memory"


def test_images_are_read_by_slices(folder):
    settings = described(folder)
    found, resident = opened(settings).train, load_in_memory(settings).train
    assert found.shape == resident.shape
    np.testing.assert_array_equal(found[3:9], resident[3:9])
    assert isinstance(BatchSharding().put_block(found[:2]), jax.Array)


def test_features_are_of_slices_and_kept_by_what_shapes_them(folder):
    settings, asked = described(folder), []

    def mean(images):
        asked.append(len(images))
        return images.reshape(len(images), -1)[:, :2].astype(np.float32), None

    extractor = Extractor("mean", 2, mean, "some")
    found = extract_array(extractor, opened(settings).train)
    resident = extract_array(extractor, load_in_memory(settings).train)
    np.testing.assert_array_equal(found.moments.mean, resident.moments.mean)
    count = len(asked)
    extract_array(extractor, opened(settings).train)
    assert len(asked) == count
    other = dataclasses.replace(settings, heldout=6)
    extract_array(extractor, opened(other).train)
    assert len(asked) > count


# ----------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"source": "digits"},
            "data.stream=always needs images that can be read one by one: data.source="
            "digits is held in memory, so leave data.stream at auto",
        ),
        (
            {"classes": (1,)},
            "data.classes=(1,) cannot be combined with data.stream=always: ",
        ),
        (
            {"skip_corrupt": True},
            "data.skip_corrupt=True cannot be combined with data.stream=always: ",
        ),
        ({"workers": -2}, "data.workers=-2 must be -1, 0 or more"),
        ({"dir": ""}, "data.dir is empty: data.source=array_record needs it"),
    ],
    ids=str,
)
def test_what_cannot_be_streamed_is_refused_at_once(changes, said):
    settings = dataclasses.replace(described("somewhere"), **changes)
    with pytest.raises(UserError) as error:
        validate(Config(settings))
    assert str(error.value).startswith(said)


def test_a_classifier_cannot_be_trained_on_a_stream():
    run = Run(evaluate_every=25, evaluate_features="classifier")
    with pytest.raises(UserError, match="evaluate_features=classifier cannot be"):
        validate(Config(described("somewhere"), run=run))


def test_auto_tells_what_stands_against_streaming(folder):
    settings = dataclasses.replace(described(folder), stream="auto", classes=(1,))
    with pytest.raises(UserError) as error:
        opened(settings, 10_000)
    assert str(error.value).startswith(
        "data.classes=(1,) cannot be combined with streaming, which 0.0115 MB of "
        "images need with 0.01 MB of memory: every label"
    )


def test_without_grain_the_extra_is_named(folder, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UserError) as error:
        opened(described(folder))
    assert "pip install 'wgan-jax[stream]'" in str(error.value)


def test_labels_that_are_not_there_or_too_many(folder, tfds):
    model = Model(kind="resnet", classes=3)
    with pytest.raises(UserError, match="=3 needs labels, which data"):
        opened(Config(described(folder), model))
    settings = Data(source="tfds", name="tiny", tfds_dir=str(tfds), stream="always")
    settings = dataclasses.replace(settings, batch_size=1, heldout=0)
    with pytest.raises(UserError, match="go up to 9: take model"):
        opened(Config(settings, model))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda p: p, "is neither an array_record file nor a folder"),
        (lambda p: p.mkdir(), "has no files called *.array_record"),
        (lambda p: p.write_bytes(b"x" * 999), "is not a readable array_record file"),
        (lambda p: write_array_record(p, []), "larger than the 0 images"),
    ],
    ids=["missing", "empty folder", "no array_record", "no records"],
)
@pytest.mark.parametrize("how", ["always", "never"])
def test_array_record_files_that_will_not_do(tmp_path, make, said, how):
    make(path := tmp_path / "x.array_record")
    settings = dataclasses.replace(described(path), stream=how)
    with pytest.raises(UserError) as error:
        opened(settings)
    assert said in str(error.value)


def test_a_sweep_keeps_its_images_in_memory(folder, tmp_path):
    words = [*TINY, "--data.dir", folder, "--data.stream", "always", "--run.steps", 5]
    code, error = in_process(sweep, *words, "--seeds", "1", "--out", tmp_path / "s")
    assert code == 2
    assert "they are streamed (data.stream=always): take data.stream=never" in error
