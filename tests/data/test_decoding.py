import io
import struct
import zlib
from collections import Counter

import numpy as np
import pytest
from PIL import Image, ImageCms

from wgan_jax.config import Data
from wgan_jax.data.decoding import decode, describe, grey_levels, view
from wgan_jax.errors import UserError

GREY = np.random.default_rng(0).integers(0, 256, (5, 7), np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (5, 7, 3), np.uint8)
ALPHA = np.random.default_rng(2).integers(0, 256, (5, 7), np.uint8)
DEEP = np.random.default_rng(3).integers(0, 2**16, (5, 7), np.uint16)
DEEP_COLOUR = np.random.default_rng(4).integers(0, 2**16, (5, 7, 3), np.uint16)
DEEP_ALPHA = np.random.default_rng(5).integers(0, 2**16, (5, 7), np.uint16)


def over(colour, alpha, background=255):
    """Closed form of a colour with alpha in [0, 1] on a grey background."""
    alpha = np.asarray(alpha) / 255
    alpha = alpha[..., None] if np.ndim(colour) == 3 else alpha
    return np.round(colour * alpha + background * (1 - alpha))


def shown(file, background=255):
    """Pixels and notes of a file or encoded image."""
    notes = Counter()
    image = view(file, background, notes)
    assert image.mode in ("L", "RGB")
    return np.asarray(image).astype(int), notes


def saved(image, file_format, **options):
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def png(values, kind, depth, *chunks, interlaced=False):
    """A PNG file of its specification: colour type and bit depth of integer values."""
    height, width = values.shape[:2]

    def chunk(name, content):
        body = name + content
        return (
            struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))
        )

    rows = values.reshape(height, -1)
    if depth == 16:
        lines = [row.astype(">u2").tobytes() for row in rows]
    else:
        bits = np.unpackbits(rows.astype(np.uint8)[..., None], axis=-1)[
            ..., 8 - depth :
        ]
        lines = [np.packbits(line).tobytes() for line in bits.reshape(height, -1)]
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    content = zlib.compress(b"".join(b"\0" + line for line in lines))
    parts = [(b"IHDR", header), *chunks, (b"IDAT", content), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def tiff(
    values,
    photometric=1,
    sample_format=1,
    bits=None,
    order="<",
    deflate=False,
    extra=None,
):
    """A TIFF file of its specification. extra: meaning of the fourth sample."""
    height, width = values.shape[:2]
    samples = values.shape[2] if values.ndim == 3 else 1
    bits = bits or values.dtype.itemsize * 8
    content = values.astype(values.dtype.newbyteorder(order)).tobytes()
    if bits == 12:
        first, second = np.moveaxis(values.reshape(height, -1, 2), 2, 0).astype(int)
        packed = first >> 4, (first & 15) << 4 | second >> 8, second & 255
        content = np.stack(packed, -1).astype(np.uint8).tobytes()
    if deflate:
        content = zlib.compress(content)
    content += b"\0" * (len(content) % 2)
    tags = {256: width, 257: height, 258: [bits] * samples, 259: 8 if deflate else 1}
    tags |= {262: photometric, 273: 8, 277: samples, 278: height, 279: len(content)}
    tags |= {} if extra is None else {338: extra}
    tags |= {339: [sample_format] * samples}
    directory = struct.pack(order + "H", len(tags))
    for tag, value in tags.items():
        numbers = value if isinstance(value, list) else [value]
        packed = struct.pack(f"{order}{len(numbers)}H", *numbers)
        if len(packed) > 4:
            place = 8 + len(content)
            content += packed
            packed = struct.pack(order + "I", place)
        head = struct.pack(order + "HHI", tag, 3, len(numbers))
        directory += head + packed.ljust(4, b"\0")
    header = b"II*\0" if order == "<" else b"MM\0*"
    place = struct.pack(order + "I", 8 + len(content))
    return header + place + content + directory + b"\0" * 4


def scaled(values, top):
    return np.round(values * (255 / top))


PALETTE = np.random.default_rng(6).integers(0, 256, (4, 3), np.uint8)
INDEX = np.random.default_rng(7).integers(0, 4, (5, 7), np.uint8)
CMYK = np.random.default_rng(8).integers(0, 256, (5, 7, 4), np.uint8)
DEEP_RGBA = np.concatenate([DEEP_COLOUR, DEEP_ALPHA[..., None]], 2)
EVEN = DEEP[:, :6] >> 4


def palette_image():
    image = Image.new("P", (7, 5))
    image.putdata(INDEX.ravel().tolist())
    image.putpalette(PALETTE.tobytes())
    return image


def keyed(levels, hidden, background=255):
    return np.where(hidden, background, levels)


# Encoded image, and its pixels in closed form.
EXACT = {
    "1": (saved(Image.fromarray(GREY > 99), "PNG"), (GREY > 99) * 255),
    "L": (saved(GREY, "PNG"), GREY),
    "RGB": (saved(COLOUR, "PNG"), COLOUR),
    "LA": (saved(np.dstack([GREY, ALPHA]), "PNG"), over(GREY, ALPHA)),
    "RGBA": (saved(np.dstack([COLOUR, ALPHA]), "PNG"), over(COLOUR, ALPHA)),
    "P": (saved(palette_image(), "PNG"), PALETTE[INDEX]),
    "P, grey": (
        png(INDEX, 3, 2, (b"PLTE", bytes([9] * 3 + [200] * 9))),
        np.where(INDEX, 200, 9),
    ),
    "P, transparent index": (
        saved(palette_image(), "PNG", transparency=2),
        keyed(PALETTE[INDEX], (INDEX == 2)[..., None]),
    ),
    "P, alpha of each index": (
        saved(palette_image(), "PNG", transparency=bytes([0, 50, 200, 255])),
        over(PALETTE[INDEX], np.array([0, 50, 200, 255])[INDEX]),
    ),
    "P, GIF": (
        saved(palette_image(), "GIF", transparency=1),
        keyed(PALETTE[INDEX], (INDEX == 1)[..., None]),
    ),
    "CMYK": (
        saved(Image.fromarray(CMYK, "CMYK"), "TIFF"),
        np.round(
            (255 - CMYK[..., :3].astype(int)) * (255 - CMYK[..., 3:].astype(int)) / 255
        ),
    ),
    "L, tRNS": (
        png(GREY, 0, 8, (b"tRNS", struct.pack(">H", GREY[0, 0]))),
        keyed(GREY, GREY[0, 0] == GREY),
    ),
    "RGB, tRNS": (
        png(COLOUR, 2, 8, (b"tRNS", struct.pack(">3H", *COLOUR[0, 0]))),
        keyed(COLOUR, (COLOUR[0, 0] == COLOUR).all(-1, keepdims=True)),
    ),
    **{
        f"L of {depth} bits": (
            png(GREY >> 8 - depth, 0, depth),
            scaled(GREY >> 8 - depth, 2**depth - 1),
        )
        for depth in (1, 2, 4)
    },
    **{
        f"L of {depth} bits, tRNS": (
            png(GREY >> 8 - depth, 0, depth, (b"tRNS", struct.pack(">H", 1))),
            keyed(scaled(GREY >> 8 - depth, 2**depth - 1), GREY >> 8 - depth == 1),
        )
        for depth in (1, 2, 4)
    },
    "16-bit PNG": (png(DEEP, 0, 16), scaled(DEEP, 65535)),
    "16-bit PNG, tRNS": (
        png(DEEP, 0, 16, (b"tRNS", struct.pack(">H", DEEP[0, 0]))),
        keyed(scaled(DEEP, 65535), DEEP[0, 0] == DEEP),
    ),
    "16-bit RGB PNG": (png(DEEP_COLOUR, 2, 16), scaled(DEEP_COLOUR, 65535)),
    "16-bit RGB PNG, tRNS": (
        png(DEEP_COLOUR, 2, 16, (b"tRNS", struct.pack(">3H", *DEEP_COLOUR[0, 0]))),
        keyed(
            scaled(DEEP_COLOUR, 65535),
            (DEEP_COLOUR[0, 0] == DEEP_COLOUR).all(-1, keepdims=True),
        ),
    ),
    "16-bit LA PNG": (
        png(np.dstack([DEEP, DEEP_ALPHA]), 4, 16),
        over(scaled(DEEP, 65535), scaled(DEEP_ALPHA, 65535)),
    ),
    "16-bit RGBA PNG": (
        png(DEEP_RGBA, 6, 16),
        over(scaled(DEEP_COLOUR, 65535), scaled(DEEP_ALPHA, 65535)),
    ),
    "PBM": (b"P4 7 5\n" + np.packbits(GREY > 99, axis=1).tobytes(), (GREY <= 99) * 255),
    "plain PBM": (
        b"P1 #c\n7 5\n" + b" ".join(b"%d" % v for v in (GREY > 99).ravel()),
        (GREY <= 99) * 255,
    ),
    "PGM": (b"P5\n# a comment\n7 5\n255\n" + GREY.tobytes(), GREY),
    "plain PGM": (b"P2 7 5 255 " + b" ".join(b"%d" % v for v in GREY.ravel()), GREY),
    "PGM to 99": (b"P5 7 5 99\n" + (GREY % 100).tobytes(), scaled(GREY % 100, 99)),
    "PGM to 65535": (
        b"P5 7 5 65535\n" + DEEP.astype(">u2").tobytes(),
        scaled(DEEP, 65535),
    ),
    "PGM to 4095": (
        b"P5 7 5 4095\n" + (DEEP >> 4).astype(">u2").tobytes(),
        scaled(DEEP >> 4, 4095),
    ),
    "plain PGM to 4095": (
        b"P2 7 5 4095 " + b" ".join(b"%d" % v for v in (DEEP >> 4).ravel()),
        scaled(DEEP >> 4, 4095),
    ),
    "PPM": (b"P6 7 5 255 " + COLOUR.tobytes(), COLOUR),
    "plain PPM": (
        b"P3 7 5 255 " + b" ".join(b"%d" % v for v in COLOUR.ravel()),
        COLOUR,
    ),
    "PPM to 65535": (
        b"P6 7 5 65535\n" + DEEP_COLOUR.astype(">u2").tobytes(),
        scaled(DEEP_COLOUR, 65535),
    ),
    "TIFF, white is 0": (tiff(GREY, photometric=0), 255 - GREY.astype(int)),
    "int8 TIFF": (
        tiff((GREY >> 1).astype(np.int8), sample_format=2),
        scaled(GREY >> 1, 127),
    ),
    "12-bit TIFF": (tiff(EVEN, bits=12), scaled(EVEN, 4095)),
    "16-bit TIFF, big-endian": (tiff(DEEP, order=">"), scaled(DEEP, 65535)),
    "16-bit TIFF, white is 0": (tiff(DEEP, photometric=0), 255 - scaled(DEEP, 65535)),
    "int16 TIFF": (
        tiff((DEEP >> 1).astype(np.int16), sample_format=2),
        scaled(DEEP >> 1, 32767),
    ),
    "uint32 TIFF": (
        tiff(DEEP.astype(np.uint32) << 16),
        scaled(DEEP.astype(float) * 65536, 2**32 - 1),
    ),
    "int32 TIFF": (
        tiff(DEEP.astype(np.int32) << 15, sample_format=2),
        scaled(DEEP.astype(float) * 2**15, 2**31 - 1),
    ),
    "float TIFF": (tiff(np.float32(GREY / 255), sample_format=3), GREY),
    "float TIFF, big-endian": (
        tiff(np.float32(GREY / 255), sample_format=3, order=">"),
        GREY,
    ),
    "float TIFF, white is 0": (
        tiff(np.float32(GREY / 255), 0, sample_format=3),
        255 - GREY.astype(int),
    ),
    "RGBX TIFF": (tiff(np.dstack([COLOUR, ALPHA]), 2, extra=0), COLOUR),
    "RGBA TIFF": (tiff(np.dstack([COLOUR, ALPHA]), 2, extra=2), over(COLOUR, ALPHA)),
    "LA TIFF": (tiff(np.dstack([GREY, ALPHA]), 1, extra=2), over(GREY, ALPHA)),
    "16-bit RGB TIFF": (tiff(DEEP_COLOUR, 2), scaled(DEEP_COLOUR, 65535)),
    "16-bit RGB TIFF, big-endian": (
        tiff(DEEP_COLOUR, 2, order=">"),
        scaled(DEEP_COLOUR, 65535),
    ),
    "16-bit RGBX TIFF": (tiff(DEEP_RGBA, 2, extra=0), scaled(DEEP_COLOUR, 65535)),
    "16-bit RGBA TIFF": (
        tiff(DEEP_RGBA, 2, extra=2),
        over(scaled(DEEP_COLOUR, 65535), scaled(DEEP_ALPHA, 65535)),
    ),
}


@pytest.mark.parametrize("name", EXACT)
def test_pixels_of_a_mode_have_a_closed_form(name):
    encoded, expected = EXACT[name]
    pixels, _ = shown(encoded)
    np.testing.assert_array_equal(pixels, expected)


TRUE = np.maximum(ALPHA, 1)
PREMULTIPLIED = np.round(COLOUR * (TRUE[..., None] / 255)).astype(np.uint8)
DEEP_TRUE = np.maximum(DEEP_ALPHA, 1)
DEEP_PREMULTIPLIED = (DEEP_COLOUR * (DEEP_TRUE[..., None] / 65535)).astype(np.uint16)


def flat(mode, *colour):
    return Image.new(mode, (8, 8), colour)


# The same, where decoder or format round once more: pixels differ by at most 1.
ROUNDED = {
    "RGBa TIFF": (
        tiff(np.dstack([PREMULTIPLIED, TRUE]), 2, extra=1),
        PREMULTIPLIED + 255.0 - TRUE[..., None],
    ),
    "La TIFF": (
        tiff(np.dstack([PREMULTIPLIED[..., 0], TRUE]), 1, extra=1),
        PREMULTIPLIED[..., 0] + 255.0 - TRUE,
    ),
    "16-bit RGBa TIFF": (
        tiff(np.dstack([DEEP_PREMULTIPLIED, DEEP_TRUE]), 2, extra=1),
        scaled(DEEP_PREMULTIPLIED + 65535.0 - DEEP_TRUE[..., None], 65535),
    ),
    "16-bit CMYK TIFF": (tiff(CMYK.astype(np.uint16) * 257, 5), EXACT["CMYK"][1]),
    # Adobe's programs store 255 - C, and so does Pillow.
    "CMYK JPEG": (
        saved(flat("CMYK", 10, 200, 30, 55), "JPEG", quality=100),
        np.broadcast_to((255 - np.array([10, 200, 30])) * 200 / 255, (8, 8, 3)),
    ),
    "YCbCr JPEG": (
        saved(flat("YCbCr", 100, 128, 178), "JPEG", quality=100),
        np.broadcast_to([100 + 1.402 * 50, 100 - 0.714 * 50, 100], (8, 8, 3)),
    ),
    # L* of 50 % is the grey level 119 of sRGB.
    "LAB TIFF": (saved(flat("LAB", 128, 128, 128), "TIFF"), np.full((8, 8, 3), 119)),
}


@pytest.mark.parametrize("name", ROUNDED)
def test_pixels_of_other_modes_are_right_to_one_level(name):
    encoded, expected = ROUNDED[name]
    pixels, _ = shown(encoded)
    assert np.abs(pixels - expected).max() <= 1


@pytest.mark.parametrize("background", [0, 77])
def test_alpha_is_composited_on_the_background(background):
    rgba = np.dstack([COLOUR, ALPHA])
    pixels, _ = shown(saved(rgba, "PNG"), background)
    np.testing.assert_array_equal(pixels, over(COLOUR, ALPHA, background))
    pixels, _ = shown(saved(np.dstack([GREY, ALPHA]), "PNG"), background)
    np.testing.assert_array_equal(pixels, over(GREY, ALPHA, background))


FLOATS = np.float32(GREY / 255)
REFUSED = {
    "floats": (
        tiff(FLOATS * 3 - 1, sample_format=3),
        "from -0.952941 to 1.91765, and floating-point values must be from 0",
    ),
    "not a number": (tiff(FLOATS * np.nan, sample_format=3), "from nan to nan"),
    "int8": (tiff(np.int8(GREY - 128.0), sample_format=2), "must be 0 (black) or more"),
    "int16": (
        tiff(np.int16(GREY - 9.0), sample_format=2),
        "from -5 to 239",
    ),
    "int32": (
        tiff(np.int32(GREY - 9.0), sample_format=2),
        "from -5 to 239",
    ),
    "10 bits": (tiff(EVEN, bits=10), "of a kind that Pillow cannot read"),
    "float RGB": (tiff(np.float32(COLOUR), 2, sample_format=3), "Pillow cannot read"),
    "text": (b"no image", "not an image"),
    "nothing": (b"", "not an image"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_images_without_a_defined_look_are_refused(name):
    encoded, reason = REFUSED[name]
    with pytest.raises(UserError) as error:
        shown(encoded)
    assert reason in str(error.value)


def test_16_bit_planes_are_refused():
    planes = tiff(DEEP_COLOUR, 2).replace(
        struct.pack("<HHIHH", 278, 3, 1, 5, 0), struct.pack("<HHIHH", 284, 3, 1, 2, 0)
    )
    with pytest.raises(UserError, match="separate planes are not supported"):
        shown(planes)


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize(
    ("values", "file_format"),
    [
        (GREY, "PNG"),
        (COLOUR, "TIFF"),
        (np.dstack([COLOUR, ALPHA]), "PNG"),
        (DEEP, "PNG"),
    ],
    ids=["grey", "TIFF", "alpha", "deep"],
)
def test_the_exif_tag_turns_every_mode(values, file_format, turn):
    exif = Image.Exif()
    exif[0x0112] = turn
    straight, _ = shown(saved(values, file_format))
    turned, _ = shown(saved(values, file_format, exif=exif))
    # By the standard: place of row 0 and column 0 in the picture shown.
    expected = straight.swapaxes(0, 1) if turn > 4 else straight
    if turn in (3, 4, 7, 8):
        expected = expected[::-1]
    if turn in (2, 3, 6, 7):
        expected = expected[:, ::-1]
    np.testing.assert_array_equal(turned, expected)


# ----------------------------------------------------------------------------- profiles

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def swapped_profile():
    """A profile of a screen whose red is green, and whose green is red."""
    name = "sRGB".encode("utf-16-be")
    profile = SRGB.replace(name, "sXYZ".encode("utf-16-be"))
    return (
        profile.replace(b"rXYZ", b"?").replace(b"gXYZ", b"rXYZ").replace(b"?", b"gXYZ")
    )


def test_an_embedded_profile_is_applied():
    pixels, notes = shown(saved(COLOUR, "PNG", icc_profile=swapped_profile()))
    assert np.abs(pixels - COLOUR[..., [1, 0, 2]].astype(int)).max() <= 2
    assert not +notes
    rgba = saved(np.dstack([COLOUR, ALPHA]), "PNG", icc_profile=swapped_profile())
    expected = over(COLOUR[..., [1, 0, 2]], ALPHA)
    assert np.abs(shown(rgba)[0] - expected).max() <= 2


def linear_profile():
    """A profile of grey levels that are proportional to light, by its specification."""
    d50 = struct.pack(">3I", 0xF6D6, 0x10000, 0xD32D)
    tags = {
        b"desc": b"desc" + struct.pack(">4xI", 7) + b"linear\0" + bytes(81),
        b"wtpt": b"XYZ " + bytes(4) + d50,
        b"kTRC": b"curv" + bytes(8),
    }
    place, table = 132 + 12 * len(tags), struct.pack(">I", len(tags))
    for name, tag in tags.items():
        table += name + struct.pack(">II", place, len(tag))
        place += len(tag)
    head = struct.pack(">I4xI", place, 0x02100000) + b"mntrGRAYXYZ " + bytes(12)
    head = (head + b"acsp" + bytes(28) + d50).ljust(128, b"\0")
    return head + table + b"".join(tags.values())


def test_a_profile_of_grey_is_applied_and_leaves_grey():
    pixels, notes = shown(saved(GREY, "PNG", icc_profile=linear_profile()))
    light = GREY / 255
    curve = np.where(
        light < 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055
    )
    np.testing.assert_allclose(pixels, 255 * curve, atol=0.51)
    assert not +notes


def test_the_profile_of_srgb_changes_nothing():
    pixels, notes = shown(saved(COLOUR, "PNG", icc_profile=SRGB))
    np.testing.assert_array_equal(pixels, COLOUR)
    assert not +notes


@pytest.mark.parametrize("profile", [b"no profile", SRGB[:200]])
def test_a_damaged_profile_is_ignored_and_reported(profile):
    pixels, notes = shown(saved(COLOUR, "PNG", icc_profile=profile))
    np.testing.assert_array_equal(pixels, COLOUR)
    (line,) = describe(notes, 3)
    assert line.startswith("warning: the colour profile of 1 of 3 images cannot be")


# ---------------------------------------------------------------------------- reporting


@pytest.mark.parametrize("file_format", ["GIF", "TIFF", "PNG", "WEBP"])
def test_the_first_page_of_a_file_is_used_and_reported(file_format):
    frames = [Image.fromarray(np.roll(COLOUR, shift)) for shift in range(3)]
    frames = [f.quantize() for f in frames] if file_format == "GIF" else frames
    options = {"lossless": True} if file_format == "WEBP" else {}
    first, _ = shown(saved(frames[0], file_format, **options))
    more = {"save_all": True, "append_images": frames[1:]}
    pixels, notes = shown(saved(frames[0], file_format, **options, **more))
    np.testing.assert_array_equal(pixels, first)
    assert describe(notes, 5) == [
        "1 of 5 image files have several pages or frames, 3 in all: the first one of "
        "each file is used"
    ]


def test_few_bits_in_a_deep_file_bring_a_warning():
    notes = Counter()
    view(png(DEEP, 0, 16), 255, notes)
    view(png(DEEP & 0, 0, 16), 255, notes)
    assert not describe(notes, 2)
    view(png(DEEP >> 4, 0, 16), 255, notes)
    view(tiff(GREY.astype(np.uint32)), 255, notes)
    view(png(DEEP_COLOUR >> 4, 2, 16), 255, notes)
    (line,) = describe(notes, 5)
    assert line.startswith("warning: 3 of 5 images use at most 1/16 of the values")


def test_cropped_and_enlarged_images_are_reported():
    notes = Counter()
    for width, height in ((8, 8), (9, 9), (7, 7), (7, 20), (16, 9)):
        data = Data(image_size=8, channels=1)
        decode(saved(np.zeros((height, width), np.uint8), "PNG"), data, notes)
    assert describe(notes, 5) == [
        "2 of 5 images are of another aspect ratio and are cropped at the centre",
        "2 of 5 images are smaller than the image size and are enlarged",
    ]


def test_images_are_cropped_to_the_shape_of_a_rectangle_at_the_centre():
    image = np.random.default_rng(0).integers(0, 256, (4, 8), np.uint8)
    halved = image.reshape(2, 2, 4, 2).mean((1, 3))
    for size, expected, cropped in (
        ((4, 8), image, 0),
        ((4, 4), image[:, 2:6], 1),
        ((2, 8), image[1:3], 1),
        ((2, 4), halved, 0),
    ):
        notes = Counter()
        data = Data(image_size=size, channels=1, resize="box")
        pixels = decode(saved(image, "PNG"), data, notes)
        # A resized image is rounded twice.
        np.testing.assert_allclose(pixels[..., 0], expected, atol=1)
        assert (notes["cropped"], notes["enlarged"]) == (cropped, 0)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([False, True], [0, 255]),
        (np.array([0, 7, 255], np.uint8), [0, 7, 255]),
        (np.array([0, 257, 65535], np.uint16), [0, 1, 255]),
        (np.array([0, 127], np.int8), [0, 255]),
        (np.array([0, 2**31, 2**32 - 1], np.uint32), [0, 128, 255]),
        (np.array([0, 2**31 - 1], np.int32), [0, 255]),
        (np.array([0, 0.2, 1], np.float16), [0, 51, 255]),
        ([0, 0.5, 1.0], [0, 128, 255]),
        (np.zeros(0, np.float32), []),
    ],
)
def test_values_of_every_type_become_grey_levels(values, expected):
    levels = grey_levels(np.asarray(values), Counter())
    assert levels.dtype == np.uint8
    assert levels.tolist() == expected
