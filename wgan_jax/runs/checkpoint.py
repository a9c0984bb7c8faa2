"""Checkpoints of the training state. The only file that imports orbax.

A checkpoint is a flat dict of named arrays beside a checksum, so that a damaged one is
found out and one of another network is explained name by name.
"""

import contextlib
import dataclasses
import zlib
from pathlib import Path

import jax
import numpy as np

from wgan_jax.algorithm.state import TrainState
from wgan_jax.distributed import processes
from wgan_jax.distributed.sharding import ONE_DEVICE
from wgan_jax.errors import UserError


class Checkpoints:
    """The checkpoints of one run; steps are generator updates."""

    def __init__(
        self, directory, max_to_keep: int, keep_every: int = 0, sharding=ONE_DEVICE
    ):
        """max_to_keep: newest ones kept; keep_every: multiples of it are kept for good.

        share: with several processes, all of which have to do the same with the same
        directory, each of them writes a part of every array.
        """
        ocp = _orbax()
        self.sharding = sharding
        self.directory = Path(directory).resolve()
        options = ocp.CheckpointManagerOptions(
            max_to_keep=max_to_keep,
            keep_period=keep_every or None,
        )
        self.manager = ocp.CheckpointManager(
            self.directory,
            options=options,
            item_handlers={
                "state": ocp.StandardCheckpointHandler(),
                "meta": ocp.JsonCheckpointHandler(),
            },
        )

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        # What ended the run is told, not what closing then says of it.
        with contextlib.suppress(Exception) if kind else self._writing():
            self.manager.close()

    def steps(self) -> list[int]:
        """The steps that are saved, oldest first."""
        return sorted(self.manager.all_steps())

    def save(self, state: TrainState) -> None:
        """Begins to write the state; returns before it is on disk. See `wait`.

        What is written is copied first, so the state may be donated at once.
        """
        ocp, arrays = _orbax(), _flatten(state)
        spread = (
            self.sharding.replicate(arrays) if processes.is_multiprocess() else arrays
        )
        with self._writing():
            self.manager.save(
                int(state.step),
                args=ocp.args.Composite(
                    state=ocp.args.StandardSave(spread),
                    meta=ocp.args.JsonSave({"crc32": _checksum(arrays)}),
                ),
                force=True,
            )

    def wait(self) -> None:
        """Returns when all that was saved is on disk; UserError where it cannot be."""
        with self._writing():
            self.manager.wait_until_finished()

    @contextlib.contextmanager
    def _writing(self):
        # Of a full disk, tensorstore and Orbax tell by many kinds of exception.
        try:
            yield
        except Exception as error:
            if processes.is_connection_loss(error):
                # Nothing is wrong with the place.
                raise
            # tensorstore ends its long chain of causes with the first one.
            reason = " ".join(str(error).split()).rsplit(": ", 1)[-1].split(" [")[0]
            raise UserError(
                f"a checkpoint cannot be written to {self.directory}: {reason}; make "
                "room there, and the same command goes on from the last one"
            ) from error

    def restore(self, like: TrainState, step: int) -> TrainState:
        """The state saved at `step`, with the structure of `like`.

        Raises UserError where it is of another network, and whatever reading or the
        checksum raises where it is damaged.
        """
        ocp, wanted = _orbax(), _flatten(like)
        saved = self.manager.item_metadata(step).state
        _check_shapes(wanted, saved, self.directory / str(step))
        restored = self.manager.restore(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardRestore(wanted), meta=ocp.args.JsonRestore()
            ),
        )
        if _checksum(restored.state) != restored.meta["crc32"]:
            raise ValueError("its contents do not match their checksum")
        return _unflatten(restored.state, like)

    def restore_newest(self, like: TrainState, report, *, move: bool):
        """The newest TrainState that can be read, or None where none was ever saved.

        A damaged checkpoint is reported and the one before it is taken. move: also move
        the damaged one to damaged-STEP beside this folder, so that its step can be
        saved again.
        """
        damaged = []
        for step in reversed(self.steps()):
            try:
                state = self.restore(like, step)
            except UserError:
                raise
            except Exception as error:
                if processes.is_connection_loss(error):
                    raise
                reason = " ".join(str(error).split())[:200] or type(error).__name__
                report(f"checkpoint {step} is damaged ({reason})")
                damaged.append(step)
                continue
            if damaged and move:
                self._move_aside(damaged)
            if damaged:
                report(f"going on from checkpoint {step}, the newest that is whole")
            return state
        if damaged:
            raise UserError(
                f"no checkpoint in {self.directory} can be read: start again with "
                "--fresh, which moves the old run aside"
            )
        return None

    def _move_aside(self, steps):
        processes.barrier("damaged checkpoints found")
        for step in steps if processes.is_main_process() else ():
            place = self.directory.parent / f"damaged-{step}"
            number = 1
            while place.exists():
                place = place.with_name(f"damaged-{step}.{number}")
                number += 1
            (self.directory / str(step)).rename(place)
        processes.barrier("damaged checkpoints moved")
        self.manager.reload()


def _orbax():
    # Imported late: it takes a third of a second, which what keeps nothing is spared.
    import orbax.checkpoint

    return orbax.checkpoint


def _flatten(state):
    """A state as {path: numpy array}, copied off the device."""
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
        crc = zlib.crc32(np.ascontiguousarray(arrays[name]).reshape(-1).view("u1"), crc)
    return crc


def _check_shapes(wanted, saved, where):
    shapes = {name: list(saved[name].shape) for name in saved}
    for name, array in wanted.items():
        if shapes.get(name) != list(array.shape):
            there = shapes.get(name, "not there")
            raise UserError(
                f"checkpoint {where} is of another network: {name} is {there}, but "
                f"this configuration needs {list(array.shape)}"
            )
    for name in shapes.keys() - wanted.keys():
        raise UserError(
            f"checkpoint {where} is of another network: this configuration has no "
            f"{name}"
        )
