"""Record of the data of a run: what a later command needs without the data itself."""

import dataclasses

import numpy as np

Scales = tuple[tuple[float, ...], tuple[float, ...]] | tuple[()]
"""Mean and standard deviation of each column of vectors; empty without them."""


@dataclasses.dataclass(frozen=True)
class DataRecord:
    """Counts, fingerprint, labels and scales of the samples of a run: data.json."""

    fingerprint: str = ""
    """Hash of all samples and labels and of their split; empty for a toy."""
    train: int = 0
    """Samples to train on."""
    heldout: int = 0
    """Samples held out."""
    duplicates: int = 0
    """Samples that repeat the content of another one."""
    labels: tuple[int, ...] = ()
    """Label in the source of each class 0 to k - 1; empty without labels."""
    label_names: tuple[str, ...] = ()
    """Name of each of `labels`; empty where they have no names."""
    label_shares: tuple[float, ...] = ()
    """Share of the training samples of each class, with sum 1."""
    mean: tuple[float, ...] = ()
    """Mean of each column that standardisation subtracts; empty without it."""
    std: tuple[float, ...] = ()
    """Standard deviation of each column that standardisation divides by."""
    vocabulary: str = ""
    """The characters of the text by their numbers in the networks; see `data.text`."""
    accepted: tuple[dict, ...] = ()
    """Changes of the data that --accept-changed-data accepted: step and change."""
    contents: np.ndarray | None = dataclasses.field(
        default=None, compare=False, repr=False
    )
    """Hash of each training sample, then of each held-out one: data.npz."""
    classes: np.ndarray | None = dataclasses.field(
        default=None, compare=False, repr=False
    )
    """Class of each of `contents`, where all are known."""

    @property
    def scales(self) -> Scales:
        """Scales of the columns."""
        return (self.mean, self.std) if self.mean else ()

    def label_called(self, text: str) -> int | None:
        """The label of a name, or of a number; None where the data have none such."""
        if text in self.label_names:
            return self.labels[self.label_names.index(text)]
        numbers = {str(label): label for label in self.labels}
        return numbers.get(text)


NO_DATA = DataRecord()


def standardise(samples: np.ndarray, scales: Scales) -> np.ndarray:
    """Vectors [n, d] in the source's units as those that networks see."""
    if not scales:
        return samples
    return ((samples - np.array(scales[0])) / np.array(scales[1])).astype(np.float32)


def undo_standardise(samples: np.ndarray, scales: Scales) -> np.ndarray:
    """The inverse of `standardise`; float64 [n, d] where there are scales."""
    if not scales:
        return samples
    return samples * np.array(scales[1]) + np.array(scales[0])


def describe_change(old: DataRecord, new: DataRecord, noun: str) -> str:
    """Difference of two records with `contents` of different fingerprints, in words."""
    counts = (
        f"({old.train} to train on and {old.heldout} held out then, {new.train} and "
        f"{new.heldout} now)"
    )
    if old.contents is None or new.contents is None:
        return f"its fingerprint differs {counts}"
    both = np.concatenate([old.contents, new.contents])
    values, place = np.unique(both, return_inverse=True)
    cut, size = len(old.contents), len(values)
    surplus = np.bincount(place[cut:], minlength=size)
    surplus -= np.bincount(place[:cut], minlength=size)
    more, fewer = surplus[surplus > 0].sum(), -surplus[surplus < 0].sum()

    def of(count, word):
        return f"{count} {noun if count > 1 else noun[:-1]} {word}"

    if more and more == fewer:
        return f"{of(more, 'changed')} {counts}"
    words = [of(more, "more")] * bool(more) + [of(fewer, "fewer")] * bool(fewer)
    if words:
        return f"{' and '.join(words)} {counts}"
    other = np.setdiff1d(new.contents[new.train :], old.contents[old.train :])
    if len(other):
        return f"{len(other)} {noun} held out now were not before {counts}"
    if not np.array_equal(old.contents, new.contents):
        return f"the {noun} have another order {counts}"
    if old.classes is None or new.classes is None:
        return "the labels differ"
    changed = np.array(old.labels)[old.classes] != np.array(new.labels)[new.classes]
    return of(changed.sum(), "with another label")
