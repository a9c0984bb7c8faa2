"""WGAN against GAN on three generators, one DCGAN critic (WGAN, Figs. 5 to 7).

The paper: both make good samples with a DCGAN generator; without BatchNorm and with a
constant number of filters, or with an MLP, the WGAN still does, the GAN fails or
collapses to few images; no WGAN ever collapsed.

Left open there, or chosen: Fashion-MNIST in place of LSUN, so one grey channel; the
constant generator has no norm and the base width in every layer; MLPs have four hidden
ReLU layers and tanh. quick: 32x32, base width 16, MLP 4x256, RMSprop at 5e-4 in place
of 5e-5. full: the paper's 64x64, width 64, MLP 4x512, rate 5e-5; it does not print
the number of updates, here 200,000. The GAN is Adam's as DCGAN has it (2e-4, 0.5), one
critic update a step.
"""

import matplotlib.pyplot as plt

from figures import training
from wgan_jax import pictures
from wgan_jax.runs.sampling import make_sampler, noise, weights

SIZES = {
    "tiny": {
        "seeds": 2, "steps": 4, "every": 2, "count": 32, "image_size": 8,
        "features": 4, "units": 8, "rate": 5e-4, "batch_size": 16,
    },
    "quick": {
        "seeds": 3, "steps": 400, "every": 50, "count": 1000, "image_size": 32,
        "features": 16, "units": 256, "rate": 5e-4, "batch_size": 64,
    },
    "full": {
        "seeds": 3, "steps": 200_000, "every": 1000, "count": 5000, "image_size": 64,
        "features": 64, "units": 512, "rate": 5e-5, "batch_size": 64,
    },
}  # fmt: skip
GENERATORS = {
    "dcgan": "DCGAN",
    "constant": "constant width, no BatchNorm",
    "mlp": "MLP, 4 ReLU layers",
}
OBJECTIVES = ("wgan", "gan")
MEASURES = ("frechet", "diversity", "nearest")
COLUMNS, ROWS = 10, 6


def compute(size, seed, options):
    """Measures over the seeds and a sheet of the first, by objective and generator."""
    form = SIZES[size]
    source, dataset = training.load("fashion_mnist", size, options, form, form["count"])
    quality, real = training.make_quality(dataset, form["count"])
    *keys, _ = training.seed_keys(seed, form["seeds"])
    panels = []
    for kind in OBJECTIVES:
        for generator in GENERATORS:
            model = training.image_model(
                generator, "dcgan", form["features"], form["units"], form["image_size"]
            )
            config = training.image_config(kind, source, model, form["rate"])
            spec, train = training.make_trainer(config, dataset.train)
            sampler = make_sampler(config, spec)
            z = noise(seed, form["count"], spec.z_dim)
            found = []
            for i, key in enumerate(keys):
                label = f"{kind} {generator} {i}"
                for step, state, _ in train(key, form["steps"], form["every"], label):
                    if step == form["steps"]:
                        samples = sampler(*weights(state), z)
                if i == 0:
                    sheet = pictures.grid(samples[: COLUMNS * ROWS], COLUMNS)
                found.append(quality(samples))
            panels.append(
                {"objective": kind, "generator": generator, "seeds": found}
                | {"png": training.to_text(sheet)}
            )
    return {"form": form, "real": real, "panels": panels}


def told(panel, measure, digits=2):
    """A measure of a panel, mean and deviation over the seeds."""
    return training.mean_and_deviation([f[measure] for f in panel["seeds"]], digits)


def draw(numbers):
    """Sample sheets: WGAN above, GAN below, a column a generator."""
    figure, grid = plt.subplots(
        len(OBJECTIVES), len(GENERATORS), figsize=(15, 8), layout="constrained"
    )
    for axes, panel in zip(grid.flat, numbers["panels"]):
        training.show(axes, panel["png"])
        axes.set_title(
            f"{panel['objective'].upper()}: {GENERATORS[panel['generator']]}\n"
            f"Frechet {told(panel, 'frechet', 1)}, diversity "
            f"{told(panel, 'diversity')}, nearest {told(panel, 'nearest')}",
            fontsize=10,
        )
    figure.suptitle(
        f"After {numbers['form']['steps']:,} generator updates; held-out images have "
        f"Frechet {numbers['real']['frechet']:.1f}, diversity 1, nearest 1"
    )
    return figure


def finding(numbers):
    """One line for the table."""
    rows = []
    for kind in OBJECTIVES:
        panels = [p for p in numbers["panels"] if p["objective"] == kind]
        cells = [
            f"{p['generator']} {told(p, 'frechet', 1)}, {told(p, 'diversity')}"
            for p in panels
        ]
        rows.append(f"{kind.upper()}: {'; '.join(cells)}")
    return (
        f"Frechet distance (real images {numbers['real']['frechet']:.1f}) and "
        f"diversity (real images 1), {numbers['form']['seeds']} seeds: "
        f"{'. '.join(rows)}"
    )
