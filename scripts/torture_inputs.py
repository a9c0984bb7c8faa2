"""Hostile inputs of all commands: mistakes in options, configurations and files.

`cases` writes the files and lists the command lines; `run` executes one in a child
process. Each must end with exit status 2 and one sentence, and leave no new file.
"""

import dataclasses
import importlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from functools import partial
from pathlib import Path
from types import UnionType
from typing import Literal, get_args, get_origin, get_type_hints

import numpy as np
from PIL import Image

from wgan_jax.__main__ import COMMANDS

ROOT = Path(__file__).resolve().parents[1]
HUGE = str(10**30)
SECONDS = 10
"""Longest time of a case, of the processor."""
MEMORY = 16 * 2**30
"""Bytes of address space of a case: a larger allocation fails."""

# Words that no field of a type accepts.
WRONG = {
    int: ("many", "1.5", "", HUGE, f"-{HUGE}", "nan", "9" * 5000),
    float: ("much", "", "nan", "inf", "1e50", "1e-50", "1,5"),
    bool: ("maybe",),
    tuple: ("many", "1.5", "-1", HUGE),
    UnionType: ("many", "1.5", "", "64x64", "-1", HUGE),
}
FUNCTIONS = ("nonsense", "missing.py:f", "os:missing", "os:getcwd", "raises.py:f", ":")
# Values of fields that have the right type.
OUT_OF_RANGE = """--data.batch-size 0 -1 2000000000|--data.image-size 0 -32 31 1048576
--data.channels 0 2 4|--data.heldout -1|--data.workers -2 100000|--data.dimensions 0
--model.z-dim 0 2000000000|--model.features 0 1000000|--model.kernel 0 1 100000
--model.norm-epsilon 0 -1|--model.norm-momentum 0 1.5|--model.norm-groups 0 7
--model.leaky-slope 1 -0.1|--model.critic-halvings -1|--model.classes -1 10
--model.generator-widths 0 100000000|--model.critic-widths -1 100000000
--objective.clip 0 -1|--objective.gp-weight -1|--objective.n-critic 0 2147483647
--objective.generator-batch -1 2000000000|--optimizer.critic-lr 0 -1
--optimizer.generator-lr 0|--optimizer.beta1 1 -1 0.99999999|--optimizer.beta2 1 2
--optimizer.ema-decay 1 0.99999999|--run.seed -1 4294967296|--run.steps 0 2147483647
--run.chunk 0 7|--run.log-every 0 7|--run.sample-every -1 7|--run.checkpoint-every 0 7
--run.max-to-keep 0|--run.keep-every -1 7|--run.grid-size 0 2000000000
--run.evaluate-every -1 7|--run.evaluate-num 1|--devices -1 99|--join-timeout 0"""

# Sources of configuration files.
HEAD = "from wgan_jax.config import *\n"
CONFIGS = {
    "empty.py": "",
    "syntax.py": "def get_config(:",
    "indent.py": "def get_config():\nreturn 1",
    "fails.py": "raise ValueError('two\\nlines')\n",
    "exits.py": "import sys\nsys.exit(0)",
    "missing_import.py": "import no_such_module",
    "recursion.py": "def get_config():\n    return get_config()",
    "argument.py": "def get_config(name):\n    return name",
    "number.py": "get_config = 3",
    "dict.py": "def get_config():\n    return {'run': 1}",
    "none.py": "def get_config():\n    pass",
    "class.py": HEAD + "def get_config():\n    return Config",
    "interrupts.py": "def get_config():\n    raise KeyboardInterrupt",
    "memory.py": "def get_config():\n    raise MemoryError",
    "a.yaml": "run:\n  steps: 3\n",
    "a.json": '{"run": {"steps": 3}}',
    "a.toml": "[run]\nsteps = 3\n",
    "no_suffix": "def get_config(): pass",
}
# Values of one field in a configuration file.
VALUES = {
    "run.steps": "True 3.0 '3' None [3] np.int64(3) np.float32(3) 10**400 10**9999 len",
    "optimizer.critic_lr": "True '1e-4' None np.float32(1) 10**400 1j float('nan') len",
    "model.generator_widths": "64 [4,2] (4.0,2) () (4,'2') np.ones(2) None (10**9,)",
    "data.dir": "None b'x' '\\0' 3 ['x'] Path('x')",
    "data.flip": "1 'yes' None np.True_",
    "data.scale": "None 3 ['unit'] np.array(['unit','x']) len",
    "data.classes": "3 (True,) [1] (1,1) (10**12,) ((1,),)",
    "objective.constraint": "None 3 (lambda:0) len print object() ['clip'] Config",
    "model.kind": "len Config (lambda:0) 3 None",
    "data.source": "len Config (lambda:0) 3 None",
    "optimizer.kind": "len Config 3 None",
    "objective.kind": "len Config 3 None",
}
SECTIONS = ("data=None", "run={}", "model=Run()", "optimizer=3", "data=Data", "x=1")


def cases(folder: Path) -> list[tuple[str, list[str]]]:
    """(name, words of `python -m wgan_jax`) of every hostile input.

    folder: receives the files. Each name is different.
    """
    folder = Path(folder)
    _write_files(folder)
    listed = []
    for group in (_fields, _configs, _lines, _data_sets, _runs, _weights, _places):
        for words in group(folder):
            words = [str(word) for word in words]
            out = folder / "out" / str(len(listed))
            words = [word.replace("OUT", str(out)) for word in words]
            text = " ".join(words).replace(f"{folder}/", "")
            shown = text if len(text) < 100 else f"{text[:97]}..."
            listed.append((f"{len(listed):03} {shown}", words))
    return listed


def run(words: list[str], folder: Path) -> str:
    """The fault of a command as a sentence; empty if it ends as it must.

    folder: that of `cases`. The command runs in a fork, so that an abort ends nothing
    else; this process must not have used a device before.
    """
    scratch = folder / "scratch"
    scratch.mkdir(exist_ok=True)
    start = time.monotonic()
    with warnings.catch_warnings():
        # JAX warns of forks, which are safe before its first use.
        warnings.simplefilter("ignore")
        child = os.fork()
    if not child:
        _execute(words, folder, scratch)
    while True:
        ended, status, used = os.wait4(child, os.WNOHANG)
        if ended:
            break
        if time.monotonic() - start > 30 * SECONDS:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.01)
    seconds = used.ru_utime + used.ru_stime
    error = (folder / "stderr").read_text(errors="replace")
    left = [path for path in [*scratch.iterdir(), folder / "out"] if path.exists()]
    for path in left:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return fault(os.waitstatus_to_exitcode(status), error, seconds, left)


def fault(code: int, error: str, seconds: float = 0.0, left=()) -> str:
    """The fault of an ended command: status, sentence, time or new files."""
    lines = error.splitlines()
    if "Traceback" in error:
        return f"traceback: {lines[-1]}"
    if seconds > SECONDS or code == -signal.SIGKILL:
        return f"took {seconds:.0f} s"
    if code < 0:
        return f"ended by {signal.Signals(-code).name}"
    if code != 2:
        return f"exit status {code}: {error[:200]}"
    if len(lines) != 1 or not lines[0].startswith("error: ") or len(lines[0]) > 2100:
        return f"not one sentence: {error[:300]}"
    return f"left {', '.join(path.name for path in left)}" if left else ""


def _execute(words, folder, scratch):
    """Replaces this process, a fork, by a command."""
    code = 1
    try:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS + 1, SECONDS + 1))
        os.chdir(scratch)
        for name, number in (("stdout", 1), ("stderr", 2)):
            file = os.open(folder / name, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
            os.dup2(file, number)
        sys.stdout = os.fdopen(1, "w")
        sys.stderr = os.fdopen(2, "w", errors="backslashreplace")
        from wgan_jax.__main__ import main

        try:
            main(words)
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else int(bool(stop.code))
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


# ------------------------------------------------------------------------------- files


def _write_files(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in CONFIGS.items():
        (folder / name).write_text(text)
    for name, data in {
        "binary.py": b"\x00\xff\xfe",
        "latin.py": b"# \xe9\nx = 1",
        "a.pth": b"no weights",
        "empty.pth": b"",
        "empty.npz": b"",
        "empty.npy": b"",
        "text.npz": b"no archive",
        "text.npy": b"no array",
        "a.csv": b"name,anomalous\nx.png,2\n",
        "binary.csv": b"\xff\xfe\x00",
    }.items():
        (folder / name).write_bytes(data)
    (folder / "folder.py").mkdir()
    (folder / "empty_folder").mkdir()
    (folder / "loop").symlink_to(folder / "loop")
    (folder / "dangling.npz").symlink_to(folder / "nowhere")
    for name, values in {
        "float": np.full((9, 8, 8, 1), np.nan, np.float32),
        "object": np.array([{}, 3], object),
        "strings": np.array(["a", "b"]),
        "scalar": np.array(3),
        "flat": np.zeros(9, np.uint8),
        "none": np.zeros((0, 8, 8, 1), np.uint8),
        "five": np.zeros((9, 8, 8, 5), np.uint8),
        "thin": np.zeros((9, 0, 8, 1), np.uint8),
        "complex": np.zeros((9, 2), complex),
        "infinite": np.full((99, 2), np.inf, np.float32),
    }.items():
        np.savez(folder / f"{name}.npz", images=values)
        np.save(folder / f"{name}.npy", values, allow_pickle=True)
    whole = np.zeros((99, 32, 32, 1), np.uint8)
    np.savez(folder / "whole.npz", images=whole)
    data = (folder / "whole.npz").read_bytes()
    (folder / "half.npz").write_bytes(data[: len(data) // 2])
    (folder / "flipped.npz").write_bytes(data[:500] + b"\xff" * 9 + data[509:])
    for name, labels in (("negative", -1), ("short", 0), ("float_labels", 0.5)):
        count = 3 if name == "short" else 99
        np.savez(folder / f"{name}.npz", images=whole, labels=np.full(count, labels))
    images = folder / "images"
    images.mkdir()
    for i in range(4):
        Image.new("L", (8, 8), i).save(images / f"{i}.png")
    for name in ("damaged", "text", "zero"):
        (folder / name).mkdir()
    half = (images / "1.png").read_bytes()[:50]
    (folder / "damaged" / "a.png").write_bytes(half)
    (folder / "text" / "a.png").write_text("no image")
    (folder / "zero" / "a.png").write_bytes(b"")
    (folder / "raises.py").write_text("def f(*_):\n    raise ValueError('a\\nb')\n")
    if not (folder / "points").exists():
        # A process of its own: this one may not use the device before it forks.
        words = [sys.executable, __file__, "--make-runs", str(folder)]
        subprocess.run(words, check=True)


# Contents of a damaged config.json: text, or fields with their values.
CONFIG_JSON = (
    "",
    "{",
    "[]",
    "null",
    "{}",
    "[" * 100_000,
    "\x00",
    {"format": 0},
    {"data": None},
    {"model": {}},
    {"model.features": 10**6},
    {"model.features": "8"},
    {"model.z_dim": -1},
    {"model.kind": "nonsense"},
    {"model.kind": 3},
    {"model.nothing": 3},
    {"run.steps": 10**30},
    {"run.steps": None},
    {"optimizer.critic_lr": "inf"},
    {"data.source": "missing.py:f"},
    {"data.image_size": [8]},
    {"model.generator_widths": []},
)


def make_runs(folder: Path) -> None:
    """Writes untrained runs on points and on images; uses the device."""
    import jax

    from wgan_jax import config as configurations
    from wgan_jax.algorithm.state import init_state, make_spec
    from wgan_jax.runs import directory
    from wgan_jax.runs.checkpoint import Checkpoints

    for name, file in (("points", "toy_8gaussians"), ("pixels", "digits")):
        config = configurations.load(ROOT / "configs" / f"{file}.py")
        model = dataclasses.replace(config.model, features=2)
        config = dataclasses.replace(config, model=model)
        out = Path(folder) / name
        out.mkdir(parents=True)
        directory.initialise(out, config)
        with Checkpoints(out / "checkpoints", 2) as checkpoints:
            spec = make_spec(config)
            state = jax.jit(partial(init_state, spec=spec))(jax.random.key(0))
            checkpoints.save(state)
            checkpoints.wait()


def _damaged_runs(folder):
    """Copies of the run on points, each with one damage."""
    source = folder / "points"
    text = (source / "config.json").read_text()
    for i, change in enumerate(CONFIG_JSON):
        run = shutil.copytree(source, folder / f"config{i}")
        if isinstance(change, dict):
            ((name, value),) = change.items()
            content = json.loads(text)
            section, _, field = name.partition(".")
            if field:
                content[section][field] = value
            else:
                content[section] = value
            change = json.dumps(content)
        (run / "config.json").write_text(change)
        yield run
    for name in ("config.json", "checkpoints", "checkpoints/0/state"):
        run = shutil.copytree(source, folder / f"without_{name.replace('/', '_')}")
        removed = run / name
        if removed.is_dir():
            shutil.rmtree(removed)
        else:
            removed.unlink()
        yield run
    for name in ("config.json", "checkpoints"):
        run = shutil.copytree(source, folder / f"other_{name}")
        if (run / name).is_dir():
            shutil.rmtree(run / name)
            (run / name).write_text("")
        else:
            (run / name).unlink()
            (run / name).mkdir()
        yield run
    run = shutil.copytree(source, folder / "truncated")
    for file in (run / "checkpoints").rglob("*"):
        if file.is_file() and file.stat().st_size > 200:
            file.write_bytes(file.read_bytes()[:100])
    yield run


# -------------------------------------------------------------------------- the inputs


def _train(folder, *words):
    return ["train", "--config", ROOT / "configs" / "digits.py", "--out", "OUT", *words]


def _fields(folder):
    from wgan_jax.config import Config

    for section, kind in get_type_hints(Config).items():
        for field, type_ in get_type_hints(kind).items():
            option = f"--{section}.{field.replace('_', '-')}"
            if get_origin(type_) is Literal:
                wrong = ("nonsense", "", get_args(type_)[0].upper())
            elif field in ("kind", "constraint", "source"):
                wrong = [
                    w.replace("raises.py", f"{folder}/raises.py") for w in FUNCTIONS
                ]
            else:
                wrong = WRONG.get(get_origin(type_) or type_, ())
            for word in wrong:
                yield _train(folder, f"{option}={word}")
    for line in OUT_OF_RANGE.replace("\n", "|").split("|"):
        option, *values = line.split()
        for value in values:
            yield _train(folder, option, value)
    for line in (
        "--seed 1 --run.seed 2",
        "--fresh --extend",
        "--run.steps 5 --run.steps 6",
        "--compile",
        "--sed 3",
        "--batch-size 3",
        "--run.steps",
        "stray",
        "-x",
        "--",
        "--no-dequantize",
        "—seed 3",
        "--data.image-size 32 0",
        "--data.image-size 16 1073741824",
        "--data.image-size 32 32 32",
        "--data.image-size 32 x",
        "--coordinator here",
        "--coordinator a:99999 --num-processes 2 --process-id 0",
        "--coordinator a:1 --num-processes 0 --process-id 0",
        "--coordinator a:1 --num-processes 2 --process-id 2",
        f"--coordinator a:1 --num-processes {HUGE} --process-id 0",
        "--distributed --process-id 0",
        f"--join-timeout {HUGE}",
        f"--devices {HUGE}",
        "--data.source tfds",
        "--data.source tfds --data.name no_such_set",
        "--data.source folder",
        "--data.source vectors",
        "--data.source 8gaussians",
        "--data.stream always",
        "--data.classes 10 11",
        "--data.heldout 100000",
        "--model.critic-norm batch",
        "--objective.constraint none",
        "--model.output sigmoid",
        "--model.kernel 3000 --model.features 1",
    ):
        yield _train(folder, *line.split())


def _configs(folder):
    for name in [*CONFIGS, "binary.py", "latin.py", "folder.py", "missing.py", "loop"]:
        yield ["train", "--out", "OUT", "--config", folder / name]
    for name in ("", "\udcff.py", "x" * 300 + ".py", "a/" * 2000, "~/x.py", "*.py"):
        yield ["train", "--out", "OUT", "--config", name]
    yield ["train", "--out", "OUT"]
    yield ["train", "--out", "OUT", "--config"]
    yield ["train", "--out", "--config", folder / "empty.py"]
    sources = [
        f"{section[0].upper() + section[1:]}({field}={value})"
        for name, values in VALUES.items()
        for section, field in [name.split(".")]
        for value in values.split()
    ]
    sources = [f"{s[0].lower()}{s[1:].split('(')[0]}={s}" for s in sources]
    for i, arguments in enumerate([*sources, *SECTIONS]):
        path = folder / f"value{i}.py"
        imports = f"from pathlib import Path\nimport numpy as np\n{HEAD}"
        returned = f"def get_config():\n    return Config({arguments})\n"
        path.write_text(imports + returned)
        yield ["train", "--out", "OUT", "--config", path]


def _lines(folder):
    """Command lines of the commands that read a run, and of sweep and prepare."""
    points, pixels = folder / "points", folder / "pixels"
    numbers = ("many", "1.5", "-2", HUGE, "")
    for option in ("--num", "--seed", "--label", "--checkpoint"):
        for value in numbers[: 4 if option == "--checkpoint" else 5]:
            yield ["sample", pixels, "--out", "OUT", f"{option}={value}"]
    for line in (
        "--num 0",
        "--num 2000000000",
        "--label 0",
        "--raw --average",
        "--out OUT.jpg --num 3",
        "--checkpoint best",
        "--checkpoint 7",
        "--num 3 --num 4",
        "--nun 3",
        "--run.steps 3",
        "stray",
        "--out",
    ):
        yield ["sample", pixels, *line.split()]
    yield ["sample", points, "--out", "OUT"]
    for option in ("--num", "--repeats", "--seed", "--checkpoint"):
        for value in ("many", "1.5", "", "-2", HUGE):
            if (option, value) != ("--checkpoint", ""):
                yield ["evaluate", points, "--json=OUT.json", f"{option}={value}"]
    for line in (
        "--num 1000000",
        "--repeats 1",
        "--metrics nonsense",
        "--metrics fid",
        "--metrics missing.py:f",
        "--metrics os:getcwd",
        "--features classifier",
        "--reference heldout",
        "--reference nowhere",
        "--batch-stats",
        "--checkpoint best",
        "--json OUT.txt",
        f"--images {folder}/images",
        "--metric fid",
    ):
        yield ["evaluate", points, *line.split()]
    for line in (
        "",
        "--metrics fid x",
        f"--images {folder}/images",
        f"--images {folder}/images --reference nowhere",
        f"--images {folder}/images --reference {folder}/images --num 3",
        f"--images {folder}/images --reference {folder}/images --raw",
        f"--images {folder}/images --reference {folder}/images --checkpoint 3",
    ):
        yield ["evaluate", *line.split()]
    counts = "num seed batch steps restarts encoder-steps checkpoint"
    for option in counts.split():
        for value in numbers[: 4 if option == "checkpoint" else 5]:
            yield ["anomaly", pixels, "--out", "OUT", f"--{option}={value}"]
    for option in ("lr", "feature-weight", "encoder-lr", "kappa"):
        for value in ("much", "", "nan", "inf", "-1", "1e50"):
            yield ["anomaly", pixels, "--out", "OUT", f"--{option}={value}"]
    for line in (
        "--method nonsense",
        "--restarts 3",
        "--method anogan --kappa 2",
        "--normal-class many",
        "--normal-class 77",
        "--normal-class 1 --labels x.npy",
        "--labels x.txt",
        "--labels x.npy",
        f"--labels {folder}/a.csv --images {folder}/images",
        f"--labels {folder}/binary.csv --images {folder}/images",
        f"--labels {folder}/object.npy --images {folder}/whole.npz",
        "--images nowhere",
        "--images no_such_set:test",
        "--method anogan --restarts 2000000000",
    ):
        yield ["anomaly", pixels, "--out", "OUT", *line.split()]
    yield ["anomaly", points, "--out", "OUT"]
    digits = ROOT / "configs" / "digits.py"
    for line in (
        "--seeds 0",
        "--seeds -1",
        f"--seeds {HUGE}",
        "--seeds 1000000000",
        "--seeds many",
        "--mode both",
        "--vary nonsense",
        "--vary nonsense=1",
        "--vary critic_lr=1,2",
        "--vary run.seed=1,2",
        "--vary optimizer.critic_lr=",
        "--vary optimizer.critic_lr=1,1",
        "--vary optimizer.critic_lr=1,nan",
        "--vary optimizer.critic_lr=1,1e-50",
        "--vary optimizer.critic_lr=much",
        "--vary optimizer.critic_lr=1,2 optimizer.critic_lr=3",
        "--vary optimizer.critic_lr=1,2 --optimizer.critic-lr 3",
        f"--vary model.features=1,{HUGE}",
        "--vary model.features=1,1000000",
        "--vary data.classes=1,2",
        "--vary data.flip=maybe",
        "--vary data.scale=x",
        "--vary model.kind=mlp,nonsense",
        "--fresh --extend",
        f"--devices {HUGE}",
    ):
        yield ["sweep", "--config", digits, "--out", "OUT", *line.split()]
    for value in (*numbers, "0", "1000000"):
        size = f"--image-size={value}"
        yield ["prepare", "pack", folder / "images", "OUT", size, "--channels=1"]
    pack = ("--image-size=8", "--channels=1")
    for name in ("nowhere", "empty_folder", "text", "damaged", "zero", "a.pth", ""):
        yield ["prepare", "pack", folder / name if name else "", "OUT", *pack]
    yield ["prepare", "pack", folder / "images", folder / "images", *pack]
    yield [
        "prepare",
        "pack",
        folder / "images",
        "OUT",
        "--image-size=8",
        "--channels=2",
    ]
    yield ["prepare", "pack", folder / "images", "OUT", *pack, "--format=gif"]
    yield ["prepare", "tfds"]
    yield ["prepare", "pact", "x"]
    yield ["prepare", "tfds", "no_such_set", "--tfds-dir", folder / "empty_folder"]
    yield ["trian"]
    yield ["--train"]
    yield [""]


def _data_sets(folder):
    arrays = "float object strings scalar flat none five thin complex infinite empty"
    arrays += " text half flipped negative short float_labels dangling"
    classes = ("--model.kind=resnet", "--model.kernel=3", "--model.classes=3")
    for name in arrays.split():
        path = folder / f"{name}.npz"
        labelled = classes if name in ("negative", "short", "float_labels") else ()
        yield _train(folder, "--data.source=npz", f"--data.dir={path}", *labelled)
        if not labelled:
            words = ("--data.source=vectors", f"--data.dir={path}", "--model.kind=mlp")
            yield _train(folder, *words, "--model.output=linear")
            yield ["evaluate", "--images", path, "--reference", folder / "whole.npz"]
            yield ["anomaly", folder / "pixels", "--out", "OUT", "--images", path]
    for name in ("whole.npz", "missing.npz", "images", "a.pth", "empty_folder"):
        words = ("--data.source=npz", f"--data.dir={folder / name}")
        yield _train(folder, *words, "--data.array=nothing")
    for name in ("missing", "empty_folder", "text", "damaged", "zero", "a.pth", "loop"):
        yield _train(folder, "--data.source=folder", f"--data.dir={folder / name}")
        yield _train(
            folder, "--data.source=array_record", f"--data.dir={folder / name}"
        )
        yield ["evaluate", "--images", folder / name, "--reference", folder / "images"]
        yield ["anomaly", folder / "pixels", "--out", "OUT", "--images", folder / name]


def _runs(folder):
    for run in _damaged_runs(folder):
        yield ["sample", run, "--out", "OUT.png"]
        yield ["evaluate", run, "--json", "OUT.json"]
    for run in ("nowhere", "", "a.pth", "empty_folder", "loop"):
        place = folder / run if run else ""
        yield ["sample", place, "--out", "OUT.png"]
        yield ["anomaly", place, "--out", "OUT"]
        yield ["convert", place, "--to-torch", "OUT"]


def _weights(folder):
    digits = ("--config", ROOT / "configs" / "digits.py")
    for name in (
        "a.pth",
        "empty.pth",
        "missing.pth",
        "images",
        "whole.npz",
        "empty.npy",
    ):
        yield ["convert", folder / name, *digits, "--out", "OUT"]
    for line in (
        "",
        "--out OUT",
        "--out OUT --step -1",
        f"--out OUT --step {HUGE}",
        "--out OUT --step 2147483647",
        "--out OUT --naming arjovsky",
        "--out OUT --naming x",
        "--out OUT --raw",
        "--out OUT --overwrite",
        "--out OUT --checkpoint 3",
        "--out OUT --model.features 1000000",
        "--to-torch OUT",
    ):
        yield ["convert", folder / "a.pth", *digits, *line.split()]


def _places(folder):
    """Outputs at places that exist or cannot be written."""
    points, taken = folder / "points", folder / "whole.npz"
    for out in (folder / "images", taken, folder / "points", "/proc/x", taken / "x"):
        yield ["train", "--config", ROOT / "configs" / "digits.py", "--out", out]
    for out in (taken, taken / "x.npz", "/proc/x.npz", "x" * 300 + ".npz"):
        yield ["sample", points, "--out", out]
    for out in (taken / "x.json", folder / "a.json", "/proc/x.json"):
        yield ["evaluate", points, "--json", out, "--num", "4"]
    for out in (folder / "images", taken, "/proc/x"):
        yield ["anomaly", folder / "pixels", "--out", out]


def main():
    """Runs all cases in a new folder, or those whose names contain the first word."""
    if sys.argv[1:2] == ["--make-runs"]:
        make_runs(Path(sys.argv[2]))
        return
    wanted = sys.argv[1] if sys.argv[1:] else ""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
        faults = {}
        listed = [case for case in cases(folder) if wanted in case[0]]
        for name in COMMANDS:
            # Once, not in each fork.
            importlib.import_module(f"wgan_jax.{name}")
        for name, words in listed:
            if found := run(words, folder):
                faults[name] = found
                print(f"{name}: {found}", flush=True)
    print(f"{len(listed)} hostile inputs, {len(faults)} faults")


if __name__ == "__main__":
    main()
