"""Features of images: extractors, and one pass over images in constant memory."""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from functools import partial

import jax
import numpy as np

from wgan_jax.config import Config
from wgan_jax.data.content import content_order, digests
from wgan_jax.data.dataset import Dataset
from wgan_jax.data.readers import LazyImages
from wgan_jax.errors import UserError
from wgan_jax.files import cached_npz
from wgan_jax.metrics import classifier, patches
from wgan_jax.metrics.frechet import Moments
from wgan_jax.metrics.inception_score import SPLITS, SplitScore
from wgan_jax.metrics.metric import Metric, Number

# Images in one call of a network, and images that share statistics under --batch-stats,
# as the papers' code samples.
BATCH = 100
# Part of the cache key: increment it with any change of the order or of the splits.
ORDER = 1


@dataclasses.dataclass(frozen=True)
class Extractor:
    """A feature function and the names of the metrics computed with it.

    Only Inception's features give metrics their published names.
    """

    name: str
    """inception, classifier, patches, or any other name."""
    dimension: int
    apply: Callable
    """apply(images uint8 [n, h, w, c]) -> (features [n, dimension], logits [n, k] or
    None)."""
    identity: str = ""
    """Hash of the weights; empty disables the cache of features."""

    def metric_key(self, number: Number) -> str:
        """The key of a metric's number in JSON."""
        if self.name == "inception":
            return number.published_key or number.key
        return f"{self.name}_{number.key}"

    def metric_label(self, number: Number) -> str:
        """The label of a metric's number in tables."""
        if self.name == "inception":
            return number.published_label or number.label
        return f"{self.name} {number.label}"

    def metric_labels(self, metrics: Mapping[str, Metric]) -> dict[str, str]:
        """{key: label} of all numbers of the metrics."""
        numbers = (n for metric in metrics.values() for n in metric.numbers)
        return {self.metric_key(n): self.metric_label(n) for n in numbers}


@dataclasses.dataclass(frozen=True)
class Features:
    """Statistics of the features of a set of images."""

    moments: Moments
    first: Moments
    """Of the first images only; see `extract`."""
    score: tuple[float, float] | None
    """See `SplitScore`; None without logits or for fewer than 10 images."""
    rows: np.ndarray | None = None
    """The features themselves, float32 [n, d]; see `extract`."""

    @property
    def count(self) -> int:
        """Number of images."""
        return self.moments.count


def extract(
    extractor: Extractor,
    batches: Iterable[np.ndarray],
    count: int,
    *,
    keep_rows: bool = False,
    first: int = 0,
    advance: Callable[[int], None] = lambda done: None,
) -> Features:
    """Features of `count` images that arrive in batches, uint8 [n, h, w, c].

    keep_rows: also return the features themselves. first: also compute the moments of
    that many images from the first on. advance(n) is called after every n images.
    Batches smaller than the first are padded, so that the network is compiled once.
    Raises ValueError for any other number of images, and UserError where features or
    logits are not finite.
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
        logits = None if logits is None else np.asarray(logits)[: len(images)]
        if not all(np.isfinite(v).all() for v in (features, logits) if v is not None):
            raise UserError(
                f"features or logits of {extractor.name} are not all finite: its "
                "weights do not suit these images"
            )
        cut = min(max(first - seen, 0), len(features))
        head = head.update(features[:cut]) if cut else head
        tail = tail.update(features[cut:]) if cut < len(features) else tail
        if logits is None:
            score = None
        elif score:
            score.update(logits)
        if keep_rows:
            rows.append(features.astype(np.float32))
        seen += len(images)
        advance(len(images))
    if seen != count:
        raise ValueError(f"{seen} images were given, expected {count}")
    return Features(
        moments=head.merge(tail),
        first=head,
        score=score.result() if score else None,
        rows=np.concatenate(rows) if keep_rows else None,
    )


def extract_array(
    extractor: Extractor,
    images: np.ndarray | LazyImages,
    *,
    keep_rows: bool = False,
    facts: dict | None = None,
    advance: Callable[[int], None] = lambda done: None,
    report: Callable[[str], None] = print,
) -> Features:
    """`extract` of uint8 images [n, h, w, c], cached in the cache directory.

    The images are taken in `content_order`, so that neither the features nor the cache
    key depend on the order of the images. The key is a hash of the images and of the
    extractor's name and identity; `LazyImages` are hashed by their own identity. facts:
    stored with the features, such as the resize method of the images.
    """

    def compute():
        order = content_order(images)
        batches = (images[order[i : i + BATCH]] for i in range(0, len(order), BATCH))
        features = extract(
            extractor, batches, len(images), keep_rows=keep_rows, advance=advance
        )
        arrays = {} if features.rows is None else {"rows": features.rows}
        about = {"extractor": extractor.name, "identity": extractor.identity}
        return arrays | {
            **dataclasses.asdict(features.moments),
            "score": np.array(features.score or ()),
            "facts": json.dumps(about | (facts or {})),
        }

    lazy = isinstance(images, LazyImages)
    identity = images.identity.encode() if lazy else np.sort(digests(images)).tobytes()
    if extractor.identity and identity:
        about = f"{ORDER} {extractor.name} {extractor.identity} {images.shape}".encode()
        name = f"features-{hashlib.sha256(about + identity).hexdigest()[:24]}.npz"
        keys = ["count", "mean", "scatter", "score", *(["rows"] if keep_rows else [])]
        arrays = cached_npz(name, keys, compute, report)
    else:
        arrays = compute()
    moments = Moments(int(arrays["count"]), arrays["mean"], arrays["scatter"])
    score = tuple(arrays["score"].tolist()) or None
    none = Moments.none(extractor.dimension)
    return Features(moments, none, score, arrays["rows"] if keep_rows else None)


# -------------------------------------------------------------------------- extractors


def inception_extractor(path: str = "", report=print) -> Extractor:
    """The network of the published FID. path: of its weights, see `inception.load`.

    Raises UserError where the weights are not available.
    """
    # Imported on demand: most uses need no Inception.
    from wgan_jax.metrics import inception

    params = inception.load(path, report)
    apply = partial(jax.jit(inception.features), params)
    image = jax.ShapeDtypeStruct((1, 32, 32, 3), np.uint8)
    dimension = jax.eval_shape(apply, image)[0].shape[1]
    return Extractor("inception", dimension, apply, _digest(params))


def classifier_extractor(
    dataset: Dataset, name: str, option: str = "--features classifier", report=print
) -> Extractor:
    """A classifier trained on the data set's own labels, or read from the cache.

    name: of the data; option: the field or option that requests the classifier. Both
    appear in the UserError for data without labels. Its accuracy on the held-out labels
    is reported.
    """
    labels, heldout_labels = dataset.train_labels, dataset.heldout_labels
    params = classifier.load(dataset.train, labels, name, option, report=report)
    if labels is not None and heldout_labels is not None and len(heldout_labels):
        classes = np.unique(labels)
        accuracy = classifier.accuracy(params, dataset.heldout, heldout_labels, classes)
        report(
            f"the classifier's accuracy on {len(dataset.heldout)} held-out images is "
            f"{accuracy:.2%}"
        )
    apply = partial(jax.jit(classifier.features), params)
    return Extractor("classifier", classifier.FEATURES, apply, _digest(params))


def patches_extractor(
    dataset: Dataset, name: str, option: str = "--features patches", report=print
) -> Extractor:
    """Patches of the data set's own training images, which need no labels.

    name, option: as in `classifier_extractor`.
    """
    params = patches.load(dataset.train, name, option, report=report)
    apply = partial(jax.jit(patches.features), params)
    return Extractor("patches", patches.dimension(params), apply, _digest(params))


def make_extractor(
    config: Config, dataset: Dataset, features: str, option: str
) -> Extractor:
    """The extractor called `features`, one of EXTRACTORS, for a run's data.

    option: the field or option that names it, for error messages.
    """
    if features not in EXTRACTORS:
        raise UserError(f"{option} must be one of {', '.join(EXTRACTORS)}")
    name = config.data.name or config.data.dir or f"data.source={config.data.source}"
    return EXTRACTORS[features](dataset, name, option)


def _inception(dataset, name, option):
    return inception_extractor()


EXTRACTORS = {
    "inception": _inception,
    "classifier": classifier_extractor,
    "patches": patches_extractor,
}


def _digest(params):
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(params):
        digest.update(np.ascontiguousarray(leaf).data)
    return digest.hexdigest()[:24]
