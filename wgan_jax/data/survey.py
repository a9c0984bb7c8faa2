"""Survey of a data source: the images that training would read, before it does.

Samples are read by the readers of training, so that a file that the survey accepts is
one that training accepts. Memory is constant but for about 300 bytes per image.
"""

import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from functools import partial

import numpy as np

from wgan_jax.config import Data
from wgan_jax.data import decoding
from wgan_jax.data.memory import in_threads
from wgan_jax.data.readers import Reader, UnreadableSample
from wgan_jax.data.sources import open_reader
from wgan_jax.errors import UserError
from wgan_jax.files import cached_npz

# To be increased when the survey of some data changes.
VERSION = 1
# Images that a thread reads in one call where there are MANY; fewer are read one by
# one, so that the progress bar moves.
CHUNK, MANY = 32, 4096
# Side of the thumbnails by which images are compared.
SIDE = 16
# Least correlation of the grey thumbnails of near copies. Re-encoded, resized and
# brighter copies of photographs correlate by 0.995 and more; of 6,000 different MNIST
# digits 8 pairs reach 0.99, and of 9,303 cat faces 32 groups, all but one of copies.
NEAR = 0.99
# Images among which near copies are searched: the cost grows with the square.
COMPARED = 20_000
# Weights of red, green and blue in a grey level, as Pillow has them.
LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)
ROW = np.dtype(
    [
        ("number", np.int64),
        ("height", np.int32),
        ("width", np.int32),
        ("grey", np.bool_),
        ("content", np.uint64),
        ("label", np.int64),
        ("colour", np.uint8, (3,)),
        ("thumbnail", np.uint8, (SIDE, SIDE)),
    ]
)


@dataclasses.dataclass(frozen=True)
class Survey:
    """Facts about the images of a reader."""

    reader: Reader
    rows: np.ndarray
    """One ROW for each readable image: its number in the reader, height and width as a
    viewer shows it, whether it is grey, hash of its file, label, mean colour, and grey
    thumbnail of its central square."""
    counts: dict[str, Counter]
    """Numbers of images by `format`, by `mode` and depth, that are `turned` by EXIF or
    `animated`, and what decoding reports (`notes`)."""
    unreadable: Sequence[str]
    """Name and reason of each image that cannot be read."""

    def names(self, places) -> list[str]:
        """Names of the images at these places of `rows`."""
        return [
            self.reader.name(number) for number in self.rows["number"][places].tolist()
        ]

    def classes(self) -> dict[str, int]:
        """Number of images of each label, or else of each folder; {} without either."""
        if self.reader.classes:
            labels, counts = np.unique(self.rows["label"], return_counts=True)
            names = dict(enumerate(self.reader.label_names))
            pairs = zip(labels.tolist(), counts.tolist(), strict=True)
            return {str(names.get(label) or label): count for label, count in pairs}
        names = [self.reader.name(number) for number in self.rows["number"].tolist()]
        folders = Counter(n.split("/")[0] if "/" in n else "." for n in names)
        return dict(folders) if len(folders) > 1 else {}

    def copies(self) -> list[np.ndarray]:
        """Groups of places in `rows` whose files are equal."""
        return groups(self.rows["content"])

    def near_copies(self) -> list[np.ndarray]:
        """Groups of places whose central squares look the same, but not only copies.

        The grey thumbnails of neighbours in a group have a correlation of at least
        NEAR. At most COMPARED images are compared, drawn by the seed 0.
        """
        # Late, because every command imports this module.
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        _, places = np.unique(self.rows["content"], return_index=True)
        if len(places) > COMPARED:
            rng = np.random.default_rng(0)
            places = rng.choice(places, COMPARED, replace=False)
        places = np.sort(places)
        vectors = self.rows["thumbnail"][places].reshape(len(places), -1)
        vectors = vectors - vectors.mean(1, keepdims=True, dtype=np.float32)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        # An image of one colour resembles every other one.
        flat = lengths[:, 0] < SIDE
        vectors /= np.maximum(lengths, 1)
        vectors[flat] = 0
        pairs = [np.zeros((0, 2), int)]
        for start in range(0, len(places), 1024):
            block = vectors[start : start + 1024] @ vectors[start:].T
            near = np.argwhere(block >= NEAR)
            pairs.append(near[near[:, 0] < near[:, 1]] + start)
        left, right = np.concatenate(pairs).T
        graph = coo_array(
            (np.ones(len(left), bool), (left, right)), (len(places), len(places))
        )
        _, parts = connected_components(graph, directed=False)
        return [places[group] for group in groups(parts)]

    def flat(self) -> np.ndarray:
        """Places of `rows` whose central square has one colour, as a blank page has."""
        return np.flatnonzero(np.ptp(self.rows["thumbnail"], axis=(1, 2)) == 0)

    def unusual(self) -> np.ndarray:
        """Places of `rows`, the most unusual image first.

        By the Mahalanobis distance of mean colours and of thumbnails of 4x4 pixels.
        """
        count = len(self.rows)
        coarse = self.rows["thumbnail"].reshape(count, 4, SIDE // 4, 4, SIDE // 4)
        coarse = coarse.mean((2, 4)).reshape(count, -1)
        features = np.concatenate([coarse, self.rows["colour"]], 1)
        features -= features.mean(0)
        covariance = features.T @ features / count
        # A grey level of noise, so that data of few dimensions have an inverse.
        inverse = np.linalg.inv(covariance + np.eye(len(covariance)))
        distances = np.einsum("ni,ij,nj->n", features, inverse, features)
        return np.argsort(-distances, kind="stable")

    def pictures(self, places, side: int) -> np.ndarray:
        """The images at these places, uint8 [n, side, side, 3], as in training."""
        reader = open_reader(_view_of(self.reader.data, side))
        return reader.read(self.rows["number"][places]).samples


def survey(data: Data) -> Survey:
    """Reads every image that a data section names, in threads, and caches the facts.

    Raises UserError where there is none, or none that can be read.
    """
    reader = open_reader(_view_of(data, SIDE))
    columns = {"rows", "counts", "unreadable"}
    if reader.identity:
        facts = f"survey {VERSION} {decoding.VERSION} {data.source} {reader.identity}"
        name = hashlib.sha256(facts.encode(errors="surrogateescape")).hexdigest()[:24]
        found = cached_npz(f"{name}.npz", sorted(columns), lambda: _survey(reader))
    else:
        found = _survey(reader)
    rows, unreadable = found["rows"], found["unreadable"].tolist()
    if not len(rows):
        raise UserError(
            f"no image of data.dir={data.dir} can be read: {'; '.join(unreadable[:3])}"
        )
    counts = {k: Counter(v) for k, v in json.loads(str(found["counts"])).items()}
    return Survey(reader, rows, counts, unreadable)


def _view_of(data, side):
    return dataclasses.replace(data, image_size=side, channels=3, resize="box")


def _survey(reader):
    numbers = np.arange(len(reader))
    size = CHUNK if len(numbers) > MANY else 1
    chunks = [numbers[i : i + size] for i in range(0, len(numbers), size)]
    parts = in_threads(partial(_read, reader), chunks, "checking")
    rows, counts, unreadable = _joined(parts)
    return {
        "rows": rows,
        "counts": np.array(json.dumps(counts)),
        "unreadable": np.array(unreadable, dtype=str),
    }


def _joined(parts):
    """(rows, counts, unreadable) of several such triples."""
    counts = {name: Counter() for name in ("format", "mode", "other", "notes")}
    rows, unreadable = [np.zeros(0, ROW)], []
    for some, found, errors in parts:
        rows.append(some)
        unreadable += errors
        for name, count in found.items():
            counts[name] += count
    return np.concatenate(rows), counts, unreadable


def _read(reader, numbers):
    """(rows, counts, unreadable) of the images of these numbers."""
    try:
        part = reader.read(numbers)
    except UnreadableSample as error:
        if len(numbers) == 1:
            return np.zeros(0, ROW), {}, [error.summary]
        return _joined(_read(reader, numbers[i : i + 1]) for i in range(len(numbers)))
    rows = np.zeros(len(numbers), ROW)
    rows["number"] = numbers
    if part.labels is not None:
        rows["label"] = part.labels
    images = part.samples.astype(np.float32)
    rows["grey"] = (part.samples == part.samples[..., :1]).all((1, 2, 3))
    rows["colour"] = np.round(images.mean((1, 2)))
    rows["thumbnail"] = np.round(images @ LUMINANCE)
    counts = {name: Counter() for name in ("format", "mode", "other")}
    for row, original in zip(rows, reader.originals(numbers), strict=True):
        if original is None:
            raise UserError(
                f"data.source={reader.data.source} does not show its images before "
                "they are resized, so that no size can be suggested: define "
                "originals(numbers) in its class, or give a configuration file"
            )
        elif isinstance(original, np.ndarray):
            row["height"], row["width"] = original.shape[:2]
            row["content"] = _hash(np.ascontiguousarray(original).tobytes())
        else:
            head = decoding.header(original)
            row["height"], row["width"] = head.height, head.width
            encoded = original if isinstance(original, bytes) else original.read_bytes()
            row["content"] = _hash(encoded)
            counts["format"][head.format] += 1
            counts["mode"][f"{head.mode} {head.bits}-bit"] += 1
            counts["other"]["turned"] += head.turned
            counts["other"]["animated"] += head.frames > 1
    notes = {"notes": part.notes} if part.notes else {}
    return rows, counts | notes, []


def _hash(encoded):
    return int.from_bytes(hashlib.blake2b(encoded, digest_size=8).digest(), "little")


def groups(keys: np.ndarray) -> list[np.ndarray]:
    """Places of each key of `keys` that occurs several times, by the first place."""
    order = np.argsort(keys, kind="stable")
    ends = np.flatnonzero(np.diff(keys[order])) + 1
    several = [group for group in np.split(order, ends) if len(group) > 1]
    return sorted(several, key=lambda group: group[0])
