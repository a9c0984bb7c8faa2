"""Setup."""

import jax

from wgan_jax.algorithm.state import make_spec
from wgan_jax.config import Config
from wgan_jax.data import stream
from wgan_jax.data.batches import make_get_batch, make_get_block_batch
from wgan_jax.distributed import processes
from wgan_jax.distributed.sharding import ONE_DEVICE, BatchSharding
from wgan_jax.errors import UserError

# Of a stream, the images that diagnostics are drawn from.
SEEN = 2048


def prepare(cfg: Config, sharding: BatchSharding = ONE_DEVICE):
    """(dataset, samples, spec) of a configuration: what its steps need but a state.

    samples: what `Spec.draw` takes batches from, on every device; where the dataset is
    a stream, zeros of the same shapes, to compile for.
    """
    if sharding.count > 1:
        where = f" of {jax.process_count()} processes" * (jax.process_count() > 1)
        print(
            f"{sharding.count} devices{where} share each batch of {cfg.data.batch_size}"
        )
    labelled = bool(cfg.model.classes)
    dataset = stream.load(cfg, sharding)
    if dataset.stream:
        print(dataset.stream)
        samples = dataset.stream.blank_block(sharding, processes.index_and_count())
        draw = make_get_block_batch(cfg.data, labelled)
    else:
        samples = sharding.put_dataset(_samples(cfg, dataset))
        draw = make_get_batch(cfg.data, len(dataset.train), labelled)
    return dataset, samples, make_spec(cfg, draw, sharding)


def seen(cfg, spec, dataset, samples):
    """(draw, samples) of what `Look` sees: of a stream, a few that stay on the device.

    samples: what `prepare` gives.
    """
    if not dataset.stream or not cfg.run.diagnostics:
        return spec.get_batch, samples
    count = min(max(SEEN, cfg.data.batch_size), len(dataset.train))
    draw = make_get_batch(cfg.data, count, bool(cfg.model.classes))
    return draw, spec.sharding.replicate(dataset.stream.first(count))


def _samples(cfg, dataset):
    """What batches are drawn from: samples, with classes beside their labels."""
    classes, labels = cfg.model.classes, dataset.train_labels
    if not classes:
        return dataset.train
    if labels is None:
        raise UserError(
            f"model.classes={classes} needs labels, which data.source="
            f"{cfg.data.source} does not have here: take model.classes=0"
        )
    if labels.max() >= classes:
        raise UserError(
            f"model.classes={classes} is too few for the labels, which go up to "
            f"{labels.max()}: take model.classes={labels.max() + 1}"
        )
    return dataset.train, labels
