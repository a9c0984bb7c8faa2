"""Readers: the samples of a source by number, in any process.

Free of JAX, because the worker processes of a stream import this module.
"""

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from wgan_jax.config import Data
from wgan_jax.data import decoding, shuffle
from wgan_jax.errors import UserError, printable
from wgan_jax.references import lookup, reference

NO_TEST_PART = "none"
"""Value of data.test_split that holds out training images whatever the source has."""


@dataclasses.dataclass(frozen=True)
class Samples:
    """Samples [n, ...] of a source, and their labels where it has them."""

    samples: np.ndarray
    labels: np.ndarray | None = None
    """Integers [n] as the source numbers them."""
    notes: Counter = dataclasses.field(default_factory=Counter)
    """Counts of what decoding did to the images, see `decoding.describe`."""
    problem: str = ""
    """Reason why labels of the source cannot be used."""
    label_names: Sequence[str] = ()
    """Name of each label 0, 1, ...; empty where labels have no names."""

    def rows(self, which) -> "Samples":
        """The samples at these places, in this order."""
        labels = None if self.labels is None else self.labels[which]
        return dataclasses.replace(self, samples=self.samples[which], labels=labels)

    def classes(self, known) -> np.ndarray | None:
        """Labels as places in the ascending `known`, int32 [n]; None if one is not."""
        if self.labels is None or not np.isin(self.labels, known).all():
            return None
        return np.searchsorted(known, self.labels).astype(np.int32)

    def with_classes(self, known):
        """The samples, or where `known` has labels their pair with the classes."""
        return (self.samples, self.classes(known)) if known else self.samples


class UnreadableSample(UserError):
    """A sample that cannot be read: its name, the reason and the remedy."""

    def __init__(self, name: str, reason: str, remedy: str, permanent: bool = True):
        """permanent: whether a second attempt must fail too."""
        super().__init__(name, reason, remedy, permanent)
        self.summary = f"{name} ({reason})"
        self.permanent = permanent
        self.sentence = f"{name} cannot be read ({reason}): {remedy}"

    def __str__(self):
        return self.sentence

    @classmethod
    def because(cls, error: Exception, name: str, remedy: str) -> "UnreadableSample":
        """The same for an exception, which is permanent unless the system raised it."""
        reason = " ".join(str(error).split())
        if not isinstance(error, UserError):
            reason = f"{type(error).__name__}: {reason}"
        permanent = getattr(error, "errno", None) is None
        return cls(printable(name), printable(reason), remedy, permanent)


class Reader:
    """Base class of a data source: the samples that a `Data` section describes.

    A subclass defines `__len__` and `read`. It is pickled to the workers of a stream,
    so that open files must not be part of its state.
    """

    classes: int = 0
    """Number of labels, which may be any integers; 0 means that there are none."""
    label_problem: str = ""
    """Reason why labels of the source cannot be used."""
    label_names: Sequence[str] = ()
    """Name of each label 0, 1, ...; empty where labels have no names."""
    streamable: bool = True
    """Whether single samples can be read during training."""
    required_field: str = ""
    """Field of `Data` that must not be empty for this source."""
    points: bool = False
    """Whether samples are floats [data.dimensions] instead of uint8 images."""
    remarks: Sequence[str] = ()
    """Lines for the user on samples that are not read, such as skipped files."""

    def __init__(self, data: Data):
        """Raises UserError where the source has no samples."""
        self.data = data

    @classmethod
    def can_stream(cls, data: Data) -> bool:
        """Whether single samples of these data can be read during training."""
        return cls.streamable

    def __len__(self) -> int:
        raise NotImplementedError

    def read(self, numbers: np.ndarray) -> Samples:
        """Samples of these numbers: uint8 [n, *data.sample_shape].

        Threads call it concurrently. Raises UnreadableSample for a damaged sample.
        """
        raise NotImplementedError

    def originals(self, numbers: np.ndarray) -> Sequence[Any]:
        """Samples before they are fitted: each a Path, encoded bytes, or an array.

        None where the source has no other form of a sample.
        """
        return [None] * len(numbers)

    def name(self, number: int) -> str:
        """Name of a sample for the user."""
        return f"number {number}"

    @property
    def identity(self) -> str:
        """Text that changes whenever a sample does; empty disables all caching."""
        return ""

    def test_reader(self) -> "Reader | None":
        """Reader of data.test_split; None where samples are held out of this one."""
        return None

    def reader_of(self, part: str) -> "Reader | None":
        """Reader of the part to hold out, for a class whose __init__ takes a field.

        None for an empty part, and for NO_TEST_PART.
        """
        if part in ("", NO_TEST_PART):
            return None
        of_field: Any = type(self)
        return of_field(dataclasses.replace(self.data, test_split=part), "test_split")

    def test_remarks(self, part: str) -> list[str]:
        """Line for the user on a held-out part that data.test_split does not name."""
        if self.data.test_split or not part:
            return []
        return [
            f"held-out samples are those of {part} in {self.data.dir} "
            f"(--data.test-split {NO_TEST_PART} holds out training samples instead)"
        ]


class LazyImages:
    """Some images of a reader as a sequence that is indexed like an array."""

    def __init__(self, reader: Reader, numbers: np.ndarray):
        self.reader = reader
        self.numbers = numbers

    def __len__(self):
        return len(self.numbers)

    @property
    def shape(self) -> tuple[int, ...]:
        """[n, height, width, channels]."""
        return (len(self), *self.reader.data.sample_shape)

    def __getitem__(self, places: slice | np.ndarray) -> np.ndarray:
        return self.reader.read(self.numbers[places]).samples

    @property
    def identity(self) -> str:
        """Text that changes with the images or their choice; empty as the reader's."""
        identity = self.reader.identity
        if not identity:
            return ""
        numbers = hashlib.sha256(self.numbers.tobytes()).hexdigest()
        return f"{identity}\n{numbers} {decoding.pixel_facts(self.reader.data)}"


class BatchSource:
    """Raw batches in the order of training: the random-access source of Grain.

    An element is a whole batch, because each element has a fixed cost. The images of a
    batch are a function of the batch's number alone.
    """

    def __init__(self, reader, numbers, batches, batch_size, rounds, labels, process):
        """batches: range of batch numbers.

        numbers: the reader's numbers of the training images. rounds: by epoch, see
        `batches.epoch_rounds`. labels: the label of each class, ascending; empty reads
        images alone. process: (index, count); only its rows are read.
        """
        self.reader = reader
        self.numbers = numbers
        self.batches = batches
        self.batch_size = batch_size
        self.rounds = rounds
        self.labels = labels
        self.per_epoch = len(numbers) // batch_size
        index, count = process
        self.rows = np.arange(batch_size).reshape(count, -1)[index]

    def __getstate__(self):
        # pickle cannot name the class of a user's file, a reference can.
        reader = reference(type(self.reader)), self.reader.__getstate__()
        return self.__dict__ | {"reader": reader}

    def __setstate__(self, state):
        self.__dict__.update(state)
        source, fields = state["reader"]
        self.reader = object.__new__(lookup({}, source, "data.source"))
        self.reader.__dict__.update(fields)

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, index: int):
        number = self.batches[index]
        epoch, within = divmod(number, self.per_epoch)
        position = within * self.batch_size + self.rows
        rounds = self.rounds[epoch - self.batches.start // self.per_epoch]
        which = shuffle.shuffled_index(position, len(self.numbers), *rounds)
        part = self.reader.read(self.numbers[which])
        return part.with_classes(self.labels)
