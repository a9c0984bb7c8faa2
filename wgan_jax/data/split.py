"""Division of samples into a training and a held-out part, by their content."""

import dataclasses
import hashlib

import numpy as np

from wgan_jax.config import Data
from wgan_jax.data.readers import Samples
from wgan_jax.data.record import DataRecord
from wgan_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Split:
    """Rows of both parts, and their labels as classes 0 to k - 1."""

    train: np.ndarray | slice
    """Rows of the training part."""
    heldout: np.ndarray
    """Rows of the test part, or without one of the training part."""
    train_labels: np.ndarray | None
    """int32 [n], where all labels are known."""
    heldout_labels: np.ndarray | None
    """int32 [n], where all labels are known."""
    record: DataRecord
    problem: str
    """Reason why labels cannot be used; empty where they can."""


def split(
    data: Data, train: Samples, test: Samples | None, labels: tuple[int, ...] = ()
) -> Split:
    """The division of samples, which are given as the hashes of their contents.

    test: the part to hold out of; None holds out of `train`. labels: of the classes;
    empty takes those of `train`, ascending. Raises UserError where fewer than a batch
    are left to train on, or where copies leave nothing to hold out.
    """
    pool = test or train
    rows = _rows(data, train.samples, test and test.samples)
    parts = train.rows(rows[0]), pool.rows(rows[1])
    problem, shares, known = train.problem, (), None
    if train.labels is not None:
        labels = labels or tuple(np.unique(train.labels).tolist())
        problem = _unknown(data, train, labels) or _unknown(data, pool, labels)
    classes, heldout_classes = (part.classes(labels) for part in parts)
    if classes is not None:
        counts = np.bincount(classes, minlength=len(labels))
        shares = tuple((counts / counts.sum()).tolist())
        if heldout_classes is not None:
            known = np.concatenate([classes, heldout_classes])
    keys = np.concatenate([part.samples for part in (train, test) if part])
    record = DataRecord(
        fingerprint=_fingerprint(parts),
        train=len(parts[0].samples),
        heldout=len(parts[1].samples),
        duplicates=len(keys) - len(np.unique(keys)),
        labels=labels if shares else (),
        label_names=_names(train.label_names, labels) if shares else (),
        label_shares=shares,
        contents=np.concatenate([part.samples for part in parts]),
        classes=known,
    )
    return Split(*rows, classes, heldout_classes, record, problem)


def _names(known, labels):
    """Name of each label; none where a label has no name."""
    if max(labels) >= len(known):
        return ()
    return tuple(known[label] for label in labels)


def _rows(data, keys, test_keys):
    """Rows to train on and rows held out.

    Copies within one part are on one side, but not of a line of text. A sample of the
    test part that is in the training part is not held out.
    """
    # A fixed seed: runs with different seeds hold out the same samples.
    rng = np.random.default_rng(0)
    if test_keys is None:
        shuffled = rng.permutation(len(keys))
        # A line that recurs belongs to the distribution of a text.
        distinct = np.arange(len(keys)) if data.is_text else keys
        chosen = _choose(distinct[shuffled], data.heldout)
        train, heldout = shuffled[~chosen], shuffled[chosen]
        count, pool = len(train), len(keys)
        reason = "all copies of a sample are held out or none, and each has some"
    else:
        order = rng.permutation(len(test_keys))
        heldout = order[~np.isin(test_keys[order], keys)][: data.heldout]
        train, count, pool = slice(None), len(keys), len(test_keys)
        reason = f"training has each sample of {_test_part(data)}"
    if count < data.batch_size:
        raise UserError(
            f"data.batch_size={data.batch_size} is larger than the {count} {data.noun} "
            f"left to train on besides data.heldout={data.heldout}: lower one of them"
        )
    if data.heldout and pool and not len(heldout):
        raise UserError(
            f"data.heldout={data.heldout} holds nothing out: {reason}; remove the "
            "copies, or take data.heldout=0"
        )
    return train, heldout


def _choose(keys, count):
    """Whether each sample is held out: the last `count`, copies moved together."""
    if len(np.unique(keys)) == len(keys):
        return np.arange(len(keys)) >= len(keys) - count
    _, groups, sizes = np.unique(keys, return_inverse=True, return_counts=True)
    sizes, seen, chosen = sizes.tolist(), set(), np.zeros(len(sizes), bool)
    for group in groups[::-1].tolist():
        # A group that is larger than the places left is trained on.
        if group not in seen and sizes[group] <= count:
            chosen[group] = True
            count -= sizes[group]
        seen.add(group)
    return chosen[groups]


def _unknown(data, part, labels):
    """Sentence on a label of a part that is not one of `labels`, or empty."""
    unknown = np.setdiff1d([] if part.labels is None else part.labels, labels)
    if not len(unknown):
        return ""
    return (
        f"{_test_part(data)} has the label {unknown[0]:.0f}, which training does not "
        "have"
    )


def _test_part(data):
    if data.test_split:
        return f"data.test_split={data.test_split}"
    return f"the test part of data.source={data.source}"


def _fingerprint(parts):
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(f"{len(part.samples)} {part.labels is not None}".encode())
        digest.update(part.samples.tobytes())
        if part.labels is not None:
            digest.update(part.labels.astype(np.int64).tobytes())
    return digest.hexdigest()
