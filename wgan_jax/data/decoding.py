"""Image files, encoded images and arrays to 8-bit pixels. Free of JAX, as `readers`.

Every file and array passes through this module, so that training, evaluation, anomaly
detection and packing have the same pixels.
"""

import contextlib
import dataclasses
import functools
import io
import math
import re
import sys
from collections import Counter
from pathlib import Path
from typing import cast

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from wgan_jax.config import Data
from wgan_jax.errors import UserError

# Part of every cache key. To be increased when a pixel of any file changes.
VERSION = 2
# Fields of `Data` that decide the pixels of a file.
FIELDS = ("image_size", "channels", "resize", "background")
# Header of a binary PGM (5) or PPM (6) with 256 levels, as most programs write it.
PLAIN = re.compile(rb"P([56])\s+(\d+)\s+(\d+)\s+255\s")
# Pillow's names of layouts of which it reads the high byte of each value only.
DEEP = re.compile(r"(RGB|RGBA|RGBX|RGBa|LA);16([BLN])")
# Sub-byte grey: factor from stored values, as in a tRNS chunk, to grey levels.
FACTORS = {"L;2": 85, "L;4": 17}
EXIF_ORIENTATION = 274
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Tags of a TIFF file.
BITS, PHOTOMETRIC, PLANES, SAMPLE_FORMAT = 258, 262, 284, 339


def pixel_fields(data: Data) -> dict:
    """The fields of `data` that decide the pixels of a file."""
    return {name: getattr(data, name) for name in FIELDS}


def pixel_facts(data: Data) -> str:
    """All that decides the pixels of a file, as part of a cache key."""
    return f"decoder {VERSION} {pixel_fields(data)}"


@dataclasses.dataclass(frozen=True)
class Header:
    """Facts about an image file or encoded image, without its pixels."""

    format: str
    """Pillow's name, such as JPEG."""
    mode: str
    """Pillow's mode, such as RGB or CMYK."""
    bits: int
    """Bits of one value in the file."""
    height: int
    """Pixels as a viewer shows them, after the turn by EXIF."""
    width: int
    frames: int
    """Pages or frames."""
    turned: bool
    """Whether the EXIF tag turns or mirrors the image."""


def header(file: Path | bytes) -> Header:
    """The header of a file that `view` can read."""
    with Image.open(_source(file)) as image:
        layout, width, height = _layout(image), image.width, image.height
        depth = _tag(image, BITS) or re.search(r"(?<!\d)(1|2|4|12|16|32)(?!\d)", layout)
        bits = depth if isinstance(depth, int) else int(depth[1]) if depth else 0
        bits = bits or {"1": 1, "I": 32, "F": 32, "I;16": 16}.get(image.mode, 8)
        orientation = None
        with contextlib.suppress(Exception):
            orientation = image.getexif().get(EXIF_ORIENTATION)
        if orientation in (5, 6, 7, 8):
            width, height = height, width
        return Header(
            image.format or "",
            image.mode,
            bits,
            height,
            width,
            _pages(image),
            orientation in TURNS,
        )


def decode(file: Path | bytes, data: Data, notes: Counter) -> np.ndarray:
    """Pixels of an image file or encoded image: see `view` and `fit`.

    notes: counts what happened to the image. Returns uint8 [*data.sample_shape].
    """
    if isinstance(file, bytes):
        pixels = plain_pixels(file, data)
        if pixels is not None:
            return pixels
    return fit(view(file, data.background, notes), data, notes)


def plain_pixels(encoded: bytes, data: Data) -> np.ndarray | None:
    """Pixels of a binary PGM or PPM of the right size; None for everything else.

    Equal to Pillow's pixels, in a tenth of the time.
    """
    header = PLAIN.match(encoded)
    if not header:
        return None
    kind, width, height = map(int, header.groups())
    shape = height, width, 1 if kind == 5 else 3
    if shape != data.sample_shape or len(encoded) - header.end() != math.prod(shape):
        return None
    return np.frombuffer(encoded, np.uint8, offset=header.end()).reshape(shape)


def view(file: Path | bytes, background: int, notes: Counter) -> Image.Image:
    """The first page of an image in mode L or RGB, as a viewer shows it.

    Depth is reduced to 8 bits by `grey_levels`, palette and colour profile are applied,
    transparency shows the grey level `background`, and the EXIF tag turns the image.
    Raises UserError for values and modes that have no defined look.
    """
    try:
        with Image.open(_source(file)) as image:
            return _view(file, image, background, notes)
    except UnidentifiedImageError as error:
        raise UserError("not an image, or of a kind that Pillow cannot read") from error


def _view(file, image, background, notes):
    layout = _layout(image)
    deep = DEEP.fullmatch(layout)
    if _tag(image, PLANES) == 2 and _tag(image, BITS) == 16:
        # Pillow reads every second byte of the first plane as the next one.
        raise UserError("16-bit TIFF files with separate planes are not supported")
    pages = _pages(image)
    image.load()
    if deep:
        colour, alpha = _deep_colour(file, image, deep[1], deep[2], notes)
    elif image.mode == "F" or image.mode.startswith("I") or _signed(image):
        colour, alpha = _deep_grey(image, notes)
    else:
        colour, alpha = _split(image, layout)
    colour = _to_srgb(colour, image.info.get("icc_profile"), notes)
    if image.mode in ("P", "PA"):
        # A palette of grey levels is the only way to grey in some formats.
        red, green, blue = colour.split()
        if red.tobytes() == green.tobytes() == blue.tobytes():
            colour = red
    if alpha is not None:
        grey = background if colour.mode == "L" else (background,) * 3
        canvas = Image.new(colour.mode, colour.size, grey)
        canvas.paste(colour, mask=alpha)
        colour = canvas
    if pages > 1:
        notes.update(files_of_pages=1, pages=pages)
    turn = None
    # A viewer ignores a damaged EXIF block.
    with contextlib.suppress(Exception):
        turn = TURNS.get(image.getexif().get(EXIF_ORIENTATION))
    return colour if turn is None else colour.transpose(turn)


def _pages(image):
    try:
        return getattr(image, "n_frames", 1)
    except Exception:
        # Damaged pages after the first one are not used.
        image.seek(0)
        return 1


def _source(file):
    return io.BytesIO(file) if isinstance(file, bytes) else file


def _layout(image):
    """Pillow's name of the layout of the values in the file, such as RGB;16B."""
    args = image.tile[0][3] if getattr(image, "tile", None) else ()
    layout = args[0] if isinstance(args, tuple) and args else args
    return layout if isinstance(layout, str) else ""


def _signed(image):
    return _tag(image, SAMPLE_FORMAT) == 2


def _tag(image, tag):
    """First value of a TIFF tag; None in any other file."""
    value = image.tag_v2.get(tag) if image.format == "TIFF" else None
    return value[0] if isinstance(value, tuple) else value


def _split(image, layout):
    """(image in mode L, RGB, CMYK or LAB, alpha in mode L or None) of 8-bit images."""
    mode = image.mode
    if mode in ("1", "L", "RGB"):
        key = image.info.get("transparency")
        colour = image.convert("L") if mode == "1" else image
        if not isinstance(key, int | tuple):
            return colour, None
        scale = 255 if mode == "1" else FACTORS.get(layout, 1)
        key = np.minimum(np.multiply(key, scale), 255)
        return colour, _opaque(np.asarray(colour) != key)
    if mode in ("LA", "La"):
        colour, alpha = image.convert("LA").split()
        return colour, alpha
    if mode in ("P", "PA", "RGBA", "RGBa"):
        rgba = image.convert("RGBA")
        colour = rgba.convert("RGB")
        opaque = mode == "P" and "transparency" not in image.info
        return colour, None if opaque else rgba.getchannel("A")
    if mode in ("RGBX", "YCbCr", "HSV"):
        return image.convert("RGB"), None
    if mode in ("CMYK", "LAB"):
        return image, None
    raise UserError(f"images of Pillow's mode {mode} are not supported")


def _opaque(differs):
    """Alpha that is transparent at the colour of a tRNS chunk."""
    if differs.ndim == 3:
        differs = differs.any(-1)
    return Image.fromarray(differs.astype(np.uint8) * 255)


def _deep_grey(image, notes):
    values = np.asarray(image)
    bits = _tag(image, BITS)
    if bits is None:
        # Pillow has only signed integers of 32 bits; a PGM or PNG file has 16 bits.
        deep = image.mode == "I" and image.format not in ("PPM", "PNG")
        bits = 31 if deep else 16
    elif _signed(image):
        bits, values = bits - 1, values.view(np.int8) if bits == 8 else values
    elif bits == 32 and image.mode == "I":
        values = values.view(np.uint32)
    key = image.info.get("transparency")
    alpha = _opaque(values != key) if isinstance(key, int) else None
    levels = grey_levels(values, notes, bits)
    if _tag(image, PHOTOMETRIC) == 0:
        # Zero is white, which Pillow regards in 8-bit files only.
        levels = 255 - levels
    return Image.fromarray(levels), alpha


def _deep_colour(file, image, mode, order, notes):
    if mode == "LA":
        # Four bytes: high and low byte of grey, high and low byte of alpha.
        pair = _reread(file, "RGBA").astype(np.uint16)
        values = pair[..., ::2] << 8 | pair[..., 1::2]
    else:
        little = order == "L" or (order == "N" and sys.byteorder == "little")
        # Values that are multiplied by alpha are read as they are.
        plain = mode.replace("a", "A")
        orders = "LB" if little else "BL"
        high, low = (_reread(file, f"{plain};16{byte}") for byte in orders)
        values = high.astype(np.uint16) << 8 | low
    alpha = None
    if mode in ("LA", "RGBA", "RGBa"):
        values, alpha = values[..., :-1], values[..., -1]
        if mode == "RGBa":
            values = values * (65535 / np.maximum(alpha, 1)[..., None])
            values = np.minimum(np.round(values), 65535).astype(np.uint16)
        alpha = Image.fromarray(grey_levels(alpha, Counter()))
    elif isinstance(image.info.get("transparency"), tuple):
        alpha = _opaque(values != np.array(image.info["transparency"]))
    levels = grey_levels(values[..., :3], notes)
    return Image.fromarray(levels[..., 0] if mode == "LA" else levels), alpha


def _reread(file, layout):
    """Values of a file as if their layout were another one of the same size."""
    with Image.open(_source(file)) as image:
        tiles = []
        for tile in image.tile:
            rest = tile.args[1:] if isinstance(tile.args, tuple) else ()
            tiles.append(tile._replace(args=(layout, *rest)))
        image.tile = tiles
        return np.asarray(image)


def grey_levels(
    values: np.ndarray, notes: Counter, bits: int | None = None
) -> np.ndarray:
    """Values of any depth as uint8 of the same shape.

    Unsigned integers of b bits are divided by 2^b - 1 and signed ones by 2^(b-1) - 1,
    whatever values occur; floats are numbers in [0, 1]. bits: those of a value without
    the sign, where the file uses fewer than the array's type. Raises UserError, which
    states the range, for values outside.
    """
    if values.dtype == np.uint8 and bits in (None, 8):
        return values
    kind = values.dtype.kind
    if kind == "b" or not values.size:
        return values.astype(np.uint8) * 255
    low, high = values.min(), values.max()
    if kind == "f":
        if not (low >= 0 and high <= 1):
            raise UserError(
                f"its values are from {low:g} to {high:g}, and floating-point values "
                "must be from 0 (black) to 1 (white)"
            )
        return np.round(np.multiply(values, 255, dtype=float)).astype(np.uint8)
    if low < 0:
        raise UserError(
            f"its values are from {low} to {high}, and integers must be 0 (black) or "
            "more"
        )
    bits = bits or values.dtype.itemsize * 8 - (kind == "i")
    if bits > 8 and 0 < int(high).bit_length() <= bits - 4:
        notes["narrow"] += 1
    return np.round(values * (255 / (2**bits - 1))).astype(np.uint8)


@functools.lru_cache(maxsize=64)
def _converter(profile: bytes | None, mode: str):
    """Function of an image in L, RGB, CMYK or LAB that gives it in L or RGB of sRGB.

    profile: embedded ICC profile; None is the standard one of mode LAB. Returns None
    for a profile of sRGB. Raises PyCMSError for a damaged one or one of another mode.
    """
    if profile is None:
        source = ImageCms.createProfile("LAB")
    else:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "srgb" in ImageCms.getProfileDescription(source).lower():
            return None
    grey = mode == "L"
    # Without its optimization, slow and exact in dark levels, only for 256 values.
    flags = ImageCms.Flags.NOOPTIMIZE if grey else ImageCms.Flags.NONE
    target = ImageCms.createProfile("sRGB")
    transform = ImageCms.buildTransform(source, target, mode, "RGB", flags=flags)

    def convert(image: Image.Image) -> Image.Image:
        # None is the result of a change in place only.
        return cast("Image.Image", ImageCms.applyTransform(image, transform))

    if not grey:
        return convert
    ramp = convert(Image.frombytes("L", (256, 1), bytes(range(256))))
    levels = list(ramp.getchannel("G").tobytes())
    return lambda image: image.point(levels)


def _to_srgb(image, profile, notes):
    """An image in mode L, RGB, CMYK or LAB as sRGB, in mode L or RGB."""
    convert = None
    if image.mode == "LAB":
        convert = _converter(None, "LAB")
    elif profile:
        try:
            convert = _converter(profile, image.mode)
        except (ImageCms.PyCMSError, OSError):
            notes["profile"] += 1
    if convert:
        return convert(image)
    return image.convert("RGB") if image.mode == "CMYK" else image


def fit(image: Image.Image, data: Data, notes: Counter) -> np.ndarray:
    """A Pillow image of mode L or RGB, converted, cropped at the centre and resized.

    Returns uint8 [*data.sample_shape].
    """
    mode = "L" if data.channels == 1 else "RGB"
    notes["to_grey"] += image.mode != "L" and mode == "L"
    notes["to_colour"] += image.mode == "L" and mode == "RGB"
    image = image.convert(mode)
    height, width = data.height_and_width
    if image.size != (width, height):
        notes["cropped"] += image.width * height != image.height * width
        notes["enlarged"] += image.width < width or image.height < height
        method = Image.Resampling[data.resize.upper()]
        image = ImageOps.fit(image, (width, height), method=method)
    return np.asarray(image).reshape(data.sample_shape)


def stack(images: list, data: Data) -> np.ndarray:
    """Fitted images as one uint8 [n, *data.sample_shape]."""
    return np.stack(images) if images else np.zeros((0, *data.sample_shape), np.uint8)


def fit_arrays(images: np.ndarray, data: Data, notes: Counter) -> np.ndarray:
    """uint8 [n, height, width, 1 or 3] as uint8 [n, *data.sample_shape].

    Images that have this shape are returned unchanged.
    """
    if images.shape[1:] == data.sample_shape:
        return images
    if images.shape[3] == 1:
        images = images[..., 0]
    fitted = [fit(Image.fromarray(image), data, notes) for image in images]
    return stack(fitted, data)


def describe(notes: Counter, count: int) -> list[str]:
    """Lines for the user on what happened to the `count` images of `notes`."""
    lines = []
    if notes["files_of_pages"]:
        lines.append(
            f"{notes['files_of_pages']} of {count} image files have several pages or "
            f"frames, {notes['pages']} in all: the first one of each file is used"
        )
    for note, fact in {
        "cropped": "are of another aspect ratio and are cropped at the centre",
        "enlarged": "are smaller than the image size and are enlarged",
        "to_grey": "have three channels and are converted to grey",
        "to_colour": "are grey and are converted to three channels",
    }.items():
        if notes[note]:
            lines.append(f"{notes[note]} of {count} images {fact}")
    if notes["profile"]:
        lines.append(
            f"warning: the colour profile of {notes['profile']} of {count} images "
            "cannot be applied: their colours are taken as sRGB"
        )
    if notes["narrow"]:
        lines.append(
            f"warning: {notes['narrow']} of {count} images use at most 1/16 of the "
            "values of their depth, such as 12 bits in 16, and are dark: scale them to "
            "the whole range"
        )
    return lines
