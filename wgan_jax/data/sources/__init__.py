"""Data sources. A new one is a file with a `Reader` and one line of SOURCES."""

from wgan_jax.config import TOYS, Config, Data
from wgan_jax.data.readers import Reader
from wgan_jax.data.sources.array_record import ArrayRecordImages
from wgan_jax.data.sources.cifar import CifarImages
from wgan_jax.data.sources.detection import detect as detect
from wgan_jax.data.sources.digits import Digits
from wgan_jax.data.sources.folder import ImageFolder
from wgan_jax.data.sources.idx import IdxImages
from wgan_jax.data.sources.npz import NpzImages
from wgan_jax.data.sources.parquet import ParquetImages
from wgan_jax.data.sources.text import TextLines
from wgan_jax.data.sources.tfds import TfdsImages
from wgan_jax.data.sources.vectors import NpzVectors
from wgan_jax.data.sources.zip import ZipImages
from wgan_jax.errors import UserError
from wgan_jax.references import lookup

SOURCES: dict[str, type[Reader]] = {
    "digits": Digits,
    "tfds": TfdsImages,
    "folder": ImageFolder,
    "zip": ZipImages,
    "array_record": ArrayRecordImages,
    "parquet": ParquetImages,
    "idx": IdxImages,
    "cifar": CifarImages,
    "npz": NpzImages,
    "vectors": NpzVectors,
    "text": TextLines,
}


def reader_class(data: Data) -> type[Reader] | None:
    """Reader of data.source, a name or a reference; None for a toy distribution.

    Raises UserError for any other value, and where the field that it needs is empty.
    """
    if data.is_toy:
        return None
    source = lookup(SOURCES | dict.fromkeys(TOYS), data.source, "data.source")
    if not (isinstance(source, type) and issubclass(source, Reader)):
        raise UserError(
            f"data.source={data.source} is not a subclass of "
            "wgan_jax.data.readers.Reader"
        )
    field = source.required_field
    if field and not getattr(data, field):
        raise UserError(
            f"data.{field} is empty: data.source={data.source} needs it, as in "
            f"--data.{field} {'mnist' if field == 'name' else 'PATH'}"
        )
    return source


def source_for(path: str, source: str) -> str:
    """The source that reads data.dir=PATH in a configuration of another `source`.

    `source` itself where it is the user's own, or reads such a path. Raises UserError
    where it reads no path and no other source reads this one.
    """
    known = SOURCES.get(source)
    if not known and source not in TOYS:
        return source
    reads_paths = known is not None and known.required_field == "dir"
    try:
        found = detect(path, "--data.dir ")
    except UserError:
        if reads_paths:
            return source
        raise
    # An array may be named that is not the one by which the file is known.
    arrays = {"npz", "vectors"}
    return source if {source, found} <= arrays else found


def open_reader(data: Data) -> Reader:
    """Reader of the samples that `data` describes, which is not a toy."""
    reader = reader_class(data)
    assert reader, f"data.source={data.source} is a toy distribution"
    return reader(data)


def check_stream(config: Config, reason: str) -> None:
    """Raises UserError where the configuration rules streaming out.

    reason: the setting or condition that asks for it.
    """
    data, run = config.data, config.run
    source = reader_class(data)
    if not (source and source.can_stream(data)):
        raise UserError(
            f"{reason} needs images that can be read one by one: data.source="
            f"{data.source} is held in memory, so leave data.stream at auto"
        )
    if data.skip_corrupt:
        raise UserError(
            f"data.skip_corrupt=True cannot be combined with {reason}: the images to "
            "leave out must be known before the first batch; fix or remove the files "
            "that cannot be read, or take data.stream=never"
        )
    if data.classes:
        raise UserError(
            f"data.classes={data.classes} cannot be combined with {reason}: every "
            "label would be read before the first batch; leave data.classes empty, or "
            "take data.stream=never"
        )
    if run.evaluate_every and run.evaluate_features == "classifier":
        raise UserError(
            f"run.evaluate_features=classifier cannot be combined with {reason}: the "
            "classifier is trained on images in memory; take patches or inception, or "
            "data.stream=never"
        )
