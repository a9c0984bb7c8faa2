"""The encoder of f-AnoGAN: trained on a run's own images, and kept for next time."""

import dataclasses
import json
import zlib
from pathlib import Path

import jax
import numpy as np
import optax
from rich.progress import Progress, TextColumn

from wgan_jax.anogan import scoring
from wgan_jax.config import Config
from wgan_jax.data.batches import make_get_batch
from wgan_jax.data.dataset import load_dataset
from wgan_jax.nn.models import build_encoder

FILE = "encoder.npz"


def load_or_train(out: Path, config: Config, nets, arguments):
    """explain(x, places) -> latent points [n, z_dim], by the encoder in `out`.

    One that is of other weights, settings or options than these is trained anew.
    """
    network = build_encoder(config.model, config.data.sample_shape)
    key, key_data = jax.random.split(jax.random.key(arguments.seed))
    params, stats = network.init(key)

    def encode(params, x):
        return network.apply(params, stats, x, train=True)[0]

    facts = _facts(config, nets, arguments)
    found = _read(out / FILE, facts, params)
    if found is None:
        found = _train(config, nets, arguments, encode, params, key_data)
        _write(out / FILE, facts, found)
    encode_jit = jax.jit(encode)
    return lambda x, places: encode_jit(found, x)


def _train(config, nets, arguments, encode, params, key):
    train = load_dataset(config.data).train
    draw = make_get_batch(config.data, len(train))
    total = arguments.encoder_steps
    adam = optax.adam(optax.linear_schedule(arguments.encoder_lr, 0.0, total))

    @jax.jit
    def chunk(params, state, nets, samples, first, steps):
        def body(i, carry):
            x = draw(samples, key, first + i)
            return scoring.encoder_step(
                encode, *carry[:2], adam, *nets, x, arguments.kappa
            )

        return jax.lax.fori_loop(0, steps, body, (params, state, 0.0))

    state, length = adam.init(params), 10
    columns = (*Progress.get_default_columns(), TextColumn("loss {task.fields[loss]}"))
    with Progress(*columns, transient=True) as progress:
        task = progress.add_task("training the encoder", total=total, loss="")
        for first in range(0, total, length):
            steps = min(length, total - first)
            params, state, loss = chunk(params, state, nets, train, first, steps)
            progress.update(task, advance=steps, loss=f"{float(loss):.4g}")
    return params


def _facts(config, nets, arguments):
    """All that the encoder's numbers depend on."""
    crc = 0
    for leaf in jax.tree.leaves(nets):
        crc = zlib.crc32(np.asarray(leaf).tobytes(), crc)
    names = ("encoder_steps", "encoder_lr", "kappa", "seed")
    facts = {
        "weights_crc32": crc,
        "data": dataclasses.asdict(config.data),
        "model": dataclasses.asdict(config.model),
        **{name: getattr(arguments, name) for name in names},
    }
    # As it is read back: JSON has no tuples.
    return json.loads(json.dumps(facts))


def _read(path, facts, like):
    """The parameters in the file, or None where they are not those of these facts."""
    if not path.exists():
        return None
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            fits = json.loads(str(file["facts"])) == facts
            structure = jax.tree.structure(like)
            leaves = [file[str(i)] for i in range(structure.num_leaves)] if fits else ()
    except Exception as error:
        print(f"{path} cannot be read ({error}): the encoder is trained anew")
        return None
    if not fits:
        print(f"{path} is of another run or other options: it is trained anew")
        return None
    return structure.unflatten(leaves)


def _write(path, facts, params):
    arrays = {str(i): leaf for i, leaf in enumerate(jax.tree.leaves(params))}
    temporary = path.with_name(f"{path.stem}.tmp.npz")
    np.savez(temporary, facts=json.dumps(facts), **arrays)
    temporary.replace(path)
