"""The source that fits a path: by names, and for arrays by their shapes."""

from collections import Counter
from pathlib import Path

from wgan_jax.data.image_files import SUFFIXES, find_files
from wgan_jax.data.sources import parquet
from wgan_jax.data.sources.cifar import Batch
from wgan_jax.data.sources.idx import IdxFile
from wgan_jax.data.sources.npz import IMAGES, VECTORS, array_shapes, default_array
from wgan_jax.errors import UserError

# Sources of folders of files, and the noun of such a file.
FILES = {
    "folder": "image files",
    "idx": "IDX files",
    "cifar": "batches of CIFAR",
    "parquet": "Parquet files",
    "array_record": "array_record files",
}
# Kinds of files that stand alone in data.dir.
SINGLE = {".npz": "npz", ".npy": "npz", ".zip": "zip"}
ARCHIVES = (".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar")
KINDS = (
    "a folder of images, a .zip of images, an .npz or .npy file, Parquet files, IDX "
    "files such as train-images-idx3-ubyte.gz, batches of CIFAR, array_record files, "
    "or a .txt file of lines"
)


def detect(path: str | Path, option: str = "") -> str:
    """Value of data.source for the files at a path, which is then data.dir.

    option: prefix of the path in messages, as in "data.dir=". Raises UserError where no
    source fits, or several do.
    """
    path, where = Path(path), f"{option}{path}"
    if path.is_dir():
        return _of_folder(path, where, option)
    if not path.is_file():
        raise UserError(f"{where} does not exist: give {KINDS}")
    if path.suffix.lower() == ".txt":
        # Not in a folder, where it may be a note on the images.
        return "text"
    kind = kind_of(path)
    if kind == "npz":
        return _of_arrays(path, where)
    if kind == "folder":
        raise UserError(f"{where} is one image: give the folder that it is in")
    if kind:
        return kind
    if path.suffix.lower() in ARCHIVES:
        raise UserError(
            f"{where} is an archive that is not read: unpack it into a folder"
        )
    raise UserError(f"{where} is of a kind that is not read: give {KINDS}")


def kind_of(path: Path) -> str | None:
    """The source that reads a file of this name; None for other files."""
    suffix = path.suffix.lower()
    if suffix in SINGLE:
        return SINGLE[suffix]
    if suffix in parquet.SUFFIXES:
        return "parquet"
    # Sharded files are named x.array_record-00000-of-00008.
    if ".array_record" in path.name:
        return "array_record"
    if suffix in SUFFIXES:
        return "folder"
    if IdxFile.of(path):
        return "idx"
    return "cifar" if Batch.of(path) else None


def _of_folder(folder, where, option):
    if (folder / "dataset_info.json").is_file():
        raise UserError(
            f"{where} is a prepared data set of TensorFlow Datasets: take "
            "--data.source tfds with --data.name and --data.tfds-dir"
        )
    files, skipped = find_files(folder, lambda path: kind_of(path) is not None, option)
    # Single files next to others are left-overs, such as the zip that was unpacked.
    kinds = [str(kind_of(file)) for file in files]
    single = [file for file, kind in zip(files, kinds) if kind not in FILES]
    others = Counter(kind for kind in kinds if kind in FILES)
    if len(others) == 1:
        return next(iter(others))
    if not files:
        found = "".join(f"; {line}" for line in skipped.line())
        raise UserError(f"{where} has no files that are read: give {KINDS}{found}")
    if not others:
        more = f" or {single[-1]}" * (len(single) > 1)
        raise UserError(f"{where} is a folder: give the file {single[0]}{more}")
    found = ", ".join(f"{count} {FILES[kind]}" for kind, count in others.items())
    raise UserError(
        f"{where} has files of several kinds ({found}): name the source that is meant, "
        "as in --data.source folder"
    )


def _of_arrays(path, where):
    try:
        shapes = array_shapes(path)
    except Exception as error:
        raise UserError(
            f"{where} is not a readable {path.suffix} file: {error}"
        ) from error
    images, vectors = (default_array(shapes, axes) for axes in (IMAGES, VECTORS))
    for source, name, axes in (("npz", images, IMAGES), ("vectors", vectors, VECTORS)):
        if name is not None and len(shapes[name][0]) in axes:
            return source
    found = ", ".join(f"{name}{list(shape)}" for name, (shape, _) in shapes.items())
    raise UserError(
        f"{where} has the arrays {found}: one must be images [n, height, width] or "
        "[n, height, width, 1 or 3], or vectors [n, d]; of several, name one with "
        "--data.source npz --data.array NAME"
    )
