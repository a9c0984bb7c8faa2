"""TensorFlow Datasets: read without TensorFlow, prepared in a process that has it."""

import contextlib
import difflib
import importlib.util
import subprocess
import sys
from pathlib import Path

from wgan_jax.config import Data
from wgan_jax.errors import UserError


def open_builder(data: Data, report):
    """The prepared TFDS builder of `data.name`; prepares it first where that is due.

    Raises UserError for an unknown name, a data set that is not prepared where
    TensorFlow is missing, and a preparation that fails.
    """
    import tensorflow_datasets as tfds

    def find():
        return tfds.builder(data.name, data_dir=data.tfds_dir or None)

    try:
        builder = find()
    except tfds.core.DatasetNotFoundError as error:
        # The community's data sets are listed by TensorFlow only, over the network.
        known = tfds.list_builders(with_community_datasets=False)
        near = difflib.get_close_matches(data.name, known, 3)
        hint = (
            f"did you mean {' or '.join(near)}?" if near else "see tfds.list_builders()"
        )
        raise UserError(f"data.name={data.name} is no TFDS data set: {hint}") from error
    except (ValueError, AssertionError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"data.name={data.name} is no TFDS data set: {reason}"
        ) from error
    if not builder.is_prepared():
        _prepare_elsewhere(data, report)
        builder = find()
    if builder.info.file_format is not tfds.core.FileFormat.ARRAY_RECORD:
        raise UserError(
            f"data.name={data.name} in {builder.data_path} was prepared as "
            f"{builder.info.file_format.value}, which needs TensorFlow to read: "
            "prepare it as array_record in another folder, with --data.tfds-dir"
        )
    return builder


def examples(builder, split: str, name: str, field: str = "data.split"):
    """Pairs (image, label) of a split, lazily.

    Images are uint8 [height, width] or [height, width, 3]; a label is a whole number,
    or None where the data set has none. field: where the split was named, for the
    sentence of the UserError that an unknown one raises.
    """
    import tensorflow_datasets as tfds

    features = builder.info.features
    keys = [k for k, f in features.items() if isinstance(f, tfds.features.Image)]
    if not keys:
        raise UserError(
            f"data.name={name} has no images: its features are {', '.join(features)}"
        )
    try:
        source = builder.as_data_source(split=split)
        len(source)
    except ValueError as error:
        known = ", ".join(builder.info.splits)
        raise UserError(
            f"{field}={split} is not in data.name={name}, which has {known}"
        ) from error
    labels = [k for k, f in features.items() if isinstance(f, tfds.features.ClassLabel)]
    classes = features[labels[0]].num_classes if labels else None
    folder = Path(builder.data_path)
    return _Examples(source, keys[0], labels[0] if labels else None, classes, folder)


class _Examples:
    """Two features of a data source, as a sized iterable that can report progress."""

    def __init__(self, source, image, label, classes, folder):
        """classes: how many labels there are; folder: where the files lie."""
        self.source, self.image, self.label = source, image, label
        self.classes, self.folder = classes, folder

    def __len__(self):
        return len(self.source)

    def __iter__(self):
        for i in range(len(self.source)):
            yield self._pair(self.source[i])

    def take(self, numbers: list[int]) -> list:
        """The pairs at these places, read at once."""
        return [self._pair(example) for example in self.source.__getitems__(numbers)]

    def _pair(self, example):
        image = example[self.image]
        label = None if self.label is None else int(example[self.label])
        return (image[..., 0] if image.shape[-1] == 1 else image), label


def _prepare_elsewhere(data, report):
    command = [sys.executable, "-m", "wgan_jax.data.tfds", data.name]
    command += ["--tfds-dir", data.tfds_dir] if data.tfds_dir else []
    command += ["--manual-dir", data.manual_dir] if data.manual_dir else []
    if importlib.util.find_spec("tensorflow") is None:
        raise UserError(
            f"data.name={data.name} is not prepared yet, which needs TensorFlow once: "
            "pip install 'wgan-jax[prepare]' and start again"
        )
    report(f"preparing {data.name} in a process with TensorFlow; this is done once")
    # A process of its own: TensorFlow's threads and memory leave with it.
    finished = subprocess.run(command, capture_output=True, text=True)
    if finished.returncode:
        lines = finished.stderr.strip().splitlines() or ["no message"]
        hint = "" if data.manual_dir else "; without network, give the original files "
        hint += "" if data.manual_dir else "by --data.manual-dir FOLDER"
        raise UserError(f"preparing data.name={data.name} failed: {lines[-1]}{hint}")


def prepare(name: str, tfds_dir: str = "", manual_dir: str = "") -> str:
    """Downloads a TFDS data set and writes it as array_record; returns its folder.

    manual_dir: folder with the original files, taken instead of the network. Needs
    TensorFlow.
    """
    import tensorflow_datasets as tfds

    builder = tfds.builder(
        name, data_dir=tfds_dir or None, file_format=tfds.core.FileFormat.ARRAY_RECORD
    )
    # A folder each: TFDS finds what it has extracted by file name alone, and MNIST and
    # Fashion-MNIST have the same ones, so the second would become the first.
    downloads = Path(builder.data_dir).parents[1] / "downloads" / name
    config = tfds.download.DownloadConfig(manual_dir=manual_dir or None)
    builder.download_and_prepare(
        download_dir=str(downloads), download_config=config, file_format="array_record"
    )
    return str(builder.data_path)


def main(argv=None) -> int:
    """Prepares one data set: `NAME [--tfds-dir DIR] [--manual-dir DIR]`."""
    import argparse

    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("name", help="TFDS name, such as mnist")
    parser.add_argument("--tfds-dir", default="", help="where prepared data sets lie")
    parser.add_argument("--manual-dir", default="", help="folder of original files")
    arguments = parser.parse_args(argv)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            where = prepare(**vars(arguments))
    except Exception as error:
        message = " ".join(str(error).split())
        print(f"{type(error).__name__}: {message[:300]}", file=sys.stderr)
        return 2
    print(f"{arguments.name} is prepared in {where}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
