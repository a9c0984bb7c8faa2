"""Helpers of several test files: running commands, reading runs, damaging them."""

import contextlib
import io
import itertools
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import jax
import numpy as np
import pytest
from array_record.python.array_record_module import ArrayRecordWriter
from PIL import Image

from wgan_jax import cli
from wgan_jax.runs.restore import restore_run

ROOT = Path(__file__).parents[1]
CACHE = tempfile.TemporaryDirectory(prefix="wgan_jax_tests_")

# WGAN-GP on 16x16 digits with a BatchNorm generator and the critic's warm-up: all parts
# of a state, at a size that takes seconds.
TINY = """--config configs/digits.py --data.image-size 16 --data.batch-size 8
--data.heldout 32 --model.features 2 --model.generator-widths 2 1
--model.critic-widths 1 2 --model.z-dim 8 --objective.n-critic 2 --objective.warmup
--run.chunk 5 --run.log-every 5 --run.sample-every 40 --run.checkpoint-every 10
--run.grid-size 16 --optimizer.decay constant""".split()  # noqa: SIM905

# A run on points, at a size that takes a second.
TOY = """--config configs/toy_8gaussians.py --model.features 8 --data.batch-size 16
--data.heldout 32 --objective.n-critic 2 --run.chunk 5 --run.log-every 5
--run.checkpoint-every 10 --run.sample-every 0 --run.steps 10
--optimizer.decay constant""".split()  # noqa: SIM905


def environment(cached=True, optimised=True):
    """Environment variables of a command, with a compilation cache of the tests.

    optimised: compile as for users, unlike most tests (see conftest.py).
    """
    variables = dict(os.environ)
    if optimised:
        variables.pop("XLA_FLAGS", None)
    variables |= {"PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": CACHE.name}
    if not cached:
        variables["JAX_ENABLE_COMPILATION_CACHE"] = "false"
    return variables


def last_of_each(words):
    """The words of a command line whose later options replace equal earlier ones.

    So that a test can change an option of TINY or TOY, which a command refuses.
    """
    options, first = {}, []
    for word in map(str, words):
        if re.match("--[a-z]", word):
            value = options[word.partition("=")[0]] = [word]
        elif options:
            value.append(word)
        else:
            first.append(word)
    return [*first, *itertools.chain(*options.values())]


def launch(module, *arguments, before=(), cached=True):
    """Starts `python -m wgan_jax.MODULE`, after the words `before`."""
    words = _without_report(module, last_of_each(arguments))
    return subprocess.Popen(
        [*before, sys.executable, "-m", f"wgan_jax.{module}", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment(cached),
    )


def python_m(module, *arguments, **more):
    """Runs `python -m wgan_jax.MODULE` to its end."""
    process = launch(module, *arguments, **more)
    stdout, stderr = process.communicate(timeout=600)
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def in_process(module, *arguments, cwd=ROOT):
    """Runs a command in this process: (exit status, stderr)."""
    words = _without_report(module.__name__, last_of_each(arguments))
    return run_main(module.main, words, cwd)


def _without_report(module, words):
    """The words of a command, without the page that training writes at its end.

    The word --report asks for the page and is not passed to the command.
    """
    if "--report" in words:
        return [word for word in words if word != "--report"]
    return [*words, "--no-report"] if module.endswith("train") else words


def run_main(main, words, cwd):
    """Runs main(words) as a command in the folder `cwd`: (exit status, stderr)."""
    handlers = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    errors, before, hook = io.StringIO(), Path.cwd(), sys.unraisablehook
    os.chdir(cwd)
    try:
        with contextlib.redirect_stderr(errors):
            cli.run(lambda: main(words))
    except SystemExit as stop:
        return stop.code, errors.getvalue()
    finally:
        os.chdir(before)
        sys.unraisablehook = hook
        for number, handler in handlers.items():
            signal.signal(number, handler)


def array_file(checkpoint):
    """The file of a checkpoint's arrays, which do not compress.

    Those below ocdbt.process_0 were merged into it and are not read again.
    """
    files = (Path(checkpoint) / "state" / "d").iterdir()
    return max(files, key=lambda path: path.stat().st_size)


def truncate(checkpoint):
    """Damages a checkpoint: half of its arrays are missing."""
    file = array_file(checkpoint)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def assert_same_run(a, b, rtol):
    """Two run directories contain the same records and the same final arrays."""
    for ours, theirs in zip(records(a), records(b), strict=True):
        assert ours.keys() == theirs.keys()
        for name in ours.keys() - {"seconds", "cycles_per_second"}:
            assert ours[name] == pytest.approx(theirs[name], rel=10 * rtol, abs=rtol)
    expected = final_arrays(b)
    for name, array in final_arrays(a).items():
        np.testing.assert_allclose(array, expected[name], rtol, rtol, err_msg=name)


def extending_example(heading, folder):
    """Writes the files of a section of docs/extending.md; returns its command's words.

    The words after `python -m MODULE`, with the files as paths in `folder`.
    """
    text = (ROOT / "docs" / "extending.md").read_text()
    section = text.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    blocks = re.findall(r"^```(\w+)\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
    (command,) = (code for language, code in blocks if language == "bash")
    for language, code in blocks:
        if language == "python":
            name = code.splitlines()[0].removeprefix("# ")
            (Path(folder) / name).write_text(code)
            command = command.replace(name, str(Path(folder) / name))
    return shlex.split(command)[3:]


def configuration_names():
    """The configurations of the repository."""
    return sorted(p.stem for p in (ROOT / "configs").glob("[!_]*.py"))


def records(run):
    """The complete lines of metrics.jsonl; none if it does not exist."""
    path = Path(run) / "metrics.jsonl"
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text.split("\n")[:-1]]


def final_arrays(run):
    """Arrays of the newest checkpoint, flattened, by part of the state."""
    state = restore_run(run)[2]
    parts = {"key": jax.random.key_data(state.key), "step": state.step}
    for name in ("generator", "critic"):
        net = getattr(state, name)
        parts |= {f"{name}/params": net.params, f"{name}/stats": net.stats}
        parts |= {f"{name}/opt_state": net.opt_state}
    if state.ema is not None:
        parts["average"] = (state.ema.params, state.ema.stats)
    return {
        name: np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(part)] or [[]])
        for name, part in parts.items()
    }


def encode_image(image, file_format="png"):
    """uint8 [height, width] or [height, width, 3] as a file of a format of Pillow."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, file_format)
    return file.getvalue()


def photo(seed, width, height, mode="RGB"):
    """A Pillow image of smooth random colours."""
    colours = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), np.uint8)
    image = Image.fromarray(colours).resize((width, height), Image.Resampling.BICUBIC)
    return image.convert(mode)


def messy_folder(root, cats=12, dogs=4):
    """Writes a folder of images as people have them.

    cats, dogs: numbers of plain photos. Of the others, 23 can be read and 3 cannot, 4
    are skipped, and no colours repeat except in copies.
    """
    folders = [root / "cats", root / "dogs" / "small", root / "icons"]
    for folder in folders:
        folder.mkdir(parents=True)
    sizes = itertools.cycle([(96, 80), (80, 96), (96, 96), (120, 90)])
    for i, size in zip(range(cats + dogs), sizes):
        place = folders[0] if i < cats else folders[1]
        photo(1000 + i, *size).save(place / f"{i}.jpg", quality=95)
    cat, dog, icons = folders
    for orientation in range(2, 9):
        exif = Image.Exif()
        exif[274] = orientation
        photo(orientation, 90, 60).save(cat / f"turned_{orientation}.jpg", exif=exif)
    photo(11, 80, 80, "CMYK").save(dog / "print.jpg")
    deep = np.asarray(photo(12, 80, 80, "L")).astype(np.uint16) * 257
    Image.fromarray(deep).save(dog / "deep.png")
    frames = [photo(13 + i, 80, 80, "P") for i in range(3)]
    frames[0].save(dog / "animated.gif", save_all=True, append_images=frames[1:])
    clear = photo(16, 80, 80, "RGBA")
    clear.putalpha(photo(17, 80, 80, "L"))
    clear.save(dog / "clear.png")
    photo(18, 1000, 80).save(dog / "panorama.jpg")
    for i in range(5):
        photo(20 + i, 10, 10).save(icons / f"{i}.png")
    photo(30, 80, 80).save(cat / "K\u00e4tzchen \u732b.JPEG")
    photo(31, 80, 80).save(cat / "two\nlines.jpg")
    photo(32, 80, 80, "L").save(cat / "grey.png")
    (dog / "copy.jpg").write_bytes((cat / "0.jpg").read_bytes())
    original = Image.open(cat / "1.jpg")
    original.resize((original.width // 2, original.height // 2)).save(cat / "half.png")
    encoded = encode_image(np.asarray(photo(40, 200, 200)), "jpeg")
    (cat / "truncated.jpg").write_bytes(encoded[: len(encoded) // 2])
    (cat / "empty.jpg").write_bytes(b"")
    (cat / "text.jpg").write_text("my notes")
    (root / ".DS_Store").write_bytes(b"system")
    (root / "__MACOSX").mkdir()
    (root / "__MACOSX" / "._0.jpg").write_bytes(b"system")
    (root / "readme.txt").write_text("photos")
    (root / "gone.jpg").symlink_to(root / "nowhere.jpg")


def write_array_record(path, records):
    """Writes records to one array_record file."""
    writer = ArrayRecordWriter(str(path), "group_size:1")
    for record in records:
        writer.write(record)
    writer.close()


# Images of the data set that `write_tfds` writes; the label of an image is its place.
TFDS_TRAIN = np.random.default_rng(0).integers(0, 256, (9, 6, 6, 1), np.uint8)
TFDS_TEST = np.random.default_rng(1).integers(0, 256, (4, 6, 6, 1), np.uint8)


def write_tfds(
    folder,
    name="tiny",
    version="1.0.0",
    image="image",
    file_format="array_record",
    train=TFDS_TRAIN,
):
    """Writes a prepared TFDS data set of two splits, without TensorFlow."""
    from tensorflow_datasets.proto import tf_example_pb2

    place = Path(folder) / name / version
    place.mkdir(parents=True)
    splits = []
    for split, images in (("train", train), ("test", TFDS_TEST)):
        path = place / f"{name}-{split}.array_record-00000-of-00001"
        examples = []
        for i, pixels in enumerate(images):
            example = tf_example_pb2.Example()
            features = example.features.feature
            features[image].bytes_list.value.append(encode_image(pixels[..., 0]))
            features["label"].int64_list.value.append(i)
            examples.append(example.SerializeToString())
        write_array_record(path, examples)
        splits.append(
            {
                "name": split,
                "shardLengths": [str(len(images))],
                "numBytes": str(path.stat().st_size),
                "filepathTemplate": "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
            }
        )
    core = "tensorflow_datasets.core.features"
    info = {
        "name": name,
        "version": version,
        "fileFormat": file_format,
        "moduleName": "nowhere",
        "splits": splits,
    }
    label = {
        "pythonClassName": f"{core}.class_label_feature.ClassLabel",
        "classLabel": {"numClasses": "10"},
    }
    pixels = {
        "pythonClassName": f"{core}.image_feature.Image",
        "image": {
            "shape": {"dimensions": ["6", "6", "1"]},
            "dtype": "uint8",
            "encodingFormat": "png",
        },
    }
    features = {
        "pythonClassName": f"{core}.features_dict.FeaturesDict",
        "featuresDict": {"features": {"label": label, image: pixels}},
    }
    (place / "dataset_info.json").write_text(json.dumps(info))
    (place / "features.json").write_text(json.dumps(features))
