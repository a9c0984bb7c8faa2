"""TensorFlow Datasets: read without TensorFlow, prepared in a process that has it."""

import contextlib
import difflib
import importlib.util
import subprocess
import sys
from pathlib import Path

from wgan_jax.config import Data
from wgan_jax.errors import UserError

# Exit status of a preparation that is refused with a sentence for the user.
REFUSED = 3


def open_builder(data: Data):
    """The TFDS builder of `data.name`, after preparing the data set where it is not.

    Raises UserError for an unknown name, a preparation that fails, one that is needed
    where TensorFlow is missing, and where array-record is missing.
    """
    if importlib.util.find_spec("array_record") is None:
        raise UserError(
            "data.source=tfds needs array-record, for Linux and Apple silicon: "
            "pip install 'wgan-jax[records]'"
        )
    import tensorflow_datasets as tfds

    def make_builder():
        return tfds.builder(data.name, data_dir=data.tfds_dir or None)

    try:
        builder = make_builder()
    except tfds.core.DatasetNotFoundError as error:
        # Only TensorFlow lists the data sets of the community, over the network.
        known = tfds.list_builders(with_community_datasets=False)
        near = difflib.get_close_matches(data.name, known, 3)
        hint = (
            f"did you mean {' or '.join(near)}?" if near else "see tfds.list_builders()"
        )
        raise UserError(
            f"data.name={data.name} is not a TFDS data set: {hint}"
        ) from error
    except ImportError as error:
        raise UserError(
            f"data.name={data.name} needs TensorFlow even for its description: "
            "pip install 'wgan-jax[prepare]'"
        ) from error
    except (ValueError, AssertionError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"data.name={data.name} is not a TFDS data set: {reason}"
        ) from error
    if not builder.is_prepared():
        _prepare_in_subprocess(data, builder)
        builder = make_builder()
    file_format = builder.info.file_format
    if file_format is not tfds.core.FileFormat.ARRAY_RECORD:
        raise UserError(
            f"data.name={data.name} in {builder.data_path} was prepared as "
            f"{file_format and file_format.value}, which needs TensorFlow to read: "
            "prepare it as array_record in another folder, with --data.tfds-dir"
        )
    return builder


def image_features(features, name: str) -> tuple[str, str | None]:
    """Keys of the first image feature and the first class label, or None.

    Raises UserError where the data set has no images.
    """
    import tensorflow_datasets as tfds

    images = [k for k, f in features.items() if isinstance(f, tfds.features.Image)]
    if not images:
        raise UserError(
            f"data.name={name} has no images: its features are {', '.join(features)}"
        )
    labels = [k for k, f in features.items() if isinstance(f, tfds.features.ClassLabel)]
    return images[0], labels[0] if labels else None


def _prepare_in_subprocess(data, builder):
    if importlib.util.find_spec("tensorflow") is None:
        features = None
        # Some data sets need TensorFlow to name their features.
        with contextlib.suppress(Exception):
            features = builder.info.features
        if features is not None:
            image_features(features, data.name)
        raise UserError(
            f"data.name={data.name} is not prepared yet, which needs TensorFlow once: "
            "pip install 'wgan-jax[prepare]' and start again"
        )
    print(f"preparing {data.name} in a process with TensorFlow; this is done once")
    # TensorFlow's threads and memory end with the process.
    command = [sys.executable, "-m", "wgan_jax.data.tfds"]
    command += [data.name, data.tfds_dir, data.manual_dir]
    finished = subprocess.run(command, capture_output=True, text=True)
    if finished.returncode:
        lines = finished.stderr.strip().splitlines() or ["no message"]
        if finished.returncode == REFUSED:
            raise UserError(lines[-1])
        hint = "; without network, give the original files by --data.manual-dir FOLDER"
        raise UserError(
            f"preparing data.name={data.name} failed: {lines[-1]}"
            f"{'' if data.manual_dir else hint}"
        )


def prepare(name: str, tfds_dir: str = "", manual_dir: str = "") -> str:
    """Downloads a TFDS data set and writes it as array_record; returns its folder.

    manual_dir: folder with the original files, used instead of the network. Needs
    TensorFlow. Raises UserError, before any download, for a data set without images.
    """
    import tensorflow_datasets as tfds

    builder = tfds.builder(
        name, data_dir=tfds_dir or None, file_format=tfds.core.FileFormat.ARRAY_RECORD
    )
    image_features(builder.info.features, name)
    # TFDS finds extracted files by name alone. MNIST and Fashion-MNIST have equal
    # names, so that in one folder the second would become a copy of the first.
    downloads = Path(builder.data_dir).parents[1] / "downloads" / name
    config = tfds.download.DownloadConfig(manual_dir=manual_dir or None)
    builder.download_and_prepare(
        download_dir=str(downloads), download_config=config, file_format="array_record"
    )
    return str(builder.data_path)


def main(name: str, tfds_dir: str, manual_dir: str) -> int:
    """Prepares one data set; the last line of stderr is the reason of a failure."""
    try:
        with contextlib.redirect_stdout(sys.stderr):
            prepare(name, tfds_dir, manual_dir)
    except UserError as error:
        print(error, file=sys.stderr)
        return REFUSED
    except Exception as error:
        message = " ".join(str(error).split())
        print(f"{type(error).__name__}: {message[:300]}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
