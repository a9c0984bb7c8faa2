"""The encoder of f-AnoGAN: trained on a run's own images and saved for reuse."""

import dataclasses
import json
import zlib
from pathlib import Path

import jax
import numpy as np
import optax
from rich.progress import Progress, TextColumn

from wgan_jax.anogan.scoring import Nets, encoder_step
from wgan_jax.config import Config
from wgan_jax.data.batches import make_get_batch
from wgan_jax.errors import UserError
from wgan_jax.files import save_npz
from wgan_jax.nn.models import build_encoder

FILE = "encoder.npz"
# Updates in one call of the compiled program.
CHUNK = 10


def load_or_train(out: Path | None, config: Config, nets: Nets, load_data, **options):
    """infer_latents(x, indices) -> latent points [n, z_dim], by the encoder in `out`.

    None for `out` does not save it. load_data() -> the run's `Dataset`. options:
    encoder_steps, encoder_lr, kappa and seed. An encoder of other weights,
    configuration or options is replaced.
    """
    network = build_encoder(config.model, config.data.sample_shape)
    key, key_data = jax.random.split(jax.random.key(options["seed"]))
    params, stats = network.init(key)

    def encode(params, x):
        return network.apply(params, stats, x, train=True)[0]

    facts = _facts(config, nets, options)
    trained = out and _read(out / FILE, facts, params)
    if trained is None:
        train = load_data().train
        trained = _train(config, train, nets, options, encode, params, key_data)
        leaves = {str(i): leaf for i, leaf in enumerate(jax.tree.leaves(trained))}
        if out:
            save_npz(out / FILE, facts=np.array(json.dumps(facts)), **leaves)
    encode_jit = jax.jit(encode)
    return lambda x, indices: encode_jit(trained, x)


def _train(config, train, nets, options, encode, params, key):
    get_batch = make_get_batch(config.data, len(train))
    total, kappa = options["encoder_steps"], options["kappa"]
    adam = optax.adam(optax.linear_schedule(options["encoder_lr"], 0.0, total))

    @jax.jit
    def chunk(params, state, nets, samples, first, steps):
        def body(i, carry):
            params, state, _ = carry
            x = get_batch(samples, key, first + i)
            return encoder_step(
                encode, params, state, adam, nets.generate, nets.features, x, kappa
            )

        return jax.lax.fori_loop(0, steps, body, (params, state, 0.0))

    state = adam.init(params)
    columns = (*Progress.get_default_columns(), TextColumn("loss {task.fields[loss]}"))
    with Progress(*columns, transient=True) as progress:
        task = progress.add_task("training the encoder", total=total, loss="")
        for first in range(0, total, CHUNK):
            steps = min(CHUNK, total - first)
            params, state, loss = chunk(params, state, nets, train, first, steps)
            if not np.isfinite(loss):
                raise UserError(
                    f"the encoder diverged before update {first + steps}: give an "
                    f"--encoder-lr below {options['encoder_lr']:g}"
                )
            progress.update(task, advance=steps, loss=f"{float(loss):.4g}")
    return params


def _facts(config, nets, options):
    """Everything that the encoder's weights depend on."""
    crc = 0
    for leaf in jax.tree.leaves(nets):
        crc = zlib.crc32(np.asarray(leaf).tobytes(), crc)
    facts = {
        "weights_crc32": crc,
        "data": dataclasses.asdict(config.data),
        "model": dataclasses.asdict(config.model),
    } | options
    # As the file returns it: JSON has no tuples.
    return json.loads(json.dumps(facts))


def _read(path, facts, like):
    """The parameters in the file, or None where it is missing or of other facts."""
    if not path.exists():
        return None
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            fits = json.loads(str(file["facts"])) == facts
            structure = jax.tree.structure(like)
            leaves = [file[str(i)] for i in range(structure.num_leaves)] if fits else ()
        saved = structure.unflatten(leaves) if fits else None
        if fits and not jax.tree.all(jax.tree.map(_is_like, saved, like)):
            raise ValueError("its arrays are not finite or of other shapes")
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        print(
            f"warning: {path} cannot be read ({reason}): the encoder is trained again"
        )
        return None
    if not fits:
        print(f"{path} is of another run or other options: it is trained again")
    return saved


def _is_like(saved, like):
    same = (saved.shape, saved.dtype) == (like.shape, like.dtype)
    return same and np.isfinite(saved).all()
