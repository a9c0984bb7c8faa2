"""Samples to pictures: grids, scatter plots, files."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from wgan_jax.files import replacing

TOY_LIMITS = ((-2.2, 2.2), (-2.2, 2.2))


def to_uint8(samples, scale: str) -> np.ndarray:
    """float [n, h, w, c] in the range `scale` (of `data.scale`) to uint8, rounded."""
    x = np.asarray(samples, np.float32)
    x = (x + 1) / 2 if scale == "symmetric" else x
    return np.clip(np.round(x * 255), 0, 255).astype(np.uint8)


def grid(images: np.ndarray, columns: int = 0) -> np.ndarray:
    """uint8 [n, h, w, c] as one picture [rows (h+2)+2, columns (w+2)+2, c], row by row.

    columns: 0 takes the squarest grid. Cells without an image are white.
    """
    n, height, width, channels = images.shape
    columns = columns or int(np.ceil(np.sqrt(n)))
    rows = -(-n // columns)
    cells = np.full((rows, height + 2, columns, width + 2, channels), 255, np.uint8)
    for i, image in enumerate(images):
        cells[i // columns, 2:, i % columns, 2:] = image
    cells = cells.reshape(rows * (height + 2), columns * (width + 2), channels)
    return np.pad(cells, ((0, 2), (0, 2), (0, 0)), constant_values=255)


def scatter(
    fake: np.ndarray, real: np.ndarray, size: int = 512, limits=TOY_LIMITS
) -> np.ndarray:
    """Scatter plot [size, size, 3] of points [n, d], by their first two coordinates.

    Real points are grey, generated ones red. limits: `point_limits`; points outside are
    drawn on the edge.
    """
    picture = Image.new("RGB", (size, size), "white")
    draw = ImageDraw.Draw(picture)
    (left, bottom), (right, top) = np.transpose(limits)
    for points, colour, radius in (
        (real, (170, 170, 170), 2),
        (fake, (200, 30, 30), 1),
    ):
        places = (_plane(points) - [left, top]) / [right - left, bottom - top]
        for x, y in (size - 1) * np.clip(places, 0, 1):
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
    return np.asarray(picture)


def point_limits(real: np.ndarray) -> np.ndarray:
    """[[left, right], [bottom, top]] of a plot of points [n, d]: 99 % of them, and air.

    Both axes have one scale unless that of the points differs by more than 3. Without
    points, the limits contain every toy.
    """
    if not len(real):
        return np.array(TOY_LIMITS)
    low, high = np.quantile(_plane(real), [0.005, 0.995], axis=0)
    reach = 0.6 * (high - low)
    reach = np.where(reach > 0, reach, 1.0)
    if reach.max() <= 3 * reach.min():
        reach[:] = reach.max()
    middle = (low + high) / 2
    return np.stack([middle - reach, middle + reach], 1)


def _plane(points):
    """The first two coordinates; the second of points on a line is 0."""
    points = np.asarray(points, np.float64)[:, :2]
    return np.pad(points, ((0, 0), (0, 2 - points.shape[1])))


def caption(image: np.ndarray, text: str) -> np.ndarray:
    """`image`, uint8 [h, w, c], above a white strip with one line of text.

    An image narrower than the text is centred on white.
    """
    height, width, channels = image.shape
    size = int(np.clip(width // 24, 12, 32))
    font = ImageFont.load_default(size)
    wide = max(width, int(np.ceil(font.getlength(text))) + size)
    strip = Image.new("L", (wide, 2 * size), "white")
    ImageDraw.Draw(strip).text((wide / 2, size), text, "black", font, anchor="mm")
    result = np.full((height + 2 * size, wide, channels), 255, np.uint8)
    left = (wide - width) // 2
    result[:height, left : left + width] = image
    result[height:] = np.asarray(strip)[..., None]
    return result


def save_png(path, image: np.ndarray) -> None:
    """Writes uint8 [h, w, 1 or 3] as a PNG, whole or not at all."""
    picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    with replacing(path) as temporary:
        picture.save(temporary)


def save_film(path, frames: list[np.ndarray], milliseconds: list[int]) -> None:
    """Writes uint8 [h, w, 3] frames as a .gif or .webp film that repeats, or nothing.

    Frames smaller than the largest one get white below them and on both sides.
    milliseconds: duration of each frame.
    """
    height, width = np.max([frame.shape[:2] for frame in frames], axis=0)
    padded = []
    for frame in frames:
        below, across = height - frame.shape[0], width - frame.shape[1]
        edges = (0, below), (across // 2, across - across // 2), (0, 0)
        padded.append(Image.fromarray(np.pad(frame, edges, constant_values=255)))
    with replacing(path) as temporary:
        padded[0].save(
            temporary,
            save_all=True,
            append_images=padded[1:],
            duration=milliseconds,
            loop=0,
            quality=90,
        )


def interpolation(start: np.ndarray, end: np.ndarray, columns: int) -> np.ndarray:
    """Interpolation from rows of `start` to rows of `end`: [rows * columns, z_dim].

    Along great circles: normal noise of many dimensions is close to a sphere, and the
    middle of a straight line is not.
    """
    t = np.linspace(0, 1, columns)[None, :, None]
    a, b = start[:, None], end[:, None]
    lengths = [np.linalg.norm(v, axis=-1, keepdims=True) for v in (a, b)]
    cosine = (a * b).sum(-1, keepdims=True) / (lengths[0] * lengths[1])
    angle = np.arccos(np.clip(cosine, -1, 1))
    sine = np.sin(angle)
    # Points on one line through zero have no great circle, or every one.
    straight = np.abs(sine) < 1e-4
    sine = np.where(straight, 1.0, sine)
    weights = np.where(straight, 1 - t, np.sin((1 - t) * angle) / sine)
    path = weights * a + np.where(straight, t, np.sin(t * angle) / sine) * b
    return path.reshape(-1, start.shape[-1]).astype(np.float32)


def heat(values: np.ndarray) -> np.ndarray:
    """Heat map of values in [0, 1], [..., h, w] to uint8 [..., h, w, 3].

    The colours go from black over red and yellow to white.
    """
    channels = np.stack([3 * values, 3 * values - 1, 3 * values - 2], -1)
    return np.round(np.clip(channels, 0, 1) * 255).astype(np.uint8)


def curve(x, y, title: str, x_label: str, y_label: str) -> np.ndarray:
    """Plot [512, 512, 3] of a line through the points (x, y) of the unit square."""
    # Drawn at twice the size, so that the reduction smooths the line.
    size, left, top, side = 1024, 110, 120, 800
    picture = Image.new("RGB", (size, size), "white")
    draw = ImageDraw.Draw(picture)
    for tick in (0, 0.25, 0.5, 0.75, 1):
        across, down = left + side * tick, top + side * (1 - tick)
        draw.line((across, top, across, top + side), (225, 225, 225), 2)
        draw.line((left, down, left + side, down), (225, 225, 225), 2)
        text = {"fill": "black", "font_size": 28}
        draw.text((across, top + side + 10), f"{tick:g}", anchor="ma", **text)
        draw.text((left - 10, down), f"{tick:g}", anchor="rm", **text)
    draw.text((left + side, size - 12), x_label, anchor="rd", **text)
    draw.text((left, top - 15), y_label, anchor="ld", **text)
    draw.text((size / 2, 20), title, fill="black", font_size=36, anchor="ma")
    points = zip(left + side * np.asarray(x), top + side * (1 - np.asarray(y)))
    draw.line([tuple(point) for point in points], (200, 30, 30), 6, joint="curve")
    return np.asarray(picture.resize((size // 2, size // 2), Image.Resampling.BOX))
