"""Files of each source: the same pixels and labels as an independent reader finds."""

import dataclasses
import gzip
import io
import json
import os
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wgan_jax.config import Config, Data, Model, switch_source
from wgan_jax.data.dataset import load, load_in_memory
from wgan_jax.data.image_sets import load_pair
from wgan_jax.data.memory import load_parts
from wgan_jax.data.sources import check_stream, detect, open_reader
from wgan_jax.data.stream import read_batches
from wgan_jax.errors import UserError
from wgan_jax.runs import directory

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (12, 8, 8), np.uint8)
COLOUR = RNG.integers(0, 256, (12, 32, 32, 3), np.uint8)
LABELS = np.arange(12) % 3


@pytest.fixture(autouse=True)
def cached(tmp_path, monkeypatch):
    """The folder of decoded images, away from that of the user."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def complaint(function, *arguments):
    with pytest.raises(UserError) as error:
        function(*arguments)
    return str(error.value)


def parts(source, path, **fields):
    """Samples of the training part and of the part to hold out."""
    fields = {"image_size": 8, "batch_size": 2, "heldout": 4} | fields
    return load_parts(Data(source=source, dir=str(path), **fields))


def refused(source, path, **fields):
    return complaint(lambda: parts(source, path, **fields))


def assert_part(part, images, labels):
    images = images if images.ndim == 4 else images[..., None]
    np.testing.assert_array_equal(part.samples, images)
    assert (part.labels is None) == (labels is None)
    if labels is not None:
        np.testing.assert_array_equal(part.labels, labels)


# --------------------------------------------------------------------------------- idx


def idx_bytes(array):
    code = {"uint8": 8, "int8": 9, "int16": 11, "int32": 12, "float32": 13}
    code |= {"float64": 14}
    head = struct.pack(">BBBB", 0, 0, code[array.dtype.name], array.ndim)
    return head + struct.pack(f">{array.ndim}I", *array.shape) + big(array)


def big(array):
    return array.astype(array.dtype.newbyteorder(">")).tobytes()


def write_idx(folder, prefix="", packed=True, **arrays):
    folder.mkdir(exist_ok=True)
    for name, array in arrays.items():
        part, kind = name.split("_")
        content = idx_bytes(np.asarray(array))
        path = folder / f"{prefix}{part}-{kind}-idx{np.ndim(array)}-ubyte"
        if packed:
            path, content = path.with_name(f"{path.name}.gz"), gzip.compress(content)
        path.write_bytes(content)
    return folder


def mnist_like(folder, **changes):
    labels = LABELS.astype(np.uint8)
    return write_idx(
        folder,
        train_images=GREY[:8],
        train_labels=labels[:8],
        t10k_images=GREY[8:],
        t10k_labels=labels[8:],
        **changes,
    )


@pytest.mark.parametrize("packed", [True, False])
def test_idx_files_give_both_parts_with_labels(tmp_path, packed, capsys):
    folder = mnist_like(tmp_path / "mnist", packed=packed)
    train, test = parts("idx", folder)
    assert_part(train, GREY[:8], LABELS[:8])
    assert_part(test, GREY[8:], LABELS[8:])
    assert "held-out samples are those of t10k in" in capsys.readouterr().out
    assert parts("idx", folder, test_split="none")[1] is None
    assert_part(parts("idx", folder, split="t10k")[0], GREY[8:], LABELS[8:])


def test_the_held_out_part_of_idx_files_is_the_test_part(tmp_path):
    fields = {"image_size": 8, "batch_size": 2, "heldout": 3}
    folder = mnist_like(tmp_path / "mnist")
    dataset = load_in_memory(Data(source="idx", dir=str(folder), **fields))
    assert len(dataset.train) == 8
    assert {i.tobytes() for i in dataset.heldout} < {i.tobytes() for i in GREY[8:]}


def test_one_idx_file_has_the_labels_next_to_it(tmp_path):
    folder = mnist_like(tmp_path / "mnist")
    train, test = parts("idx", folder / "t10k-images-idx3-ubyte.gz")
    assert_part(train, GREY[8:], LABELS[8:])
    assert test is None
    alone = tmp_path / "some.idx"
    alone.write_bytes(idx_bytes(GREY))
    assert_part(parts("idx", alone)[0], GREY, None)


def test_the_name_chooses_among_several_idx_sets(tmp_path):
    folder = write_idx(tmp_path / "emnist", "emnist-letters-", train_images=GREY)
    write_idx(folder, "emnist-digits-", train_images=GREY[::-1])
    assert_part(parts("idx", folder, name="emnist-digits")[0], GREY[::-1], None)
    assert refused("idx", folder) == (
        f"data.name='' is not the beginning of the IDX files in data.dir={folder}, "
        "which has emnist-digits, emnist-letters: name one of them with --data.name"
    )


def test_idx_floats_are_grey_levels_and_other_types_are_refused(tmp_path):
    path = tmp_path / "x.idx"
    for dtype in ("float32", "float64"):
        path.write_bytes(idx_bytes((GREY / 255).astype(dtype)))
        assert_part(parts("idx", path)[0], GREY, None)
    for dtype in ("int8", "int16", "int32"):
        path.write_bytes(idx_bytes((GREY // 2).astype(dtype)))
        assert f"is {dtype}[12, 8, 8]: it must be" in refused("idx", path)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda b: b[:-1], "12, 8, 8] values, 768 bytes, and it has 767"),
        (lambda b: b + b"\0", "768 bytes, and it has more"),
        (lambda b: b"\1" + b[1:], "it begins with the bytes 01 00 08 03"),
        (lambda b: b[:2] + b"\x0a" + b[3:], "it begins with the bytes 00 00 0a 03"),
        (lambda b: b[:10], "it ends within its header"),
        (lambda b: b"", "it begins with the bytes of no content"),
        (lambda b: b[:4] + b"\xff" * 12 + b[16:], "and it has 768"),
        (lambda b: gzip.compress(b)[:-20], "end-of-stream"),
        (lambda b: gzip.compress(b)[:-8] + b"\0" * 8, "CRC"),
    ],
)
def test_a_damaged_idx_file_is_one_sentence(tmp_path, change, expected):
    path = tmp_path / "x.idx"
    path.write_bytes(change(idx_bytes(GREY)))
    message = refused("idx", path)
    assert message.startswith(f"{path} is not a readable IDX file (")
    assert expected in message
    assert message.endswith("): download it again")


def test_idx_labels_of_another_count_are_not_used(tmp_path):
    folder = write_idx(
        tmp_path / "x", train_images=GREY, train_labels=LABELS[:5].astype(np.uint8)
    )
    train, _ = parts("idx", folder)
    assert train.labels is None
    assert train.problem.endswith(
        "uint8[5], not one whole number for each of the 12 images"
    )


def test_a_folder_without_idx_files_says_how_they_are_named(tmp_path):
    assert "train-images-idx3-ubyte" in refused("idx", tmp_path)
    write_idx(tmp_path, test_images=GREY)
    assert refused("idx", tmp_path).startswith("data.split=train is not a part of")


@pytest.mark.data
@pytest.mark.slow
def test_mnist_is_that_of_struct():
    folder = Path(os.environ["WGAN_JAX_DATA"]) / "mnist"
    assert detect(folder) == "idx"
    for part, split, count in zip(
        parts("idx", folder, image_size=28), ("train", "t10k"), (60000, 10000)
    ):
        packed = (folder / f"{split}-images-idx3-ubyte.gz").read_bytes()
        content = gzip.decompress(packed)
        assert struct.unpack(">IIII", content[:16]) == (2051, count, 28, 28)
        assert part.samples.tobytes() == content[16:]
        packed = (folder / f"{split}-labels-idx1-ubyte.gz").read_bytes()
        assert part.labels.tolist() == list(gzip.decompress(packed)[8:])


# ------------------------------------------------------------------------------- cifar


def cifar_record(classes, image, label):
    fine = [label] if classes == 10 else [label // 2, label]
    return bytes(fine) + image.transpose(2, 0, 1).tobytes()


def write_cifar(folder, classes=10, names=True):
    folder.mkdir(exist_ok=True)
    records = [cifar_record(classes, i, int(n)) for i, n in zip(COLOUR, LABELS)]
    if classes == 10:
        for number in range(5):
            content = b"".join(records[2 * number : 2 * number + 2])
            (folder / f"data_batch_{number + 1}.bin").write_bytes(content)
        (folder / "test_batch.bin").write_bytes(b"".join(records[10:]))
        text = "\n".join(f"name{i}" for i in range(10)) + "\n\n"
        (folder / "batches.meta.txt").write_text(text)
    else:
        (folder / "train.bin").write_bytes(b"".join(records[:10]))
        (folder / "test.bin").write_bytes(b"".join(records[10:]))
    return folder


def pickled(images, labels, key="labels", protocol=2):
    data = images.transpose(0, 3, 1, 2).reshape(-1, 3072)
    content = {b"data": data, key.encode(): list(map(int, labels))}
    return pickle.dumps(content, protocol=protocol)


def write_python_cifar(folder):
    folder.mkdir(exist_ok=True)
    for number in range(5):
        chosen = slice(2 * number, 2 * number + 2)
        content = pickled(COLOUR[chosen], LABELS[chosen])
        (folder / f"data_batch_{number + 1}").write_bytes(content)
    (folder / "test_batch").write_bytes(pickled(COLOUR[10:], LABELS[10:]))
    names = [b"name%d" % i for i in range(10)]
    meta = pickle.dumps({b"label_names": names}, protocol=2)
    (folder / "batches.meta").write_bytes(meta)
    return folder


CIFAR = {"image_size": 32, "channels": 3}


@pytest.mark.parametrize("write", [write_cifar, write_python_cifar])
def test_cifar_batches_give_both_parts_with_labels_and_names(tmp_path, write):
    folder = write(tmp_path / "cifar")
    train, test = parts("cifar", folder, **CIFAR)
    assert_part(train, COLOUR[:10], LABELS[:10])
    assert_part(test, COLOUR[10:], LABELS[10:])
    reader = open_reader(Data(source="cifar", dir=str(folder), **CIFAR))
    assert reader.label_names == tuple(f"name{i}" for i in range(10))


def test_cifar_100_has_fine_labels_unless_coarse_ones_are_named(tmp_path):
    folder = write_cifar(tmp_path / "cifar", 100)
    assert_part(parts("cifar", folder, **CIFAR)[1], COLOUR[10:], LABELS[10:])
    coarse = parts("cifar", folder, label_array="coarse_labels", **CIFAR)[0]
    assert_part(coarse, COLOUR[:10], LABELS[:10] // 2)
    message = refused("cifar", folder, label_array="labels")
    assert message.endswith("which has coarse_labels and fine_labels")


def test_one_cifar_batch_is_read_alone_but_a_missing_one_is_an_error(tmp_path):
    folder = write_cifar(tmp_path / "cifar")
    train, test = parts("cifar", folder / "data_batch_2.bin", **CIFAR)
    assert_part(train, COLOUR[2:4], LABELS[2:4])
    assert test is None
    (folder / "data_batch_4.bin").unlink()
    assert "has no data_batch_4.bin: add it, or name one" in refused("cifar", folder)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (lambda b: b[:-1], "has 6,145 bytes, not a multiple of the 3073"),
        (lambda b: b"", "has 0 bytes, not a multiple"),
        (lambda b: b"\x63" + b[1:], "has the label 99, and CIFAR-10 has 10 labels"),
    ],
)
def test_a_damaged_cifar_batch_is_one_sentence(tmp_path, content, expected):
    folder = write_cifar(tmp_path / "cifar")
    path = folder / "data_batch_3.bin"
    path.write_bytes(content(path.read_bytes()))
    message = refused("cifar", folder)
    assert message.startswith(str(path))
    assert expected in message


class Dangerous:
    def __reduce__(self):
        return os.mkdir, ("made-by-a-pickle",)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (pickle.dumps(Dangerous()), "it refers to posix.mkdir"),
        (pickle.dumps({b"data": Dangerous()}), "it refers to posix.mkdir"),
        (pickle.dumps([1]), "it has a list instead of a dict"),
        (b"\x80\x02}q", "it is"),
        (pickled(COLOUR, LABELS)[:-90], "is not a pickle of numbers alone"),
        (pickled(COLOUR, LABELS[:5]), "is not a batch of CIFAR-10: it must have"),
        (pickle.dumps({b"data": [object]}), "it refers to builtins.object"),
    ],
)
def test_a_pickle_of_anything_but_numbers_is_not_executed(
    tmp_path, content, expected, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    folder = write_python_cifar(tmp_path / "cifar")
    (folder / "data_batch_1").write_bytes(content)
    message = refused("cifar", folder)
    assert message.startswith(str(folder / "data_batch_1"))
    assert expected in message or "binary version" in message
    assert not Path("made-by-a-pickle").exists()


# ------------------------------------------------------------------ zip, class folders


def png(image):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "png")
    return file.getvalue()


def write_zip(path, members, **options):
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def unpacked(path, folder):
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder)
    return folder


CLASSES = {
    f"{'cats' if n < 7 else 'dogs'}/{n:02}.png": png(image)
    for n, image in enumerate(GREY)
}


def test_a_zip_has_the_images_labels_and_names_of_its_folder(tmp_path, capsys):
    extra = {"__MACOSX/cats/x.png": b"", "notes.txt": b"", "cats/more.zip": b""}
    extra |= {"cats/a.heic": b""}
    compressed = {"compression": zipfile.ZIP_DEFLATED}
    path = write_zip(tmp_path / "x.zip", CLASSES | extra, **compressed)
    folder = unpacked(path, tmp_path / "x")
    for source, where in (("zip", path), ("folder", folder)):
        assert_part(parts(source, where)[0], GREY, [0] * 7 + [1] * 5)
        assert parts(source, where)[0].label_names == ("cats", "dogs")
        out = capsys.readouterr().out
        assert "skipped 4 files" in out
        assert "1 to be converted to JPEG or PNG first (cats/a.heic)" in out
        assert detect(where) == source


def test_the_names_of_labels_are_in_the_record(tmp_path):
    path = write_zip(tmp_path / "x.zip", CLASSES)
    data = Data(source="zip", dir=str(path), image_size=8, batch_size=2, heldout=2)
    record = load_in_memory(data).record
    assert (record.labels, record.label_names) == ((0, 1), ("cats", "dogs"))
    chosen = load_in_memory(dataclasses.replace(data, classes=(1,))).record
    assert (chosen.labels, chosen.label_names) == ((1,), ("dogs",))


@pytest.mark.stream
@pytest.mark.slow
def test_a_zip_is_streamed_by_a_worker(tmp_path, new_key):
    path = write_zip(tmp_path / "x.zip", CLASSES)
    fields = {"image_size": 8, "batch_size": 2, "heldout": 2, "workers": 1}
    data = Data(source="zip", dir=str(path), stream="always", **fields)
    model = Model(kind="resnet", kernel=3, classes=2)
    dataset = load(Config(data, model))
    batch, labels = next(read_batches(dataset.stream, new_key(), range(1)))
    cats = {image.tobytes() for image in GREY[:7]}
    assert [image.tobytes() in cats for image in batch] == (labels == 0).tolist()


@pytest.mark.parametrize(
    ("names", "labels", "expected"),
    [
        (["a/1.png", "b/2.png", "a/3.png"], [0, 0, 1], ("a", "b")),
        # A folder that holds everything is passed over.
        (["all/b/1.png", "all/a/2.png"], [0, 1], ("a", "b")),
        # Numbers are labels, also where their order by name is another one.
        (["10/1.png", "2/2.png"], [10, 2], ()),
        (["cats/1.png", "cats/2.png"], None, ()),
        (["1.png", "2.png"], None, ()),
    ],
)
def test_folders_of_classes(tmp_path, names, labels, expected):
    path = write_zip(tmp_path / "x.zip", {n: png(GREY[0]) for n in names})
    for source, where in (("zip", path), ("folder", unpacked(path, tmp_path / "x"))):
        reader = open_reader(Data(source=source, dir=str(where), image_size=8))
        found = reader.read(np.arange(len(names))).labels
        assert (found if found is None else found.tolist()) == labels
        assert reader.label_names == expected
        assert reader.label_problem == ""


@pytest.mark.parametrize(
    "names", [["1.png", "a/2.png", "b/3.png"], ["a/1.png", "b/c/2.png"]]
)
def test_folders_that_are_ambiguous_give_no_labels(tmp_path, names):
    path = write_zip(tmp_path / "x.zip", {n: png(GREY[0]) for n in names})
    for source, where in (("zip", path), ("folder", unpacked(path, tmp_path / "x"))):
        part = parts(source, where)[0]
        assert part.labels is None
        assert part.problem == (
            f"images are at different depths or more than one folder deep, as "
            f"{names[0]} and {names[1]}: each must be in the folder of its class"
        )


def test_a_run_without_labels_accepts_that_its_folder_has_gained_them(tmp_path):
    def write(names):
        return write_zip(tmp_path / "x.zip", dict(zip(names, CLASSES.values())))

    fields = {"image_size": 8, "batch_size": 2, "heldout": 2}
    data = Data(
        source="zip", dir=str(write([f"{n:02}.png" for n in range(12)])), **fields
    )
    record = load_in_memory(data).record
    directory.initialise(run := tmp_path, Config(data), record)
    write(list(CLASSES))
    labelled = load_in_memory(data).record
    assert labelled.labels
    directory.check_same_data(run, labelled)


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda p: p.unlink(), "is not a readable zip file: "),
        (lambda p: p.write_bytes(b"text"), "is not a readable zip file: "),
        (lambda p: p.write_bytes(p.read_bytes()[:-60]), "is not a readable zip file"),
        (lambda p: write_zip(p, {"a.txt": b""}), "no image files: it must hold files"),
        (lambda p: write_zip(p, {"b.zip": b""}), "1 zip in the zip (b.zip)"),
        (lambda p: write_zip(p, {"../a.png": b""}), "../a.png, a name that points out"),
        (lambda p: write_zip(p, {"/a.png": b""}), "/a.png, a name that points out"),
        (lambda p: lock(p), "has 12 encrypted images, such as cats/00.png: write the"),
        (lambda p: flip(p), "cats/00.png in "),
        (
            lambda p: write_zip(p, {"a.png": b"no image"}),
            "1 of 1 images cannot be read",
        ),
    ],
)
def test_a_zip_that_cannot_be_used_is_one_sentence(tmp_path, spoil, expected):
    spoil(path := write_zip(tmp_path / "x.zip", CLASSES))
    assert expected in refused("zip", path)


def lock(path):
    """Sets the bit of an encrypted member in every entry of the directory."""
    content = bytearray(path.read_bytes())
    place = content.find(b"PK\1\2")
    while place >= 0:
        content[place + 8] |= 1
        place = content.find(b"PK\1\2", place + 4)
    path.write_bytes(content)


def flip(path):
    """Changes a byte of the first image, which its checksum shows."""
    content = bytearray(path.read_bytes())
    content[60] ^= 1
    path.write_bytes(content)


# ----------------------------------------------------------------------------- parquet


def write_parquet(path, image, label=None, features=None, group=5, **columns):
    """A file of these columns, with row groups of 5 rows."""
    import pyarrow
    import pyarrow.parquet

    columns = {"image": image, "label": label} | columns
    table = pyarrow.table({k: v for k, v in columns.items() if v is not None})
    if features:
        info = {"info": {"features": features}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(info)})
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(table, path, row_group_size=group)
    return path


def structs(images):
    return [{"bytes": png(image), "path": "a.png"} for image in images]


CLASS_LABEL = {"image": {"_type": "Image"}}
CLASS_LABEL |= {"label": {"_type": "ClassLabel", "names": ["ant", "bee", "cow"]}}


@pytest.mark.parquet
@pytest.mark.parametrize("encode", [structs, lambda images: list(map(png, images))])
def test_parquet_shards_have_images_labels_and_names(tmp_path, encode, capsys):
    folder = tmp_path / "x" / "data"
    for name, rows in (
        ("train-00000-of-00002", slice(0, 6)),
        ("train-00001-of-00002", slice(6, 8)),
        ("test-00000-of-00001", slice(8, 12)),
    ):
        path = folder / f"{name}.parquet"
        write_parquet(path, encode(GREY[rows]), LABELS[rows], CLASS_LABEL)
    train, test = parts("parquet", tmp_path / "x")
    assert_part(train, GREY[:8], LABELS[:8])
    assert_part(test, GREY[8:], LABELS[8:])
    assert train.label_names == ("ant", "bee", "cow")
    assert "held-out samples are those of test in" in capsys.readouterr().out
    assert detect(tmp_path / "x") == "parquet"
    alone = folder / "train-00001-of-00002.parquet"
    assert_part(parts("parquet", alone)[0], GREY[6:8], LABELS[6:8])
    message = refused("parquet", tmp_path / "x", split="valid")
    assert "which has test, train: name one of them with --data.split" in message


@pytest.mark.parquet
def test_parquet_text_is_numbered_in_the_order_of_all_parts(tmp_path):
    for part, texts in (("train", ["b", "c", "b"]), ("test", ["a", "c", "b"])):
        path = tmp_path / part / "0000.parquet"
        write_parquet(path, structs(GREY[:3]), texts)
    train, test = parts("parquet", tmp_path)
    assert_part(train, GREY[:3], [1, 2, 1])
    assert_part(test, GREY[:3], [0, 2, 1])
    assert train.label_names == test.label_names == ("a", "b", "c")


@pytest.mark.parquet
def test_parquet_columns_are_named_where_several_fit(tmp_path):
    path = tmp_path / "x.parquet"
    two = {"fine_label": LABELS, "coarse_label": LABELS // 2}
    declared = {name: {"_type": "ClassLabel"} for name in two}
    write_parquet(path, structs(GREY), None, declared, mask=structs(GREY[::-1]), **two)
    assert "several columns of images, image, mask: name one" in refused(
        "parquet", path
    )
    part = parts("parquet", path, array="mask")[0]
    assert_part(part, GREY[::-1], None)
    assert "has several columns of labels, fine_label, coarse_label" in part.problem
    chosen = parts("parquet", path, array="image", label_array="coarse_label")[0]
    assert_part(chosen, GREY, LABELS // 2)


@pytest.mark.parquet
def test_rows_of_parquet_files_have_the_names_of_their_files(tmp_path):
    write_parquet(tmp_path / "a.parquet", structs(GREY[:7]))
    write_parquet(tmp_path / "b.parquet", structs(GREY))
    reader = open_reader(Data(source="parquet", dir=str(tmp_path)))
    assert [reader.name(i) for i in (6, 7)] == [
        "row 6 of a.parquet",
        "row 0 of b.parquet",
    ]


@pytest.mark.parquet
@pytest.mark.parametrize(
    ("write", "fields", "expected"),
    [
        (lambda p: p.write_bytes(b"PAR1"), {}, "is not a readable Parquet file ("),
        (
            lambda p: p.write_bytes(p.read_bytes()[:-9]),
            {},
            "not a readable Parquet file",
        ),
        (lambda p: p.unlink(), {}, "is neither a Parquet file nor a folder"),
        (
            lambda p: write_parquet(p, ["a.png"] * 12, LABELS),
            {},
            "no column of images, but image (string), label (int64): images must be",
        ),
        (
            lambda p: write_parquet(p, [[1, 2]] * 12),
            {},
            "no column of images, but image (list<",
        ),
        (
            lambda p: write_parquet(p, [{"bytes": None, "path": "a"}, *structs(GREY)]),
            {},
            "x.parquet (it has no bytes of an image)",
        ),
        (
            lambda p: write_parquet(p, structs(GREY[:7]) + [{"bytes": b"x"}]),
            {},
            "row 7 of ",
        ),
        (
            lambda p: None,
            {"array": "photo"},
            "data.array='photo' is not a column of im",
        ),
        (
            lambda p: None,
            {"label_array": "kind"},
            "data.label_array='kind' is not a co",
        ),
    ],
)
def test_parquet_that_cannot_be_used_is_one_sentence(tmp_path, write, fields, expected):
    path = write_parquet(tmp_path / "x.parquet", structs(GREY), LABELS)
    write(path)
    assert expected in refused("parquet", path, **fields)


@pytest.mark.parquet
def test_a_shard_without_the_column_and_rows_without_labels_are_named(tmp_path):
    write_parquet(tmp_path / "a.parquet", structs(GREY), [*LABELS[:11], None])
    part = parts("parquet", tmp_path)[0]
    assert part.labels is None
    assert part.problem.endswith("has 1 rows without one")
    write_parquet(tmp_path / "b.parquet", None, LABELS)
    message = refused("parquet", tmp_path)
    assert message.startswith(
        f"{tmp_path}/b.parquet has no images in the column 'image'"
    )


# ------------------------------------------------------------------------ npz and npy


def test_the_npz_files_of_keras_and_medmnist_need_no_names(tmp_path, capsys):
    path = tmp_path / "mnist.npz"
    labels = LABELS.astype(np.uint8)
    np.savez(
        path, x_train=GREY[:8], y_train=labels[:8], x_test=GREY[8:], y_test=labels[8:]
    )
    train, test = parts("npz", path)
    assert_part(train, GREY[:8], LABELS[:8])
    assert_part(test, GREY[8:], LABELS[8:])
    assert f"those of x_test in {path}" in capsys.readouterr().out
    assert parts("npz", path, test_split="none")[1] is None
    # A named array is the only one that is used.
    assert parts("npz", path, array="x_train")[1] is None

    column = labels[:, None]
    arrays = {"train_images": GREY[:6], "train_labels": column[:6]}
    arrays |= {"val_images": GREY[6:8], "val_labels": column[6:8]}
    np.savez(path, test_images=GREY[8:], test_labels=column[8:], **arrays)
    train, test = parts("npz", path)
    assert_part(train, GREY[:6], LABELS[:6])
    assert_part(test, GREY[6:8], LABELS[6:8])
    assert_part(parts("npz", path, test_split="test_images")[1], GREY[8:], LABELS[8:])


def test_labels_of_another_name_are_named(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, images=GREY, kinds=LABELS)
    assert_part(parts("npz", path)[0], GREY, None)
    assert_part(parts("npz", path, label_array="kinds")[0], GREY, LABELS)
    message = refused("npz", path, label_array="kind")
    assert message.startswith("data.label_array='kind' is not in data.dir=")


def test_an_npy_file_is_one_array_with_labels_next_to_it(tmp_path):
    np.save(tmp_path / "x_train.npy", GREY)
    assert_part(parts("npz", tmp_path / "x_train.npy")[0], GREY, None)
    np.save(tmp_path / "y_train.npy", LABELS)
    assert_part(parts("npz", tmp_path / "x_train.npy")[0], GREY, LABELS)
    np.save(tmp_path / "y_train.npy", LABELS[:3])
    train, _ = parts("npz", tmp_path / "x_train.npy")
    assert "not one whole number for each of the 12 images" in train.problem
    message = refused("npz", tmp_path / "x_train.npy", array="a")
    assert "which has one array without a name" in message
    np.save(tmp_path / "bad.npy", np.array([None]), allow_pickle=True)
    assert refused("npz", tmp_path / "bad.npy").endswith(
        "is not a readable .npy file: it has Python objects, which are not read"
    )


@pytest.mark.stream
@pytest.mark.slow
def test_an_npy_file_of_bytes_is_streamed_by_a_worker(tmp_path, new_key):
    np.save(tmp_path / "x_train.npy", GREY)
    np.save(tmp_path / "y_train.npy", LABELS)
    fields = {"image_size": 8, "batch_size": 2, "heldout": 2, "workers": 1}
    data = Data(source="npz", dir=str(tmp_path / "x_train.npy"), **fields)
    data = dataclasses.replace(data, stream="always")
    dataset = load(Config(data, Model(kind="resnet", kernel=3, classes=3)))
    assert len(pickle.dumps(dataset.stream.reader)) < 2000
    batch, labels = next(read_batches(dataset.stream, new_key(), range(1)))
    expected = {i.tobytes(): n for i, n in zip(GREY, LABELS.tolist())}
    assert [expected[image.tobytes()] for image in batch] == labels.tolist()


@pytest.mark.parametrize("array", [GREY / 255, np.asfortranarray(GREY)])
def test_other_npy_files_are_held_in_memory(tmp_path, array):
    np.save(tmp_path / "x.npy", array)
    data = Data(source="npz", dir=str(tmp_path / "x.npy"), stream="always")
    assert "is held in memory" in complaint(check_stream, Config(data), "this")
    assert_part(parts("npz", tmp_path / "x.npy")[0], GREY, None)


def test_sets_to_compare_may_be_npy_files(tmp_path):
    np.save(tmp_path / "a.npy", GREY)
    np.savez(tmp_path / "b.npz", x_train=GREY, y_train=LABELS)
    images, reference = load_pair(str(tmp_path / "a.npy"), str(tmp_path / "b.npz"))
    np.testing.assert_array_equal(images[..., 0], GREY)
    assert reference.train.shape == (11, 8, 8, 1)


def test_vectors_of_npy_and_of_parts(tmp_path):
    vectors = RNG.normal(size=(20, 3))
    np.save(tmp_path / "v.npy", vectors)
    train, test = parts("vectors", tmp_path / "v.npy", dimensions=3)
    np.testing.assert_array_equal(train.samples, vectors)
    assert test is None
    np.savez(tmp_path / "v.npz", x_train=vectors[:12], x_test=vectors[12:])
    train, test = parts("vectors", tmp_path / "v.npz", dimensions=3)
    np.testing.assert_array_equal(test.samples, vectors[12:])


# ----------------------------------------------------------------------- changed bytes


@pytest.mark.slow
@pytest.mark.parametrize("source", ["zip", "idx", "cifar", "npz", "npy", "parquet"])
def test_files_with_changed_bytes_are_read_or_refused(tmp_path, source):
    if source == "parquet":
        pytest.importorskip("pyarrow")
        path = write_parquet(tmp_path / "x.parquet", structs(GREY), LABELS, CLASS_LABEL)
    elif source == "zip":
        path = write_zip(tmp_path / "x.zip", CLASSES)
    elif source == "cifar":
        path = tmp_path / "data_batch_1"
        path.write_bytes(pickled(COLOUR, LABELS))
    elif source == "idx":
        path = tmp_path / "train-images-idx3-ubyte.gz"
        path.write_bytes(gzip.compress(idx_bytes(GREY)))
    elif source == "npz":
        np.savez(path := tmp_path / "x.npz", x_train=GREY, y_train=LABELS)
    else:
        np.save(path := tmp_path / "x.npy", GREY / 255)
    good = path.read_bytes()
    ends = [*range(300), *range(len(good) - 300, len(good))]
    rng, messages = np.random.default_rng(0), []
    for _ in range(25):
        content = bytearray(good)
        for place in rng.choice(ends, 2):
            content[place] = rng.integers(256)
        path.write_bytes(content)
        for read in (detect, lambda path: parts(source.replace("npy", "npz"), path)):
            try:
                read(path)
            except UserError as error:
                messages.append(str(error))
    assert messages
    assert all(str(path) in message for message in messages)


# ------------------------------------------------------------------------------ detect


def test_the_source_of_a_path_is_found(tmp_path):
    np.savez(tmp_path / "images.npz", x=GREY, y=LABELS)
    np.savez(tmp_path / "vectors.npz", x=RNG.normal(size=(20, 3)), y=np.zeros((20, 1)))
    np.save(tmp_path / "v.npy", RNG.normal(size=(20, 3)))
    np.save(tmp_path / "i.npy", COLOUR)
    for name, source in (
        ("images.npz", "npz"),
        ("vectors.npz", "vectors"),
        ("v.npy", "vectors"),
        ("i.npy", "npz"),
    ):
        assert detect(tmp_path / name) == source
    assert detect(mnist_like(tmp_path / "mnist")) == "idx"
    assert detect(tmp_path / "mnist" / "t10k-images-idx3-ubyte.gz") == "idx"
    assert detect(write_cifar(tmp_path / "cifar")) == "cifar"
    assert detect(write_python_cifar(tmp_path / "python")) == "cifar"
    for name, source in (
        ("a.parquet", "parquet"),
        ("b.zip", "zip"),
        ("c.array_record-00000-of-00002", "array_record"),
    ):
        (tmp_path / name).write_bytes(b"")
        assert detect(tmp_path / name) == source
    images = tmp_path / "images"
    (images / "cats").mkdir(parents=True)
    (images / "cats" / "1.JPG").write_bytes(b"")
    (images / "train").write_bytes(b"a text that is named as a batch of CIFAR-100 is")
    assert detect(images) == "folder"


@pytest.mark.parametrize(
    ("names", "path", "expected"),
    [
        ([], "none", "none does not exist: give a folder of images, "),
        ([], ".", "has no files that are read: give a folder of images, "),
        (["a.tar.gz"], "a.tar.gz", "is an archive that is not read: unpack it"),
        (["a.csv"], "a.csv", "is of a kind that is not read: give a folder"),
        (["a.png"], "a.png", "is one image: give the folder that it is in"),
        (["a.png", "b.parquet"], ".", "several kinds (1 image files, 1 Parquet files)"),
        (["a.zip", "b.npz"], ".", "is a folder: give the file "),
        (["a.npz"], "a.npz", "a.npz is not a readable .npz file: "),
        (["dataset_info.json"], ".", "take --data.source tfds with --data.name"),
    ],
)
def test_a_path_without_a_source_is_one_sentence(tmp_path, names, path, expected):
    for name in names:
        (tmp_path / name).write_bytes(b"")
    message = complaint(detect, tmp_path / path, "--images ")
    assert message.startswith(f"--images {tmp_path}")
    assert expected in message


def test_arrays_of_which_none_is_meant_are_listed(tmp_path):
    np.savez(tmp_path / "x.npz", a=GREY, b=GREY, c=LABELS)
    message = complaint(detect, tmp_path / "x.npz")
    assert "has the arrays a[12, 8, 8], b[12, 8, 8], c[12]: one must be" in message


# ---------------------------------------------------------------------------- channels


@pytest.mark.parametrize(
    ("channels", "image", "expected"),
    [
        (1, COLOUR[0], "2 of 2 images have three channels and are converted to grey\n"),
        (3, GREY[0], "2 of 2 images are grey and are converted to three channels\n"),
        (3, COLOUR[0], ""),
        (1, GREY[0], ""),
    ],
)
def test_images_of_other_channels_are_stated(
    tmp_path, channels, image, expected, capsys
):
    path = write_zip(tmp_path / "x.zip", {"1.png": png(image), "2.png": png(image)})
    parts("zip", path, image_size=len(image), channels=channels)
    assert capsys.readouterr().out == expected
    np.save(tmp_path / "x.npy", np.stack([image] * 2))
    parts("npz", tmp_path / "x.npy", image_size=len(image), channels=channels)
    assert capsys.readouterr().out == expected


# ----------------------------------------------------------------------- switch_source


def test_another_source_takes_no_field_of_the_old_one():
    old = Data(source="tfds", name="mnist", test_split="test", image_size=28)
    new, line = switch_source(old, "npz", dir="x.npz")
    assert new == Data(source="npz", dir="x.npz", image_size=28)
    assert line == (
        "data.source=npz replaces tfds: data.name=mnist, data.test_split=test of the "
        "configuration are not used"
    )
    assert switch_source(old, "npz", test_split="b")[0].test_split == "b"
    assert switch_source(old, "tfds", heldout=5)[0].name == "mnist"
    assert switch_source(Data(), "folder") == (Data(source="folder"), "")
