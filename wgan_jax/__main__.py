"""The commands by name: `python -m wgan_jax`, installed as `wgan-jax`."""

import difflib
import importlib
import sys

import wgan_jax

COMMANDS = {
    "train": "train a configuration, or resume a run",
    "sample": "write samples of a trained run as pictures or arrays",
    "evaluate": "measure a run, or any images, against real images",
    "sweep": "train several seeds and settings and compare them",
    "anomaly": "score images by how well a run reconstructs them",
    "export": "write networks for JAX, PyTorch, ONNX or as plain arrays",
    "convert": "convert weights from and to PyTorch",
    "prepare": "prepare data sets for training",
    "report": "write a page about a run, or about several runs",
}


def main(argv=None) -> None:
    """Runs the command that the first argument names; without one, lists all."""
    if argv is None:
        wgan_jax._end_on_signals()
        argv = sys.argv[1:]
    if not argv or argv[0] in ("-h", "--help"):
        print(
            "usage: wgan-jax COMMAND [OPTIONS], or python -m wgan_jax.COMMAND [OPTIONS]"
        )
        print()
        for name, line in COMMANDS.items():
            print(f"  {name:10}{line}")
        print("\nwgan-jax COMMAND --help lists the options of a command.")
        return
    name, *options = argv
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, 1)
        hint = (
            f"did you mean {near[0]}?" if near else f"choose from {', '.join(COMMANDS)}"
        )
        print(f"error: {name} is not a command: {hint}", file=sys.stderr)
        sys.exit(2)
    # Imported late: the list of commands does not wait for JAX.
    from wgan_jax import cli

    command = importlib.import_module(f"wgan_jax.{name}")
    cli.run(lambda: command.main(options))


if __name__ == "__main__":
    main()
