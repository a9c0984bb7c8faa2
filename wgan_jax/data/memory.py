"""Every sample of a reader in memory: decoded once, in threads, and cached on disk."""

import collections
import concurrent.futures
import contextlib
import dataclasses
import hashlib
import json
import math
import sys
import warnings
from collections import Counter
from collections.abc import Sequence

import numpy as np
from rich.progress import track

from wgan_jax.config import Data
from wgan_jax.data.content import digests
from wgan_jax.data.decoding import describe, pixel_facts
from wgan_jax.data.readers import Reader, Samples, UnreadableSample
from wgan_jax.data.sources import open_reader
from wgan_jax.distributed.sharding import require_memory
from wgan_jax.errors import UserError
from wgan_jax.files import cache_directory, is_caching, save_npz

# Samples that a thread reads in one call.
CHUNK = 32
# Grey levels below it in every image are reported.
DARK = 64
# Results of threads that wait until they are used.
AHEAD = 256


def load_parts(data: Data) -> tuple[Samples, Samples | None]:
    """Every sample of the training part, and of the test part where there is one."""
    reader = open_reader(data)
    test = reader.test_reader()
    return load_samples(reader), None if test is None else load_samples(test)


def load_samples(reader: Reader, hashed: bool = False) -> Samples:
    """Every readable sample of a reader, in the order of their numbers.

    hashed: the hashes of the contents instead, uint64 [n]. Prints a line for each kind
    of sample that is skipped or changed. Raises UserError where some cannot be read,
    unless data.skip_corrupt is set.
    """
    samples, unreadable = load_cached(reader, hashed)
    unknown = hashed or reader.data.noun != "images"
    brightest = 255 if unknown else samples.samples.max(initial=0)
    print_remarks(reader.remarks, samples.notes, len(samples.samples), brightest)
    if unreadable:
        named = "; ".join(unreadable[:3]) + ("; ..." if len(unreadable) > 3 else "")
        problem = f"{len(unreadable)} of {len(reader)} images cannot be read: {named}"
        if not reader.data.skip_corrupt:
            without = ", or train without them by --data.skip-corrupt"
            raise UserError(f"{problem}; remove them{without * (not hashed)}")
        print(f"{problem}; training without them")
    problem = reader.label_problem
    if samples.labels is not None and (least := samples.labels.min(initial=0)) < 0:
        problem = f"data.source={reader.data.source} has the negative label {least}"
    if problem:
        samples = dataclasses.replace(samples, labels=None, problem=problem)
    return dataclasses.replace(samples, label_names=reader.label_names)


def print_remarks(
    remarks: Sequence[str], notes: Counter, count: int, brightest
) -> None:
    """Prints lines on skipped files, and on what decoding did to `count` images.

    brightest: the highest grey level of these images.
    """
    lines = [*remarks, *describe(notes, count)]
    if 0 < brightest < DARK:
        lines.append(
            f"warning: no grey level of the {count} images is above {brightest} of "
            "255: scale their values to the whole range"
        )
    if lines:
        print(*lines, sep="\n")


def load_cached(reader: Reader, hashed: bool = False) -> tuple[Samples, list[str]]:
    """(readable samples, summaries of the others), from the cache where it has them."""
    data, identity = reader.data, reader.identity
    facts = f"{data.source} {identity}\n{data.sample_shape} {pixel_facts(data)}"
    facts += " hashed" * hashed
    name = hashlib.sha256(facts.encode(errors="surrogateescape")).hexdigest()[:24]
    path = cache_directory() / f"{name}.npz"
    if identity:
        # Entries that are missing, truncated or foreign are decoded again.
        with contextlib.suppress(Exception), path.open("rb") as opened:
            file = np.load(opened, allow_pickle=False)
            labels = file["labels"]
            notes = Counter(json.loads(str(file["notes"])))
            samples = Samples(file["images"], labels if len(labels) else None, notes)
            return samples, list(file["bad"])
    description = "reading contents" if hashed else "decoding"
    numbers = np.arange(len(reader))
    samples, errors = read_all(reader, numbers, description, hashed)
    unreadable = [error.summary for error in errors]
    if identity and is_caching() and all(error.permanent for error in errors):
        labels = np.zeros(0, np.int32) if samples.labels is None else samples.labels
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            bad = np.array(unreadable, dtype=str)
            notes = json.dumps(samples.notes)
            arrays = {"images": samples.samples, "labels": labels}
            save_npz(path, **arrays, bad=bad, notes=np.array(notes))
        except OSError as error:
            print(f"decoded images are not cached: {error}")
    return samples, unreadable


def read_all(
    reader: Reader, numbers: np.ndarray, description: str, hashed: bool = False
) -> tuple[Samples, list[UnreadableSample]]:
    """(readable samples of these numbers, an error for each unreadable one).

    description: of the progress bar. hashed: see `load_samples`. Raises UserError where
    the reader returns arrays of another shape or type than its `Data` describes.
    """
    data, count = reader.data, len(numbers)
    types = {"images": np.uint8, "lines": np.uint32, "vectors": np.float64}
    dtype = np.dtype(types[data.noun])
    if data.noun == "images" and not hashed:
        size = math.prod(data.sample_shape)
        arithmetic = f"{count:,} images x {size:,} bytes"
        require_memory(f"data.image_size={data.image_size}", count * size, arithmetic)
    shape = (count, *data.stored_shape)
    samples = np.empty(count, np.uint64) if hashed else np.empty(shape, dtype)
    labels = np.empty(count, np.int64)
    readable = np.ones(count, bool)
    notes = Counter()

    def read(places) -> tuple[list[UnreadableSample], Counter]:
        try:
            part = reader.read(numbers[places])
        except UnreadableSample as error:
            if len(places) > 1:
                parts = [read([place]) for place in places]
                errors = [error for errors, _ in parts for error in errors]
                return errors, sum((found for _, found in parts), Counter())
            readable[places] = False
            return [error], Counter()
        _check(part, (len(places), *data.stored_shape), dtype, reader)
        samples[places] = digests(part.samples) if hashed else part.samples
        if part.labels is not None:
            labels[places] = part.labels
        return [], part.notes

    chunks = [np.arange(count)[i : i + CHUNK] for i in range(0, count, CHUNK)]
    errors = []
    for unreadable, found in in_threads(read, chunks, description):
        errors += unreadable
        notes += found
    if errors:
        samples, labels = samples[readable], labels[readable]
    return Samples(samples, labels if reader.classes else None, notes), errors


def in_threads(function, items: Sequence, description: str):
    """Yields function(item) in the order of the items, computed in threads.

    At most AHEAD results wait in memory. A terminal shows a progress bar, unless there
    are few items.
    """

    def results(pool):
        waiting = collections.deque()
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) == AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()

    silent = len(items) < AHEAD or not sys.stdout.isatty()
    with warnings.catch_warnings(), concurrent.futures.ThreadPoolExecutor() as pool:
        # Pillow warns of files that it reads all the same.
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield from track(
            results(pool), description, len(items), transient=True, disable=silent
        )


def _check(part, shape, dtype, reader):
    array, source = np.asarray(part.samples), reader.data.source
    fits = array.dtype == dtype or (array.dtype.kind == dtype.kind == "f")
    if array.shape != shape or not fits:
        raise UserError(
            f"data.source={source} returned {array.dtype}{list(array.shape)} where "
            f"{dtype}{list(shape)} was expected: see data.image_size, "
            "data.channels and data.dimensions"
        )
    if reader.classes and np.shape(part.labels) != shape[:1]:
        raise UserError(
            f"data.source={source} returned labels of shape {np.shape(part.labels)} "
            f"for {shape[0]} samples"
        )
