"""Parquet files with a column of encoded images; the only file that imports pyarrow.

The column has the bytes of image files, or as in the data sets of Hugging Face structs
of such bytes and a path. Labels are whole numbers or text.
"""

import itertools
import json
import re
import threading
from collections import Counter, OrderedDict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from wgan_jax.config import Data
from wgan_jax.data.decoding import decode, stack
from wgan_jax.data.image_files import find_files, stamps
from wgan_jax.data.readers import Reader, Samples, UnreadableSample
from wgan_jax.data.sources.arrays import whole_labels
from wgan_jax.errors import UserError

SUFFIXES = (".parquet", ".pq")
# As in train-00000-of-00002.parquet, or the folder train of 0000.parquet.
PART = re.compile(r"(?:.*[-_.])?(train|validation|valid|val|test)(?:[-_.].*)?")
# The first that exists is held out while another part is trained on.
TEST_PARTS = ("validation", "valid", "val", "test")
# Columns of labels in files that do not describe their columns.
LABELS = ("label", "labels", "class", "category", "target")
# Rows whose bytes stay in memory: more than all threads read at once.
ROWS = 2048


class Group(NamedTuple):
    """Rows that are read as a whole."""

    path: Path
    number: int


class ParquetImages(Reader):
    """Images of a part of the Parquet files in data.dir, or of one file.

    Held in memory, because single rows cannot be read.
    """

    required_field = "dir"
    streamable = False

    def __init__(self, data: Data, field: str = "split"):
        """field: of `Data`, `split` or `test_split`; it names the part.

        Raises UserError where files or columns are missing or ambiguous.
        """
        super().__init__(data)
        parts = parquet_files(Path(data.dir))
        self.paths, self.test_part = _of_part(data, parts, field)
        schemas = {path: _schema(path) for path in self.paths}
        first = schemas[self.paths[0]]
        self.column = _image_column(data, first)
        for path, schema in schemas.items():
            if self.column not in schema.names or not _has_images(schema, self.column):
                raise UserError(
                    f"{path} has no images in the column {self.column!r} that "
                    f"{self.paths[0]} has: take it out of data.dir, or write it again"
                )
        self.labels: np.ndarray | None = None
        label, self.label_problem = _label_column(data, first)
        if label:
            self._read_labels(label, first, [p for ps in parts.values() for p in ps])
        self.groups, counts = [], []
        for path in self.paths:
            metadata = library().read_metadata(path)
            for number in range(metadata.num_row_groups):
                self.groups.append(Group(path, number))
                counts.append(metadata.row_group(number).num_rows)
        self.starts = np.cumsum([0, *counts])
        self.lock, self.cache = threading.Lock(), OrderedDict()
        if field == "split":
            self.remarks = self.test_remarks(self.test_part)

    def __len__(self):
        return int(self.starts[-1])

    @property
    def identity(self) -> str:
        """The columns and a hash of the names, sizes and times of the files."""
        root = Path(self.data.dir)
        files = stamps(root.parent if root.is_file() else root, self.paths)
        return f"{files} {self.column} {self.data.label_array}"

    def originals(self, numbers: np.ndarray) -> list[bytes]:
        """Encoded images of these numbers; empty where the row has none."""
        return [self._original(int(number)) for number in numbers]

    def _original(self, number):
        group, row = self._place(number)
        return self._encoded(group)[row] or b""

    def read(self, numbers: np.ndarray) -> Samples:
        """Images of these numbers, and their labels."""
        notes = Counter()
        images = [self._one(int(number), notes) for number in numbers]
        labels = None if self.labels is None else self.labels[numbers]
        return Samples(stack(images, self.data), labels, notes)

    def test_reader(self) -> Reader | None:
        """Reader of the part data.test_split, or of a test part in the same folder."""
        return self.reader_of(self.test_part)

    def _read_labels(self, column, schema, every_path):
        """Labels of the part; text is numbered in the order of all parts' texts."""
        arrow, parquet = _arrow(), library()
        name = f"column {column!r} of data.dir={self.data.dir}"

        def values(paths) -> Any:
            tables = [parquet.read_table(path, columns=[column]) for path in paths]
            return arrow.concat_tables(tables)[column].combine_chunks()

        try:
            array = values(self.paths)
            if array.null_count:
                self.label_problem = f"{name} has {array.null_count} rows without one"
                return
            if _is_text(arrow, schema.field(column).type):
                known = values(every_path).cast(arrow.string()).drop_null().unique()
                self.label_names = tuple(sorted(known.to_pylist()))
                texts = array.cast(arrow.string()).to_pylist()
                place = {text: i for i, text in enumerate(self.label_names)}
                self.labels = np.array([place[text] for text in texts], np.int64)
            else:
                numbers = array.to_numpy(zero_copy_only=False)
                self.labels, self.label_problem = whole_labels(
                    numbers, len(numbers), name
                )
                self.label_names = _class_names(schema, column)
        except (arrow.ArrowException, OSError, KeyError) as error:
            self.label_problem = f"{name} cannot be read ({_line(error)})"
        self.classes = 0 if self.labels is None else len(np.unique(self.labels))

    def name(self, number: int) -> str:
        """Row of an image in its file, counted from 0."""
        path, row = self._row(number)
        return f"row {row} of {path.name}"

    def _one(self, number, notes):
        try:
            encoded = self._original(number)
            if not encoded:
                raise UserError("it has no bytes of an image")
            return decode(encoded, self.data, notes)
        except Exception as error:
            path, row = self._row(number)
            raise UnreadableSample.because(
                error, f"row {row} of {path}", "write the file again"
            ) from error

    def _row(self, number):
        """(file, row in it) of an image."""
        path = self._place(number)[0].path
        first = next(i for i, group in enumerate(self.groups) if group.path == path)
        return path, number - int(self.starts[first])

    def _place(self, number):
        """(group, row in it) of an image."""
        group = int(np.searchsorted(self.starts, number, side="right")) - 1
        return self.groups[group], number - int(self.starts[group])

    def _encoded(self, group) -> list[bytes | None]:
        """Encoded images of a group, which threads read one after another."""
        with self.lock:
            if group not in self.cache:
                self.cache[group] = _read_group(group, self.column)
                rows = sum(map(len, self.cache.values()))
                while rows - len(next(iter(self.cache.values()))) >= ROWS:
                    rows -= len(self.cache.popitem(last=False)[1])
            return self.cache[group]


def library():
    """pyarrow's module for Parquet. Raises UserError where it is missing."""
    try:
        import pyarrow.parquet as module
    except ImportError as error:
        raise UserError(
            "data.source=parquet needs pyarrow: pip install 'wgan-jax[parquet]'"
        ) from error
    return module


def _arrow():
    import pyarrow

    return pyarrow


def _line(error):
    return " ".join(str(error).split())


def parquet_files(path: Path) -> dict[str, list[Path]]:
    """The Parquet files at a path by the part that their names show, or "".

    Raises UserError where there are none.
    """
    if path.is_file():
        return {"": [path]}
    if not path.is_dir():
        raise UserError(f"data.dir={path} is neither a Parquet file nor a folder")
    files, _ = find_files(path, lambda p: p.suffix.lower() in SUFFIXES)
    if not files:
        raise UserError(f"data.dir={path} has no files called *.parquet")
    parts: dict[str, list[Path]] = {}
    for file in files:
        folder = "" if file.parent == path else file.parent.name
        match = PART.fullmatch(file.stem) or PART.fullmatch(folder)
        parts.setdefault(match[1] if match else "", []).append(file)
    return parts


def _of_part(data, parts, field):
    """(files of the part that a field names, name of the part to hold out)."""
    if set(parts) == {""}:
        return parts[""], data.test_split
    part = getattr(data, field)
    if part not in parts:
        known = ", ".join(sorted(filter(None, parts)))
        raise UserError(
            f"data.{field}={part} is not a part of the Parquet files in data.dir="
            f"{data.dir}, which has {known}: name one of them with "
            f"--data.{field.replace('_', '-')}"
        )
    others = [name for name in TEST_PARTS if name in parts and name != part]
    return parts[part], data.test_split or (others[0] if others else "")


def _schema(path) -> Any:
    try:
        return library().read_schema(path)
    except (_arrow().ArrowException, OSError) as error:
        raise UserError(
            f"{path} is not a readable Parquet file ({_line(error)}): write it "
            "again, or take it out of data.dir"
        ) from error


def _features(schema) -> dict[str, dict]:
    """The description of each column that the library `datasets` writes."""
    try:
        text = (schema.metadata or {})[b"huggingface"]
        features = json.loads(text)["info"]["features"]
        return {k: v for k, v in features.items() if isinstance(v, dict)}
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}


def _class_names(schema, column) -> tuple[str, ...]:
    names = _features(schema).get(column, {}).get("names")
    return tuple(map(str, names)) if isinstance(names, list) else ()


def _has_images(schema, column):
    types, kind = _arrow().types, schema.field(column).type
    if types.is_struct(kind):
        places = [i for i in range(kind.num_fields) if kind.field(i).name == "bytes"]
        kind = kind.field(places[0]).type if places else kind
    return types.is_binary(kind) or types.is_large_binary(kind)


def _is_text(arrow, kind):
    if arrow.types.is_dictionary(kind):
        kind = kind.value_type
    return arrow.types.is_string(kind) or arrow.types.is_large_string(kind)


def _image_column(data, schema):
    columns = [name for name in schema.names if _has_images(schema, name)]
    where = f"data.dir={data.dir}"
    if data.array:
        if data.array in columns:
            return data.array
        raise UserError(
            f"data.array={data.array!r} is not a column of images in {where}, which "
            f"has {_described(schema)}: name one of bytes, or of structs with bytes"
        )
    declared = [n for n, f in _features(schema).items() if f.get("_type") == "Image"]
    columns = [name for name in columns if name in declared] or columns
    if len(columns) == 1:
        return columns[0]
    if columns:
        raise UserError(
            f"{where} has several columns of images, {', '.join(columns)}: name one of "
            "them with --data.array"
        )
    raise UserError(
        f"{where} has no column of images, but {_described(schema)}: images must be "
        "the bytes of image files, or structs with bytes"
    )


def _described(schema):
    return ", ".join(f"{field.name} ({field.type})" for field in schema) or "no columns"


def _label_column(data, schema):
    """(name of the column of labels or empty, reason why there is none)."""
    if data.label_array:
        if data.label_array in schema.names:
            return data.label_array, ""
        raise UserError(
            f"data.label_array={data.label_array!r} is not a column of data.dir="
            f"{data.dir}, which has {_described(schema)}: name one of them"
        )
    features = _features(schema)
    declared = [n for n, f in features.items() if f.get("_type") == "ClassLabel"]
    columns = declared or [name for name in LABELS if name in schema.names]
    if len(columns) < 2 or "label" in columns:
        return "label" if "label" in columns else "".join(columns), ""
    return "", (
        f"data.dir={data.dir} has several columns of labels, {', '.join(columns)}: "
        "name one of them with --data.label-array"
    )


def _read_group(group, column) -> list[bytes | None]:
    """The bytes of each image of a group; None where there are none."""
    with library().ParquetFile(group.path) as file:
        table = file.read_row_group(group.number, columns=[column])
    rows = itertools.chain.from_iterable(c.to_pylist() for c in table[column].chunks)
    return [row["bytes"] if isinstance(row, dict) else row for row in rows]
