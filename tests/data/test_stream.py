"""A stream gives the batches of images in memory and leaves no process."""

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
from collections import Counter
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


def make_data(folder, **changes):
    fields = {"image_size": 8, "channels": 3, "batch_size": 6, "heldout": 5}
    fields |= {"stream": "always", "workers": 0}
    return Data(source="array_record", dir=str(folder), **(fields | changes))


def open_stream(config, limit=math.inf):
    config = config if isinstance(config, Config) else Config(config)
    return load(config, limit=limit)


# ------------------------------------------------------------------------------- order


@pytest.mark.parametrize("count", [1, 2, 1009, 2**31 - 1])
def test_numpy_and_jax_give_the_same_order(count, new_key):
    key = new_key()
    rounds = np.asarray(jax.random.bits(key, (2, shuffle.ROUNDS), jnp.uint32))
    position = np.random.default_rng(1).integers(0, count, 500)
    result = shuffle.shuffled_index(position, count, *rounds)
    assert result.dtype == np.int32
    expected = permute(jnp.asarray(position.astype(np.int32)), count, key)
    np.testing.assert_array_equal(result, expected)


def test_the_rounds_of_an_epoch_equal_those_of_the_device(new_key):
    key = new_key()
    result = epoch_rounds(key, range(3, 6))
    key_order = jax.random.split(key)[0]
    for epoch, rounds in zip(range(3, 6), result, strict=True):
        position = np.arange(50)
        expected = permute(position, 50, jax.random.fold_in(key_order, epoch))
        np.testing.assert_array_equal(
            shuffle.shuffled_index(position, 50, *rounds), expected
        )


# ------------------------------------------------------------------------ same batches


def both(config, key, batches, **more):
    """The batches of these numbers as training sees them: (resident, streamed)."""
    resident = load_in_memory(config.data)
    labelled = bool(config.model.classes)
    draw = jax.jit(make_get_batch(config.data, len(resident.train), labelled))
    samples = (resident.train, resident.train_labels) if labelled else resident.train
    first = [draw(samples, key, i) for i in batches]
    draw = jax.jit(make_get_block_batch(config.data, labelled))
    raw = stream.read_batches(open_stream(config).stream, key, batches, **more)
    raw = jax.tree.map(lambda *rows: np.stack(rows), *raw)
    return first, [draw((raw, batches.start), key, i) for i in batches]


def assert_same(first, second):
    assert len(first) == len(second)
    jax.tree.map(np.testing.assert_array_equal, first, second)


# 55 images are nine batches of 6, so these cross the ends of two epochs.
@pytest.mark.parametrize("workers", [0, 2])
def test_a_stream_equals_images_in_memory_bit_for_bit(folder, workers, new_key):
    config = Config(make_data(folder, workers=workers, flip=True, dequantize=True))
    assert_same(*both(config, new_key(), range(3, 20)))


def test_a_stream_can_start_at_any_batch(folder, new_key):
    config, key = Config(make_data(folder)), new_key()
    source = open_stream(config).stream
    every = list(stream.read_batches(source, key, range(30)))
    for first, last in ((4, 8), (8, 11), (17, 30)):
        again = list(stream.read_batches(source, key, range(first, last)))
        assert_same(every[first:last], again)


def test_processes_read_the_parts_of_each_batch(folder, new_key):
    source, key = open_stream(make_data(folder)).stream, new_key()
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
    config = Config(
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
        Model(kind="resnet", classes=9),
    )
    assert_same(*both(config, new_key(), range(6)))
    resident, streamed = load_in_memory(config.data), open_stream(config)
    np.testing.assert_array_equal(streamed.heldout, resident.heldout)
    np.testing.assert_array_equal(streamed.heldout_labels, resident.heldout_labels)
    assert len(streamed.train) == len(TFDS_TRAIN) - (0 if workers else 2)
    assert len(streamed.heldout) == 2 < len(TFDS_TEST)


def test_a_folder_of_images_is_streamed(tmp_path, new_key):
    for i, image in enumerate(IMAGES[:20]):
        Image.fromarray(image).resize((9 + i, 8)).save(tmp_path / f"{i}.png")
    config = make_data(tmp_path, workers=1)
    config = Config(dataclasses.replace(config, source="folder"))
    assert_same(*both(config, new_key(), range(4)))
    np.testing.assert_array_equal(
        open_stream(config).heldout, load_in_memory(config.data).heldout
    )


def test_records_of_every_format_are_read(folder):
    resident = load_in_memory(make_data(folder, heldout=0, batch_size=1))
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
def test_plain_pixels_equal_those_of_pillow(encoded, plain, channels):
    data_config = Data(image_size=8, channels=channels)
    result = decoding.plain_pixels(encoded, data_config)
    assert (result is not None) == (plain == channels)
    if result is not None:
        with Image.open(io.BytesIO(encoded)) as image:
            np.testing.assert_array_equal(
                result, decoding.fit(image, data_config, Counter())
            )


def test_skipped_files_and_enlarged_images_of_a_stream_are_reported(tmp_path, capsys):
    (tmp_path / ".hidden.png").touch()
    for i in range(10):
        Image.fromarray(IMAGES[i]).save(tmp_path / f"{i}.png")
    data_config = make_data(tmp_path, image_size=9, heldout=4)
    assert open_stream(dataclasses.replace(data_config, source="folder")).stream
    assert capsys.readouterr().out.splitlines() == [
        "skipped 1 file: 1 hidden (.hidden.png)",
        "10 of 10 images are smaller than the image size and are enlarged",
    ]


# ----------------------------------------------------------------------------- blocks


def follow_blocks(config, start, counts, before):
    """The raw batches that each call of the program could see, as the steps take them.

    Calls of `counts` steps from the step `start` on; (batches, metrics of each call).
    """
    seen, means = [], []

    def chunk(step, samples, count):
        (block, first), stop = samples, step + int(count)
        wanted = np.arange(before(step), before(stop)) - int(first)
        assert wanted.min() >= 0
        assert wanted.max() < len(block)
        seen.extend(np.asarray(block)[wanted])
        mean = np.arange(step, stop).mean()
        return stop, {"mean_step": jnp.float32(mean)}

    key, step = jax.random.key(3), start
    source = open_stream(config).stream
    with Prefetcher(source, ONE_DEVICE, key, start, before) as prefetcher:
        for count in counts:
            step, metrics = prefetcher.advance(chunk, step, count)
            means.append(float(metrics["mean_step"]))
    expected = stream.read_batches(source, key, range(before(start), before(step)))
    assert_same(list(expected), seen)
    return means


@pytest.mark.parametrize("block_bytes", [1, 6 * 192 * 7, 2**30])
def test_blocks_hold_whole_steps_and_chunks_have_their_mean(
    folder, block_bytes, monkeypatch
):
    monkeypatch.setattr(stream, "BLOCK_BYTES", block_bytes)
    config = Config(
        make_data(folder), objective=Objective(n_critic=3), run=Run(steps=30, chunk=10)
    )
    means = follow_blocks(config, 4, [6, 10, 10], lambda step: 3 * step)
    np.testing.assert_allclose(means, [6.5, 14.5, 24.5], rtol=1e-6)


def test_blocks_are_long_enough_for_the_warmup_of_the_critic(folder, monkeypatch):
    monkeypatch.setattr(stream, "BLOCK_BYTES", 1)
    objective = Objective(n_critic=3, warmup=True)
    config = Config(make_data(folder), objective=objective, run=Run(steps=40, chunk=10))

    def before(step):
        return int(steps.critic_updates_before(step, objective))

    follow_blocks(config, 22, [8, 10], before)


class Late:
    """Metrics of a device that has, or has not, computed them."""

    def __init__(self, ready, awaited=lambda: None):
        self.is_ready, self.block_until_ready = lambda: ready, awaited


def test_blocks_do_not_accumulate_on_a_slow_device(folder):
    config = Config(
        make_data(folder), objective=Objective(n_critic=1), run=Run(steps=5)
    )
    config = dataclasses.replace(config, run=Run(steps=5, chunk=1))
    source, events = open_stream(config).stream, []

    def chunk(step, *_):
        events.append(f"given {step}")
        return step + 1, {"x": Late(False, lambda: events.append(f"awaited {step}"))}

    with Prefetcher(
        source, ONE_DEVICE, jax.random.key(0), 0, lambda step: step
    ) as ahead:
        for step in range(4):
            ahead.advance(chunk, step, 1)
    expected = ["given 0", "given 1", "awaited 0", "given 2", "awaited 1", "given 3"]
    assert events == expected


@pytest.mark.parametrize("ready", [True, False])
def test_only_the_wait_of_an_idle_device_counts(folder, monkeypatch, ready):
    def slowly(*_):
        for _ in range(3):
            time.sleep(0.05)
            yield IMAGES[:6]

    monkeypatch.setattr("wgan_jax.data.prefetch.read_batches", slowly)
    config = Config(
        make_data(folder), objective=Objective(n_critic=1), run=Run(steps=3)
    )
    config = dataclasses.replace(config, run=Run(steps=3, chunk=1))
    source = open_stream(config).stream
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


def test_a_streamed_run_equals_one_in_memory(streamed, folder, tmp_path):
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


def test_a_stopped_streamed_run_resumes_bit_for_bit(streamed, folder, tmp_path, capsys):
    out = tmp_path / "run"
    assert run(out, folder, "always", 20) == (0, "")
    report = "streaming 48 images (0.00922 MB) with 1 worker: data.stream=always"
    assert report in capsys.readouterr().out
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
    evaluations = []
    for out in (streamed, resident):
        assert in_process(evaluate, out, "--num", "8", "--repeats", "2") == (0, "")
        results = json.loads((out / "evaluation.json").read_text())["results"]
        assert {result.pop("run") for result in results} == {str(out)}
        evaluations.append(results)
    assert evaluations[0] == evaluations[1]


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
    assert error.startswith("error: 20 of 60 images cannot be read: record 0 of ")
    assert f"record 4 of {path} (not an image, or" in error
    assert final_arrays(out)["step"] == 10
    assert multiprocessing.active_children() == []


def test_a_record_that_is_damaged_on_disk_is_named(tmp_path):
    path = tmp_path / "x.array_record"
    write_array_record(path, [encode_image(image) for image in IMAGES])
    damaged = bytearray(path.read_bytes())
    place = damaged.index(encode_image(IMAGES[7])[60:100])
    damaged[place] ^= 1
    path.write_bytes(damaged)
    reader = ArrayRecordImages(make_data(path))
    np.testing.assert_array_equal(reader.read([6, 8]).samples, IMAGES[[6, 8]])
    with pytest.raises(UserError, match=f"record 7 of {path} cannot be read .*hash"):
        reader.read([6, 7])


def test_diagnostics_of_a_stream_are_of_some_of_its_images(folder):
    config = Config(make_data(folder), Model(kind="mlp"), run=Run(diagnostics=True))
    dataset = load(config)
    samples, spec = prepare(config, dataset)
    draw, some = prepare_monitor(config, spec, dataset, samples)
    batch = draw(some, jax.random.key(0), 0)
    assert batch.shape == (6, 8, 8, 3)
    np.testing.assert_array_equal(some, load_in_memory(config.data).train)


# ------------------------------------------------------------------------------ workers


def test_workers_do_not_import_jax_and_end_with_the_stream(folder, new_key):
    source = open_stream(make_data(folder, workers=2)).stream
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
data_config = config.{make_data(folder, workers=1)!r}
source = load(config.Config(data_config)).stream
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


def test_a_killed_worker_is_one_sentence(folder, new_key):
    source = open_stream(make_data(folder, workers=1)).stream
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
    data_config = dataclasses.replace(make_data(folder), stream=how)
    result = open_stream(data_config, limit)
    assert bool(result.stream) == streams
    if streams and how == "auto":
        assert result.stream.reason == "more than half of 0.023 MB of memory"


def test_images_are_read_by_slices(folder):
    data_config = make_data(folder)
    images, resident = open_stream(data_config).train, load_in_memory(data_config).train
    assert images.shape == resident.shape
    np.testing.assert_array_equal(images[3:9], resident[3:9])
    assert isinstance(BatchSharding().put_block(images[:2]), jax.Array)


def test_features_of_slices_are_cached_by_the_images(folder):
    data_config, asked = make_data(folder), []

    def mean(images):
        asked.append(len(images))
        return images.reshape(len(images), -1)[:, :2].astype(np.float32), None

    extractor = Extractor("mean", 2, mean, "some")
    result = extract_array(extractor, open_stream(data_config).train)
    resident = extract_array(extractor, load_in_memory(data_config).train)
    np.testing.assert_array_equal(result.moments.mean, resident.moments.mean)
    count = len(asked)
    extract_array(extractor, open_stream(data_config).train)
    assert len(asked) == count
    other = dataclasses.replace(data_config, heldout=6)
    extract_array(extractor, open_stream(other).train)
    assert len(asked) > count


# ----------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("changes", "expected"),
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
        ({"workers": -2}, "data.workers=-2 must be from -1 to 256"),
        ({"dir": ""}, "data.dir is empty: data.source=array_record needs it"),
    ],
    ids=str,
)
def test_a_configuration_that_cannot_be_streamed_is_refused(changes, expected):
    data_config = dataclasses.replace(make_data("somewhere"), **changes)
    with pytest.raises(UserError) as error:
        validate(Config(data_config))
    assert str(error.value).startswith(expected)


def test_a_classifier_cannot_be_trained_on_a_stream():
    run = Run(evaluate_every=25, evaluate_features="classifier")
    with pytest.raises(UserError, match="evaluate_features=classifier cannot be"):
        validate(Config(make_data("somewhere"), run=run))


def test_auto_reports_why_streaming_is_impossible(folder):
    data_config = dataclasses.replace(make_data(folder), stream="auto", classes=(1,))
    with pytest.raises(UserError) as error:
        open_stream(data_config, 10_000)
    assert str(error.value).startswith(
        "data.classes=(1,) cannot be combined with streaming, which 0.0115 MB of "
        "images need with 0.01 MB of memory: every label"
    )


def test_without_grain_the_extra_is_named(folder, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UserError) as error:
        open_stream(make_data(folder))
    assert "pip install 'wgan-jax[stream]'" in str(error.value)


def test_missing_or_too_many_labels_are_refused(folder, tfds):
    model = Model(kind="resnet", classes=3)
    with pytest.raises(UserError, match="=3 needs labels, and data"):
        open_stream(Config(make_data(folder), model))
    data_config = Data(source="tfds", name="tiny", tfds_dir=str(tfds), stream="always")
    data_config = dataclasses.replace(data_config, batch_size=1, heldout=0)
    with pytest.raises(UserError, match="have 9 different labels; take model"):
        open_stream(Config(data_config, model))


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda p: p, "is neither an array_record file nor a folder"),
        (lambda p: p.mkdir(), "has no files called *.array_record"),
        (lambda p: p.write_bytes(b"x" * 999), "is not a readable array_record file"),
        (lambda p: write_array_record(p, []), "larger than the 0 images"),
    ],
    ids=["missing", "empty folder", "no array_record", "no records"],
)
@pytest.mark.parametrize("how", ["always", "never"])
def test_wrong_array_record_files_are_refused(tmp_path, make, expected, how):
    make(path := tmp_path / "x.array_record")
    data_config = dataclasses.replace(make_data(path), stream=how)
    with pytest.raises(UserError) as error:
        open_stream(data_config)
    assert expected in str(error.value)


def test_a_sweep_keeps_its_images_in_memory(folder, tmp_path):
    words = [*TINY, "--data.dir", folder, "--data.stream", "always", "--run.steps", 5]
    code, error = in_process(sweep, *words, "--seeds", "1", "--out", tmp_path / "s")
    assert code == 2
    assert "they are streamed (data.stream=always): take data.stream=never" in error
