"""Where real samples come from: files and data sets, decoded once, on the host."""

import concurrent.futures
import contextlib
import hashlib
import os
from pathlib import Path

import numpy as np
from PIL import Image
from rich.progress import track

from wgan_jax.data import tfds
from wgan_jax.data.readers import (
    ArrayRecordImages,
    Samples,
    fit,
    image_files,
    read_file,
    stack,
    stamps,
)
from wgan_jax.errors import UserError
from wgan_jax.files import cache_directory

# Read at once: as many as keep a thread busy for a moment.
RECORDS = 256


def _load_digits(data, report):
    from sklearn.datasets import load_digits

    # Grey levels 0 to 16.
    digits = load_digits()
    scans = np.round(digits.images * (255 / 16)).astype(np.uint8)
    images = _fit_all((Image.fromarray(scan) for scan in scans), data)
    return Samples(images, digits.target.astype(np.int32)), None


def _load_npz(data, report):
    train = _npz_images(data, "array", data.array)
    test = _npz_images(data, "test_split", data.test_split) if data.test_split else None
    return train, test


def _npz_images(data, field, name):
    path, name, images, labels = _read_npz(data, field, name)
    arrays = (f"array {n!r} of data.dir={path}" for n in (name, _labels_of(name)))
    check_images(images, labels, *arrays)
    labels = labels if labels is None else labels.astype(np.int32)
    if images.ndim == 4 and images.shape[1:] == data.sample_shape:
        return Samples(images, labels)
    if images.ndim == 4 and images.shape[3] == 1:
        images = images[..., 0]
    images = track(images, "resizing", transient=True, disable=len(images) < 5000)
    return Samples(_fit_all((Image.fromarray(image) for image in images), data), labels)


def _load_vectors(data, report):
    path, name, vectors, _ = _read_npz(data, "array", data.array)
    what = f"array {name!r} of data.dir={path}"
    if vectors.ndim != 2 or vectors.dtype.kind != "f":
        raise UserError(
            f"{what} is {vectors.dtype}{list(vectors.shape)}: it must be floating "
            "point [n, data.dimensions]"
        )
    if vectors.shape[1] != data.dimensions:
        raise UserError(
            f"data.dimensions={data.dimensions} does not fit {what}, whose vectors "
            f"have {vectors.shape[1]} numbers: take --data.dimensions "
            f"{vectors.shape[1]}"
        )
    vectors = vectors.astype(np.float32)
    if not np.isfinite(vectors).all():
        raise UserError(f"{what} has numbers that are not finite: leave them out")
    return Samples(vectors), None


def check_images(images, labels, images_are, labels_are):
    """Raises UserError unless these are images and, if any, a label for each.

    images_are, labels_are: how the user knows the arrays.
    """
    fits = images.ndim == 3 or (images.ndim == 4 and images.shape[3] in (1, 3))
    if not fits or images.dtype != np.uint8:
        raise UserError(
            f"{images_are} is {images.dtype}{list(images.shape)}: it must be uint8 "
            "[n, height, width] or [n, height, width, 1 or 3]"
        )
    if labels is None:
        return
    if labels.shape != images.shape[:1] or labels.dtype.kind not in "iu":
        raise UserError(
            f"{labels_are} is {labels.dtype}{list(labels.shape)}: it must be one whole "
            f"number for each of the {len(images)} images"
        )


def _read_npz(data, field, name):
    """(path, name, array, its labels or None); field: where the array was named."""
    path = Path(data.dir)
    try:
        # numpy leaves a file open that it opened itself and could not read.
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            found = name or ("images" if "images" in file else "")
            if not found and len(file.files) == 1:
                found = file.files[0]
            if found not in file:
                option = field.replace("_", "-")
                raise UserError(
                    f"data.{field}={name!r} is not in data.dir={path}, which has "
                    f"{', '.join(file.files)}: name one of them with --data.{option}"
                )
            labels = _labels_of(found)
            labels = file[labels] if labels in file.files else None
            return path, found, file[found], labels
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"data.dir={path} is no readable .npz file: {error}") from error


def _labels_of(name):
    return name.replace("images", "labels") if "images" in name else "labels"


def _load_folder(data, report):
    folder = Path(data.dir)
    files = image_files(folder)

    def decode():
        def read(path):
            try:
                return read_file(path, data), "", True
            except Exception as error:
                # What the system refuses today it may grant tomorrow.
                lasting = getattr(error, "errno", None) is None
                return None, f"{path} ({type(error).__name__}: {error})", lasting

        with concurrent.futures.ThreadPoolExecutor() as pool:
            work = pool.map(read, files)
            results = list(track(work, "decoding", len(files), transient=True))
        images = [image for image, _, _ in results if image is not None]
        bad = [message for image, message, _ in results if image is None]
        part = Samples(stack(images, data))
        return part, bad, all(lasting for _, _, lasting in results)

    part, bad = _cached(f"folder {stamps(folder, files)}", data, decode, report)
    if bad:
        some = "; ".join(bad[:3]) + ("; ..." if len(bad) > 3 else "")
        found = f"{len(bad)} of {len(files)} image files cannot be read: {some}"
        if not data.skip_corrupt:
            raise UserError(
                f"{found}; remove them, or train without them by --data.skip-corrupt"
            )
        report(f"{found}; training without them")
    return part, None


def _load_records(data, report):
    reader = ArrayRecordImages(data)

    def decode():
        every = range(len(reader))
        some = [every[i : i + RECORDS] for i in every[::RECORDS]]
        with concurrent.futures.ThreadPoolExecutor() as pool:
            work = pool.map(reader.read, some)
            parts = list(track(work, "decoding", len(some), transient=True))
        images = [image for part in parts for image in part.samples]
        return Samples(stack(images, data)), [], True

    return _cached(f"array_record {reader.identity}", data, decode, report)[0], None


def _load_tfds(data, report):
    builder = tfds.open_builder(data, report)

    def read(split, field):
        def decode():
            source = tfds.examples(builder, split, data.name, field)
            rows = track(source, f"decoding {data.name} {split}", transient=True)
            pairs = [(fit(Image.fromarray(row), data), label) for row, label in rows]
            labels = [label for _, label in pairs if label is not None]
            return (
                Samples(
                    stack([image for image, _ in pairs], data),
                    np.array(labels, np.int32) if labels else None,
                ),
                [],
                True,
            )

        # By the files and not only the name: they may be prepared anew.
        folder = Path(builder.data_path)
        source = f"tfds {split} {stamps(folder, sorted(folder.iterdir()))}"
        return _cached(source, data, decode, report)[0]

    train = read(data.split, "data.split")
    return train, read(data.test_split, "data.test_split") if data.test_split else None


def _fit_all(images, data):
    return stack([fit(image, data) for image in images], data)


def _cached(source, data, decode, report):
    """Images and unreadable files, kept on disk under a name of all that shapes them.

    decode() -> (part, unreadable files, whether that is worth keeping).
    """
    facts = f"{source}\n{data.sample_shape} {data.resize}"
    name = hashlib.sha256(facts.encode()).hexdigest()[:24]
    path = cache_directory() / f"{name}.npz"
    # Whatever is missing, cut off or foreign is decoded again.
    with contextlib.suppress(Exception), path.open("rb") as opened:
        file = np.load(opened, allow_pickle=False)
        labels = file["labels"]
        return Samples(file["images"], labels if len(labels) else None), list(
            file["bad"]
        )
    part, bad, lasting = decode()
    if not lasting:
        return part, bad
    labels = np.zeros(0, np.int32) if part.labels is None else part.labels
    temporary = path.with_name(f"{name}.{os.getpid()}.tmp.npz")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        bad_array = np.array(bad, dtype=str)
        np.savez(temporary, images=part.samples, labels=labels, bad=bad_array)
        temporary.replace(path)
    except OSError as error:
        report(f"decoded images are not kept for the next run: {error}")
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    return part, bad


# load(data, report) -> (training part, test part or None)
LOADERS = {
    "digits": _load_digits,
    "npz": _load_npz,
    "vectors": _load_vectors,
    "folder": _load_folder,
    "array_record": _load_records,
    "tfds": _load_tfds,
}
