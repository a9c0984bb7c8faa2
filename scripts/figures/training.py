"""Image GANs trained for a figure, and sample quality without a trained network.

Distances are between pixels in [0, 1]. They rank samples of one data set and do not
measure how the samples look to people.
"""

import base64
import io
import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
from PIL import Image
from rich.progress import track
from scipy.spatial.distance import pdist, squareform

from wgan_jax.algorithm.state import init_state, make_spec
from wgan_jax.algorithm.steps import train_chunk
from wgan_jax.config import Config, Data, Model, Objective, Optimizer
from wgan_jax.data.batches import make_get_batch
from wgan_jax.data.dataset import Dataset, load_in_memory
from wgan_jax.errors import UserError
from wgan_jax.files import read_json, write_json
from wgan_jax.metrics.transport import sliced_wasserstein
from wgan_jax.runs import directory
from wgan_jax.validation import validate

# --------------------------------------------------------------------------- training

# Common settings of the image figures, by form.
SIZES = {
    "tiny": {
        "seeds": 2,
        "image_size": 8,
        "features": 4,
        "units": 8,
        "batch_size": 16,
    },
    "quick": {
        "seeds": 3,
        "image_size": 32,
        "features": 16,
        "units": 256,
        "batch_size": 64,
    },
    "full": {
        "seeds": 3,
        "image_size": 64,
        "features": 64,
        "units": 512,
        "batch_size": 64,
    },
}


def sizes(**forms) -> dict:
    """Settings of a figure by form: those of the figure over the common ones."""
    return {name: SIZES[name] | form for name, form in forms.items()}


def chosen(sizes, size, options, parts="evaluations") -> dict:
    """The form of a size, with --seeds, --steps and --width in place of its settings.

    parts: the setting into which the steps are divided. Raises UserError where --steps
    is not a multiple of it.
    """
    typed = {
        "seeds": options.seeds,
        "steps": options.steps,
        "features": options.width,
    }
    form = sizes[size] | {name: value for name, value in typed.items() if value}
    if form["steps"] % form[parts]:
        raise UserError(
            f"--steps {form['steps']} must be a multiple of {form[parts]}, the number "
            f"of {parts}"
        )
    return form


def stored(path, compute) -> dict:
    """The numbers in a JSON file, or compute() and write them; path: None computes."""
    if path and path.exists():
        print(f"read from {path}")
        return read_json(path, "delete it, and it is computed again")
    numbers = compute()
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, numbers)
    return numbers


def run_fields(form, seed, chunk) -> dict:
    """Fields of a run of form["steps"], with form["evaluations"] checkpoints.

    chunk: the most steps in one call of the program.
    """
    every = form["steps"] // form["evaluations"]
    chunk = math.gcd(every, chunk)
    return {
        "run.seed": seed,
        "run.steps": form["steps"],
        "run.chunk": chunk,
        "run.log-every": chunk,
        "run.sample-every": every,
        "run.checkpoint-every": every,
        "run.keep-every": every,
    }


def check_finished(run) -> None:
    """Raises UserError where a run directory is not trained to its end."""
    step = max(directory.saved_steps(run), default=0)
    steps = directory.read_config(run).run.steps
    if step < steps:
        raise UserError(
            f"{run} stopped at step {step} of {steps}: the same command resumes it"
        )


def load(name, size, options, form, heldout) -> tuple[Data, Dataset]:
    """The TFDS data set `name`, or scikit-learn's digits in the tiny form.

    form: settings of the figure, with image_size and batch_size.
    """
    fields = {key: form[key] for key in ("image_size", "batch_size")}
    fields["heldout"] = heldout
    if size == "tiny":
        data_config = Data(source="digits", **fields)
    else:
        data_config = Data(
            source="tfds",
            name=name,
            test_split="test",
            tfds_dir=options.tfds_dir,
            resize="bilinear",
            **fields,
        )
    return data_config, load_in_memory(data_config)


def image_model(generator, critic, form) -> Model:
    """Networks of Arjovsky et al., section 4.

    generator: dcgan (BatchNorm, base width `features`), constant (`features` channels
    in every layer, no norm) or mlp (four ReLU layers of `units`); critic: dcgan
    (BatchNorm) or mlp. form: image_size, features and units.
    """
    features = form["features"]
    levels = (form["image_size"] // 4).bit_length() - 1
    pyramid = tuple(2**level for level in range(levels))
    hidden = (form["units"] // features,) * 4
    widths = {"dcgan": pyramid[::-1], "constant": (1,) * levels, "mlp": hidden}
    return Model(
        kind="mlp" if generator == "mlp" else "dcgan",
        critic_kind=critic,
        features=features,
        generator_widths=widths[generator],
        critic_widths={"dcgan": pyramid, "mlp": hidden}[critic],
        generator_norm="batch" if generator == "dcgan" else "none",
        critic_norm="batch" if critic == "dcgan" else "none",
        critic_activation="leaky_relu" if critic == "dcgan" else "relu",
        init="dcgan",
    )


def image_config(kind, data_config, model, rate) -> Config:
    """A clipped WGAN at learning rate `rate`, or a GAN with DCGAN's Adam."""
    if kind == "wgan":
        objective = Objective(constraint="clip", clip=0.01, n_critic=5)
        optimizer = Optimizer(kind="rmsprop", critic_lr=rate, generator_lr=rate)
    else:
        objective = Objective(kind="gan", constraint="none", n_critic=1)
        optimizer = Optimizer(
            kind="adam", critic_lr=2e-4, generator_lr=2e-4, beta1=0.5, beta2=0.999
        )
    return Config(
        data=data_config, model=model, objective=objective, optimizer=optimizer
    )


def make_trainer(config, samples):
    """(spec, train) for a configuration and its training images, uint8 [n, h, w, c].

    train(key, steps, every, label) yields (step, state, mean metrics) after every
    `every` generator updates. The next iteration donates the state to the device.
    """
    validate(config)
    spec = make_spec(config, make_get_batch(config.data, len(samples)))
    samples = jax.device_put(samples)
    init = jax.jit(partial(init_state, spec=spec))
    chunk = jax.jit(partial(train_chunk, spec=spec), donate_argnums=0)

    def train(key, steps, every, label):
        state = init(key)
        for step in track(range(every, steps + 1, every), label):
            state, metrics = chunk(state, samples, jnp.int32(every))
            yield step, state, {name: float(v) for name, v in metrics.items()}

    return spec, train


def seed_keys(seed, count):
    """One key for each of `count` runs, and one for the measurements."""
    return jax.random.split(jax.random.key(seed), count + 1)


# ---------------------------------------------------------------------------- quality


def make_quality(dataset, count, components=64):
    """(quality, real): quality(images) -> measures of `count` uint8 samples.

    frechet: squared Frechet distance of Gaussian fits of samples and training images in
    the space of the training images' first principal components. sliced: sliced W1 to
    held-out images, over all pixels. diversity: mean distance of two samples in the
    component space. nearest: mean distance of a sample to its nearest other. The last
    two are relative to those of held-out images; they fall when a generator collapses,
    but noise can keep them up. real: `frechet` of as many held-out images, its floor.
    """
    train, heldout = flat(dataset.train), flat(dataset.heldout[:count])
    # 10,000 images are enough for a fit of 64 dimensions.
    train = train[:: -(-len(train) // 10_000)]
    mean, axes = principal_axes(train, min(components, *train.shape))
    reference = fit((train - mean) @ axes)
    real_mean, real_nearest = pairwise((heldout - mean) @ axes)

    def quality(images):
        pixels = flat(images)
        points = (pixels - mean) @ axes
        between, nearest = pairwise(points)
        return {
            "frechet": frechet(*fit(points), *reference),
            "sliced": sliced_wasserstein(pixels, heldout),
            "diversity": between / real_mean,
            "nearest": nearest / real_nearest,
        }

    return quality, {"frechet": frechet(*fit((heldout - mean) @ axes), *reference)}


def flat(images) -> np.ndarray:
    """uint8 [n, ...] as float64 [n, d] in [0, 1]."""
    return images.reshape(len(images), -1) / 255.0


def principal_axes(x, count):
    """Mean [d] and the `count` directions [d, count] of largest variance of [n, d]."""
    mean, covariance = fit(x)
    last = len(mean) - 1
    _, axes = scipy.linalg.eigh(covariance, subset_by_index=[last + 1 - count, last])
    return mean, axes[:, ::-1]


def fit(x):
    """Mean [d] and covariance [d, d] of x [n, d]."""
    return x.mean(0), np.atleast_2d(np.cov(x, rowvar=False))


def frechet(mean_x, covariance_x, mean_y, covariance_y) -> float:
    """Squared W2 of two Gaussians: |m - n|^2 + tr(C + D - 2 (C^1/2 D C^1/2)^1/2).

    Eq. 4 of Dowson & Landau 1982, by eigenvalues of symmetric matrices only, so that
    singular covariances (a collapsed generator) are allowed.
    """
    values, vectors = scipy.linalg.eigh(covariance_x)
    root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    product = scipy.linalg.eigvalsh(root @ covariance_y @ root)
    cross = np.sqrt(np.maximum(product, 0)).sum()
    distance = np.square(mean_x - mean_y).sum()
    distance += np.trace(covariance_x) + np.trace(covariance_y) - 2 * cross
    return max(float(distance), 0.0)


def pairwise(points) -> tuple[float, float]:
    """Mean distance of two points of [n, d], and of a point to its nearest other."""
    distances = pdist(points)
    square = squareform(distances)
    np.fill_diagonal(square, np.inf)
    return float(distances.mean()), float(square.min(1).mean())


# ------------------------------------------------------------------- text and pictures


def mean_std_text(values, digits=2) -> str:
    """`0.93 +- 0.02` of numbers and None; only the mean of a single number."""
    known = np.array([v for v in values if v is not None], float)
    if not len(known):
        return "undefined"
    text = f"{known.mean():.{digits}f}"
    return text if len(known) < 2 else f"{text} +- {known.std(ddof=1):.{digits}f}"


def to_text(picture, kind="png") -> str:
    """uint8 [h, w, 1 or 3] as base64 text of a PNG or JPEG file, for JSON."""
    file = io.BytesIO()
    picture = picture[..., 0] if picture.shape[-1] == 1 else picture
    Image.fromarray(picture).save(file, kind)
    return base64.b64encode(file.getvalue()).decode()


def to_picture(text) -> np.ndarray:
    """Inverse of `to_text`, in RGB."""
    with Image.open(io.BytesIO(base64.b64decode(text))) as image:
        return np.asarray(image.convert("RGB"))


def show(axes, text):
    """Draws a picture from `to_text` without ticks."""
    axes.imshow(to_picture(text), interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
