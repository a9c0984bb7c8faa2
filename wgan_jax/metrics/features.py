"""What a network makes of images, in one pass over them and in constant memory."""

import contextlib
import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Iterable
from functools import partial

import jax
import numpy as np

from wgan_jax.data.dataset import Dataset
from wgan_jax.data.readers import LazyImages
from wgan_jax.files import cache_directory
from wgan_jax.metrics import classifier
from wgan_jax.metrics.scores import Moments, SplitScore

# Images in one call of a network, and those that share statistics under --batch-stats,
# as the code of both papers samples.
BATCH = 100
SPLITS = 10


@dataclasses.dataclass(frozen=True)
class Extractor:
    """A feature function, and what numbers made with it are called by."""

    name: str
    """inception, classifier, or a name of your own: it is part of every metric's."""
    dimension: int
    apply: Callable
    """apply(images uint8 [n, h, w, c]) -> (features [n, dimension], logits [n, k] or
    None)."""
    identity: str = ""
    """What changes with its weights; empty keeps no features in the cache directory."""


@dataclasses.dataclass(frozen=True)
class Features:
    """What is left of images [n, ...] when a network has seen them."""

    moments: Moments
    first: Moments
    """Of the first images, as many as were asked for."""
    score: tuple[float, float] | None
    """See `scores.inception_score`; None without logits or with fewer than 10."""
    rows: np.ndarray | None = None
    """float32 [n, d], where they were asked for."""

    @property
    def count(self) -> int:
        """Number of images."""
        return self.moments.count


def extract(
    extractor: Extractor,
    batches: Iterable[np.ndarray],
    count: int,
    *,
    keep: bool = False,
    first: int = 0,
    advance: Callable[[int], None] = lambda done: None,
) -> Features:
    """Features of `count` images that come in batches, uint8 [n, h, w, c].

    keep: also the features themselves; first: also the moments of so many of the first;
    advance(n) is told of every n images done. Batches smaller than the first are filled
    up, so that the network is compiled once. Raises ValueError for another count.
    """
    head = tail = Moments.none(extractor.dimension)
    score = SplitScore(count, SPLITS) if count >= SPLITS else None
    rows, seen, size = [], 0, 0
    for images in batches:
        size = max(size, len(images))
        full = np.zeros((size, *images.shape[1:]), np.uint8)
        full[: len(images)] = images
        features, logits = extractor.apply(full)
        features = np.asarray(features)[: len(images)]
        cut = min(max(first - seen, 0), len(features))
        head = head.update(features[:cut]) if cut else head
        tail = tail.update(features[cut:]) if cut < len(features) else tail
        if logits is None:
            score = None
        elif score:
            score.update(np.asarray(logits)[: len(images)])
        if keep:
            rows.append(features.astype(np.float32))
        seen += len(images)
        advance(len(images))
    if seen != count:
        raise ValueError(f"{seen} images came where {count} were due")
    return Features(
        moments=head.merge(tail),
        first=head,
        score=score.result() if score else None,
        rows=np.concatenate(rows) if keep else None,
    )


def extract_array(
    extractor: Extractor,
    images: np.ndarray | LazyImages,
    *,
    keep: bool = False,
    facts: dict | None = None,
    advance: Callable[[int], None] = lambda done: None,
    report: Callable[[str], None] = print,
) -> Features:
    """`extract` of uint8 images [n, h, w, c], kept in the cache directory.

    Under the hash of the images and the extractor's name and identity. facts: how the
    images came to be, such as the method of their resize, stored beside. Images that
    are read by slices (`readers.Images`) have an identity in the place of that hash.
    """
    batches = (images[i : i + BATCH] for i in range(0, len(images), BATCH))
    again = partial(extract, extractor, batches, len(images), keep=keep)
    if not extractor.identity:
        return again(advance=advance)
    about = f"{extractor.name} {extractor.identity} {SPLITS} {images.shape}".encode()
    digest = hashlib.sha256(about)
    if isinstance(images, LazyImages):
        digest.update(images.identity.encode())
    else:
        digest.update(np.ascontiguousarray(images))
    path = cache_directory() / f"features-{digest.hexdigest()[:24]}.npz"
    # Whatever is missing, cut off or foreign is made again.
    with contextlib.suppress(Exception), path.open("rb") as opened:
        return _read(np.load(opened, allow_pickle=False), keep)
    found = again(advance=advance)
    told = {"extractor": extractor.name, "identity": extractor.identity}
    _write(path, found, told | (facts or {}), report)
    return found


def _read(file, keep):
    moments = Moments(int(file["count"]), file["mean"], file["scatter"])
    rows = file["rows"] if keep else None
    score = tuple(file["score"].tolist()) or None
    return Features(moments, Moments.none(len(moments.mean)), score, rows)


def _write(path, found, facts, report):
    arrays = {} if found.rows is None else {"rows": found.rows}
    arrays |= dataclasses.asdict(found.moments)
    temporary = path.with_name(f"{path.stem}.{os.getpid()}.tmp.npz")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        score, facts = np.array(found.score or ()), json.dumps(facts)
        np.savez(temporary, **arrays, score=score, facts=facts)
        temporary.replace(path)
    except OSError as error:
        report(f"features are not kept for the next time: {error}")
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


# -------------------------------------------------------------------------- extractors


def inception_extractor(path: str = "", report=print) -> Extractor:
    """The network of the published FID; UserError where its weights cannot be had.

    path: of the weights; see `inception.load`.
    """
    # Imported by those who ask for it alone.
    from wgan_jax.metrics import inception

    params = inception.load(path, report)
    apply = partial(jax.jit(inception.features), params)
    image = jax.ShapeDtypeStruct((1, 32, 32, 3), np.uint8)
    dimension = jax.eval_shape(apply, image)[0].shape[1]
    return Extractor("inception", dimension, apply, _digest(params))


def classifier_extractor(
    dataset: Dataset, name: str, typed: str = "--features classifier", report=print
) -> Extractor:
    """A classifier of the data set's own labels, trained where it is not kept yet.

    name: of the data, and typed: what asks for it, both for the sentence of the
    UserError that data without labels raise. Its accuracy on the held-out labels is
    reported.
    """
    labels = dataset.train_labels
    params = classifier.load(dataset.train, labels, name, typed, report=report)
    if dataset.heldout_labels is not None and len(dataset.heldout):
        share = classifier.accuracy(
            params, dataset.heldout, dataset.heldout_labels, np.unique(labels)
        )
        report(
            f"the classifier reads {share:.2%} of {len(dataset.heldout)} held-out "
            "images right"
        )
    apply = partial(jax.jit(classifier.features), params)
    return Extractor("classifier", classifier.FEATURES, apply, _digest(params))


def _digest(params):
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(params):
        digest.update(np.ascontiguousarray(leaf))
    return digest.hexdigest()[:24]
