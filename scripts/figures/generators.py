"""WGAN and GAN with three generators and one DCGAN critic (WGAN, Figs. 5 to 7).

Claim of the paper: both make good samples with a DCGAN generator; without BatchNorm and
with a constant number of filters, or with an MLP, the WGAN still does, while the GAN
fails or collapses to few images; no WGAN ever collapsed.

Choices of this figure: Fashion-MNIST instead of LSUN, so one grey channel; the constant
generator has no norm and the base width in every layer; MLPs have four hidden ReLU
layers and tanh. quick: 32x32, base width 16, MLP 4x256, RMSprop at 5e-4 instead of
5e-5. full: the paper's 64x64, width 64, MLP 4x512, rate 5e-5; the paper does not give
the number of updates, here 200,000. The GAN has DCGAN's Adam (2e-4, 0.5) and one critic
update per step.
"""

import matplotlib.pyplot as plt

from figures import training
from wgan_jax import pictures
from wgan_jax.runs.sampling import make_sampler, noise, weights

SIZES = training.sizes(
    tiny={"steps": 4, "every": 2, "count": 32, "rate": 5e-4},
    quick={"steps": 400, "every": 50, "count": 1000, "rate": 5e-4},
    full={"steps": 200_000, "every": 1000, "count": 5000, "rate": 5e-5},
)
GENERATORS = {
    "dcgan": "DCGAN",
    "constant": "constant width, no BatchNorm",
    "mlp": "MLP, 4 ReLU layers",
}
OBJECTIVES = ("wgan", "gan")
COLUMNS, ROWS = 10, 6


def compute(size, seed, options):
    """Quality by seed and samples of the first, by objective and generator."""
    form = SIZES[size]
    data_config, dataset = training.load(
        "fashion_mnist", size, options, form, form["count"]
    )
    quality, real = training.make_quality(dataset, form["count"])
    *keys, _ = training.seed_keys(seed, form["seeds"])
    panels = []
    for kind in OBJECTIVES:
        for generator in GENERATORS:
            model = training.image_model(generator, "dcgan", form)
            config = training.image_config(kind, data_config, model, form["rate"])
            spec, train = training.make_trainer(config, dataset.train)
            sampler = make_sampler(config, spec)
            z = noise(seed, form["count"], spec.z_dim)
            measures = []
            for i, key in enumerate(keys):
                label = f"{kind} {generator} {i}"
                for step, state, _ in train(key, form["steps"], form["every"], label):
                    if step == form["steps"]:
                        samples = sampler(*weights(state), z)
                if i == 0:
                    grid = pictures.grid(samples[: COLUMNS * ROWS], COLUMNS)
                measures.append(quality(samples))
            panel = {"objective": kind, "generator": generator, "seeds": measures}
            panels.append(panel | {"png": training.to_text(grid)})
    return {"form": form, "real": real, "panels": panels}


def summary(panel, measure, digits=2):
    """Mean and standard deviation over the seeds of a measure of a panel, as text."""
    return training.mean_std_text([row[measure] for row in panel["seeds"]], digits)


def draw(numbers):
    """Grids of samples: WGAN above GAN, one column per generator."""
    figure, grid = plt.subplots(
        len(OBJECTIVES), len(GENERATORS), figsize=(15, 8), layout="constrained"
    )
    for axes, panel in zip(grid.flat, numbers["panels"]):
        training.show(axes, panel["png"])
        axes.set_title(
            f"{panel['objective'].upper()}: {GENERATORS[panel['generator']]}\n"
            f"Frechet {summary(panel, 'frechet', 1)}, diversity "
            f"{summary(panel, 'diversity')}, nearest {summary(panel, 'nearest')}",
            fontsize=10,
        )
    figure.suptitle(
        f"After {numbers['form']['steps']:,} generator updates; held-out images: "
        f"Frechet {numbers['real']['frechet']:.1f}, diversity 1, nearest 1"
    )
    return figure


def finding(numbers):
    """Sentence for the table."""
    rows = []
    for kind in OBJECTIVES:
        panels = [p for p in numbers["panels"] if p["objective"] == kind]
        cells = [
            f"{p['generator']} {summary(p, 'frechet', 1)}, {summary(p, 'diversity')}"
            for p in panels
        ]
        rows.append(f"{kind.upper()}: {'; '.join(cells)}")
    return (
        f"Frechet distance (real images {numbers['real']['frechet']:.1f}) and "
        f"diversity (real images 1), {numbers['form']['seeds']} seeds: "
        f"{'. '.join(rows)}"
    )
