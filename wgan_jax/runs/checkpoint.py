"""Checkpoints of the training state. The only file that imports orbax.

A checkpoint is a flat dict of named arrays with a format version and a checksum: damage
is detected, and a mismatch with the network is reported by name.
"""

import contextlib
import copy
import dataclasses
import functools
import threading
import zlib
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from wgan_jax.algorithm.state import TrainState
from wgan_jax.distributed import processes
from wgan_jax.distributed.sharding import ONE_DEVICE
from wgan_jax.errors import UserError
from wgan_jax.files import explain, free_path, refusal

FORMAT = 1
"""Version of the names and the layout of the arrays."""

LISTINGS = 10
"""How often the checkpoints are listed while another command deletes some of them."""


class DamagedCheckpoint(Exception):
    """A checkpoint that cannot be read or does not match its checksum."""


class Checkpoints:
    """The checkpoints of one run; steps are generator updates."""

    def __init__(
        self, directory, max_to_keep: int, keep_every: int = 0, sharding=ONE_DEVICE
    ):
        """max_to_keep: newest checkpoints to keep. keep_every: multiples never deleted.

        With several processes, all make the same calls with the same directory, and
        each writes a part of every array. sharding: that of the state.
        """
        self.sharding = sharding
        self.directory = Path(directory).absolute()
        self._max_to_keep = max_to_keep
        self._keep_every = keep_every

    @functools.cached_property
    def manager(self):
        """Orbax's manager, made when it is first needed: it creates the directory."""
        ocp = _orbax()
        options = ocp.CheckpointManagerOptions(
            max_to_keep=self._max_to_keep,
            keep_period=self._keep_every or None,
        )
        return _despite_deletion(
            lambda: ocp.CheckpointManager(
                self.directory,
                options=options,
                item_handlers={
                    "state": ocp.StandardCheckpointHandler(),
                    "meta": ocp.JsonCheckpointHandler(),
                },
            )
        )

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        # After an error, closing may fail as well; only the first error is reported.
        with contextlib.suppress(Exception) if kind else self._writing():
            if "manager" in vars(self):
                self.manager.close()

    def steps(self) -> list[int]:
        """The saved steps, oldest first."""
        return sorted(self.manager.all_steps()) if self.directory.is_dir() else []

    def reload(self) -> list[int]:
        """The saved steps, read again: a run in training deletes old checkpoints."""
        _despite_deletion(self.manager.reload)
        return self.steps()

    def save(self, state: TrainState) -> None:
        """Starts to write the state and returns before it is on disk; see `wait`.

        The state is copied first, so it may be donated at once.
        """
        ocp, arrays = _orbax(), _flatten(state)
        replicated = arrays
        if processes.is_multiprocess():
            replicated = self.sharding.replicate(arrays)
        meta = {"format": FORMAT, "crc32": _checksum(arrays)}
        with self._writing():
            self.manager.save(
                int(state.step),
                args=ocp.args.Composite(
                    state=ocp.args.StandardSave(replicated),
                    meta=ocp.args.JsonSave(meta),
                ),
                force=True,
            )

    def wait(self) -> None:
        """Waits until all saved states are on disk; UserError if they cannot be."""
        with self._writing():
            self.manager.wait_until_finished()

    @contextlib.contextmanager
    def _writing(self):
        # tensorstore and Orbax report a full disk by many kinds of exception.
        try:
            yield
        except Exception as error:
            _end_waiting()
            if processes.is_connection_loss(error):
                # Nothing is wrong with the directory.
                raise
            # tensorstore puts the first cause at the end of a long chain.
            reason = " ".join(str(error).split()).rsplit(": ", 1)[-1].split(" [")[0]
            if number := refusal(error):
                reason = explain(number, "move the run to another place")
            raise UserError(
                f"a checkpoint cannot be written to {self.directory}: {reason}. The "
                "same command resumes from the last checkpoint"
            ) from error

    def restore(self, like: TrainState, step: int) -> TrainState:
        """The state saved at `step`, with the structure of `like`.

        Raises UserError if it belongs to another network or format, DamagedCheckpoint
        if it cannot be read.
        """
        try:
            return self._restore(like, step)
        except UserError:
            raise
        except Exception as error:
            if processes.is_connection_loss(error):
                raise
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise DamagedCheckpoint(reason) from error

    def _restore(self, like, step):
        ocp, wanted, path = _orbax(), _flatten(like), self.directory / str(step)
        meta = ocp.args.Composite(meta=ocp.args.JsonRestore())
        meta = self.manager.restore(step, args=meta)["meta"]
        if meta.get("format") != FORMAT:
            raise UserError(
                f"checkpoint {path} has format {meta.get('format', 0)}, but this "
                f"version of wgan_jax reads format {FORMAT}: train again, or install "
                "the version named in versions.json"
            )
        _check_shapes(wanted, self.manager.item_metadata(step)["state"], path)
        arrays = ocp.args.Composite(state=ocp.args.StandardRestore(wanted))
        arrays = self.manager.restore(step, args=arrays)["state"]
        if _checksum(arrays) != meta["crc32"]:
            raise ValueError("its contents do not match their checksum")
        return _unflatten(arrays, like)

    def restore_newest(
        self, like: TrainState, report, *, move: bool
    ) -> TrainState | None:
        """The newest readable TrainState, or None if none was ever saved.

        A damaged checkpoint is reported, and the previous one is taken. move: also move
        the damaged one to damaged-STEP next to this directory, so that its step can be
        saved again. Raises UserError if all are damaged.
        """
        damaged, steps = [], self.steps()
        for step in reversed(steps):
            try:
                state = self.restore(like, step)
            except DamagedCheckpoint as error:
                if self.reload() != steps:
                    # Not damaged: another process trains this run and deleted it.
                    return self.restore_newest(like, report, move=move)
                report(f"checkpoint {step} is damaged ({error})")
                damaged.append(step)
                continue
            if damaged and move:
                self._move_aside(damaged)
            if damaged:
                report(f"resuming from checkpoint {step}, the newest intact one")
            return state
        if damaged:
            raise UserError(
                f"no checkpoint in {self.directory} can be read: start again with "
                "--fresh, which moves the old run aside"
            )
        return None

    def resume(self, like: TrainState, report) -> TrainState | None:
        """`restore_newest` for training: damaged checkpoints are moved.

        Raises UserError if the newest state is not finite.
        """
        state = self.restore_newest(like, report, move=True)
        if state is None or is_finite(state):
            return state
        diverged, remedy = [], ""
        for step in reversed(self.steps()):
            with contextlib.suppress(DamagedCheckpoint):
                if is_finite(self.restore(like, step)):
                    remove = ", ".join(diverged)
                    remedy = f"remove {remove} to resume from step {step}, or "
                    break
            diverged.append(str(self.directory / str(step)))
        raise UserError(
            f"the checkpoint {diverged[0]} has weights that are not finite: {remedy}"
            "train again with a lower learning rate and another --out"
        )

    def _move_aside(self, steps):
        processes.barrier("damaged checkpoints read")
        for step in steps if processes.is_main_process() else ():
            aside = free_path(self.directory.parent / f"damaged-{step}")
            (self.directory / str(step)).rename(aside)
        processes.barrier("damaged checkpoints moved")
        self.reload()


class MemoryCheckpoints:
    """The newest state of a run without a directory, on the device."""

    newest: TrainState | None = None

    def save(self, state: TrainState) -> None:
        """Copies the state, so that it may be donated."""
        self.newest = jax.tree.map(jnp.copy, state)

    def wait(self) -> None:
        """Returns at once."""


def is_finite(state: TrainState) -> bool:
    """Whether every floating-point number of a state is finite."""
    return all(
        np.isfinite(leaf).all()
        for leaf in jax.tree.leaves(state)
        if jnp.issubdtype(jnp.result_type(leaf), jnp.inexact)
    )


def _despite_deletion(listing):
    """listing() of checkpoints, again where one was deleted during it.

    Orbax finds the names of all checkpoints first and then reads the time of each. The
    command that trains the run may delete one in between.
    """
    for _ in range(LISTINGS - 1):
        with contextlib.suppress(FileNotFoundError):
            return listing()
    return listing()


def _end_waiting():
    """Wakes the threads of Orbax that wait for a part of a write that has failed.

    They would wait for minutes, and the process for them at its end. Now they fail as
    well, and nothing is committed.
    """
    from orbax.checkpoint._src.futures import future

    for thread in threading.enumerate():
        if isinstance(thread, future._SignalingThread):
            future.set_signals(
                thread._receive_signals, operation_id=thread._operation_id
            )


@functools.cache
def _orbax():
    # Imported late: it takes a third of a second, and few commands need it.
    import orbax.checkpoint
    import tensorstore

    spec = tensorstore.KvStore.Spec
    spec.to_json = _remember_last(spec.to_json)  # type: ignore[assignment]
    return orbax.checkpoint


def _remember_last(to_json):
    """TensorStore's `to_json` with the last result remembered.

    Each call leaks the strings of its result, and Orbax calls it for every array of a
    checkpoint with the same specification: 30 KB per checkpoint of a small run.
    """
    last: tuple = (None, None)

    def remembering(spec, **options):
        nonlocal last
        key, value = last
        if (spec, options) != key:
            value = to_json(spec, **options)
            last = (spec, options), value
        return copy.deepcopy(value)

    return remembering


def _flatten(state):
    """A state as {path: numpy array}, copied from the device."""
    state = dataclasses.replace(state, key=jax.random.key_data(state.key))
    leaves = jax.tree_util.tree_flatten_with_path(state)[0]
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): np.array(leaf)
        for path, leaf in leaves
    }


def _unflatten(arrays, like):
    raw = dataclasses.replace(like, key=jax.random.key_data(like.key))
    paths, structure = jax.tree_util.tree_flatten_with_path(raw)
    names = (jax.tree_util.keystr(p, simple=True, separator="/") for p, _ in paths)
    state = structure.unflatten([jax.device_put(arrays[name]) for name in names])
    return dataclasses.replace(state, key=jax.random.wrap_key_data(state.key))


def _checksum(arrays):
    crc = 0
    for name in sorted(arrays):
        crc = zlib.crc32(arrays[name].tobytes(), crc)
    return crc


def _check_shapes(wanted, saved, path):
    shapes = {name: list(saved[name].shape) for name in saved}
    for name, array in wanted.items():
        if shapes.get(name) != list(array.shape):
            raise UserError(
                f"checkpoint {path} is of another network: {name} is "
                f"{shapes.get(name, 'missing')}, but this configuration needs "
                f"{list(array.shape)}"
            )
    for name in shapes.keys() - wanted.keys():
        raise UserError(
            f"checkpoint {path} is of another network: this configuration has no {name}"
        )
