"""Writes a folder of images as array_record files, to be streamed from.

python scripts/pack_images.py FOLDER OUT --image-size 64 --channels 3
python -m wgan_jax.train --config ... --data.source array_record --data.dir OUT
"""

import argparse
import concurrent.futures
import functools
import io
import math
import os
import shutil
import sys
from pathlib import Path

from array_record.python.array_record_module import ArrayRecordWriter
from PIL import Image
from rich.progress import track

from wgan_jax import cli
from wgan_jax.config import Data
from wgan_jax.data.readers import image_files, read_file
from wgan_jax.errors import UserError

# Images in one file, so that a file is some hundred megabytes.
SHARD = 100_000
# One image a record, or a batch of images far apart would decompress all between them.
# PNG is compressed already.
OPTIONS = {"png": "group_size:1,uncompressed", "ppm": "group_size:1"}


def encode(image, form: str) -> bytes:
    """uint8 [height, width, 1 or 3] as a file of Pillow's format `form`."""
    file = io.BytesIO()
    grey = image.shape[2] == 1
    Image.fromarray(image[..., 0] if grey else image).save(file, form)
    return file.getvalue()


def write_records(out: Path, records, count: int, form: str) -> None:
    """Writes `count` encoded images to the new folder `out`, SHARD in each file.

    Nothing is left of it where that fails.
    """
    partial = out.with_name(out.name + ".tmp")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    shards, records = math.ceil(count / SHARD), iter(records)
    try:
        for shard in range(shards):
            name = f"images.array_record-{shard:05}-of-{shards:05}"
            writer = ArrayRecordWriter(str(partial / name), OPTIONS[form])
            try:
                for _ in range(min(SHARD, count - shard * SHARD)):
                    writer.write(next(records))
            finally:
                writer.close()
        partial.replace(out)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("folder", type=Path, help="of image files, at any depth")
    add("out", type=Path, help="new folder for the array_record files")
    add("--image-size", type=int, required=True, help="height and width in pixels")
    add("--channels", type=int, required=True, choices=(1, 3), help="1 grey, 3 RGB")
    add("--resize", default=Data().resize, help="as data.resize (default bicubic)")
    add(
        "--format",
        default="png",
        choices=sorted(OPTIONS),
        help="png takes less space, ppm is decoded faster (default png)",
    )
    options = parser.parse_args(arguments)
    if options.image_size <= 0:
        parser.error(f"--image-size {options.image_size} must be greater than 0")
    if options.out.exists():
        raise UserError(f"{options.out} is there already: give another folder")
    described = Data(
        source="folder",
        dir=str(options.folder),
        image_size=options.image_size,
        channels=options.channels,
        resize=options.resize,
    )
    paths = image_files(options.folder, typed="")

    def pack(path):
        try:
            return encode(read_file(path, described), options.format)
        except Exception as error:
            raise UserError(
                f"{path} cannot be read ({type(error).__name__}: {error}): mend or "
                "remove it"
            ) from error

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        work = ahead(pool, pack, paths)
        # Elsewhere than on a terminal it would leave an empty line.
        silent = not sys.stdout.isatty()
        records = track(work, "packing", len(paths), transient=True, disable=silent)
        write_records(options.out, records, len(paths), options.format)
    print(f"{len(paths):,} images of {options.folder} are in {options.out}")
    return 0


def ahead(pool, function, items, count=256):
    """function(item) in the order of items, of which a few are worked on ahead."""
    waiting = []
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) == count:
                yield waiting.pop(0).result()
        while waiting:
            yield waiting.pop(0).result()
    finally:
        for future in waiting:
            future.cancel()


if __name__ == "__main__":
    cli.run(functools.partial(main, sys.argv[1:]))
