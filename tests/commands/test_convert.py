"""Weights converted from PyTorch and to PyTorch give the same images and scores."""

import dataclasses
import io
import pickle
import shutil
import sys
from functools import partial
from pathlib import Path

import chex
import jax
import numpy as np
import pytest
from helpers import ROOT, in_process

from wgan_jax import convert, sample
from wgan_jax.config import Config, Data, Model, Objective, load
from wgan_jax.errors import UserError
from wgan_jax.nn import torch_files, torch_weights
from wgan_jax.nn.layers import Conv, ConvTranspose, Dense, ResidualBlock
from wgan_jax.nn.models import build
from wgan_jax.nn.network import LayerSummary, Network
from wgan_jax.pictures import to_uint8
from wgan_jax.runs import restore, sampling
from wgan_jax.runs.directory import read_config

# --------------------------------------------- the nets, as their authors write them


def seed_000(size, channels, features, z_dim):
    import torch_nets

    shape = (channels, size, size)
    generator = torch_nets.Seed000Generator(shape, z_dim, features)
    return generator, torch_nets.Seed000Critic(shape, features)


def seed_001(channels, features, z_dim):
    import torch_nets

    generator = torch_nets.Seed001Generator(channels, z_dim, features)
    return generator, torch_nets.Seed001Critic(channels, features)


def seed_002(channels, features, z_dim):
    import torch_nets

    generator = torch_nets.Seed002Generator(z_dim, channels, features)
    return generator, torch_nets.Seed002Critic(channels, features)


def arjovsky(size, channels, features, z_dim, separator=":"):
    """Arjovsky's DCGAN; its first files separate the parts of a name by dots."""
    from torch import nn

    def stack(parts):
        main = nn.Sequential()
        for name, module in parts:
            # add_module refuses dots, which the first files have.
            main._modules[name.replace(":", separator)] = module
        return main

    class Net(nn.Module):
        def __init__(self, parts):
            super().__init__()
            self.main = stack(parts)

        def forward(self, x):
            return self.main(x[..., None, None] if x.ndim == 2 else x)

    def norm(stage, width, activation):
        yield f"{stage}:{width}:batchnorm", nn.BatchNorm2d(width)
        yield f"{stage}:{width}:relu", activation

    def generator():
        width, at = features // 2, 4
        while at != size:
            width, at = width * 2, at * 2
        yield (
            f"initial:{z_dim}-{width}:convt",
            nn.ConvTranspose2d(z_dim, width, 4, 1, 0, bias=False),
        )
        yield from norm("initial", width, nn.ReLU(True))
        at = 4
        while at < size // 2:
            yield (
                f"pyramid:{width}-{width // 2}:convt",
                nn.ConvTranspose2d(width, width // 2, 4, 2, 1, bias=False),
            )
            width, at = width // 2, at * 2
            yield from norm("pyramid", width, nn.ReLU(True))
        yield (
            f"final:{width}-{channels}:convt",
            nn.ConvTranspose2d(width, channels, 4, 2, 1, bias=False),
        )
        yield f"final:{channels}:tanh", nn.Tanh()

    def critic():
        width, at = features, size / 2
        yield (
            f"initial:{channels}-{width}:conv",
            nn.Conv2d(channels, width, 4, 2, 1, bias=False),
        )
        yield f"initial:{width}:relu", nn.LeakyReLU(0.2, inplace=True)
        while at > 4:
            yield (
                f"pyramid:{width}-{width * 2}:conv",
                nn.Conv2d(width, width * 2, 4, 2, 1, bias=False),
            )
            width, at = width * 2, at / 2
            yield from norm("pyramid", width, nn.LeakyReLU(0.2, inplace=True))
        yield f"final:{width}-1:conv", nn.Conv2d(width, 1, 4, 1, 0, bias=False)

    return Net(generator()), Net(critic())


def from_file(name, data=None, **model):
    config = load(ROOT / "configs" / f"{name}.py")
    return dataclasses.replace(
        config,
        data=dataclasses.replace(config.data, **(data or {})),
        model=dataclasses.replace(config.model, **model),
    )


ARJOVSKY = Config(
    data=Data(image_size=32, channels=3),
    model=Model(z_dim=5, features=2, critic_norm="batch", bias="none"),
    objective=Objective(constraint="clip"),
)
SEEDS = {
    "seed 000": (
        from_file("fashion_mnist_mlp", {"image_size": 8}, features=4, z_dim=5),
        partial(seed_000, size=8, channels=1, features=4, z_dim=5),
    ),
    "seed 000, three channels": (
        from_file(
            "fashion_mnist_mlp", {"image_size": 6, "channels": 3}, features=4, z_dim=5
        ),
        partial(seed_000, size=6, channels=3, features=4, z_dim=5),
    ),
    # Where the first hidden layer is as wide as the image has pixels.
    "seed 000, square layers": (
        from_file(
            "fashion_mnist_mlp", {"image_size": 4, "channels": 3}, features=12, z_dim=5
        ),
        partial(seed_000, size=4, channels=3, features=12, z_dim=5),
    ),
    "seed 001": (
        from_file("mnist_dcgan", features=2, z_dim=5),
        partial(seed_001, channels=1, features=2, z_dim=5),
    ),
    "seed 002": (
        from_file("cat_faces_1", features=1, z_dim=5),
        partial(seed_002, channels=3, features=1, z_dim=5),
    ),
    "Arjovsky": (
        ARJOVSKY,
        partial(arjovsky, size=32, channels=3, features=2, z_dim=5),
    ),
    "Arjovsky, first files": (
        ARJOVSKY,
        partial(arjovsky, size=32, channels=3, features=2, z_dim=5, separator="."),
    ),
}


@pytest.fixture(scope="module")
def torch():
    import torch

    return torch


def settled_nets(torch, make):
    """Nets in eval mode whose norms are far from their initial values."""
    torch.manual_seed(0)
    nets = make()
    for net in nets:
        for name, tensor in net.state_dict().items():
            if "running_var" in name:
                tensor.uniform_(0.5, 2)
            elif "running_mean" in name or (tensor.ndim == 1 and "bias" in name):
                tensor.normal_(0, 0.5)
            elif tensor.ndim == 1:
                tensor.uniform_(0.5, 2)
        net.eval()
    return nets


def arrays(net):
    return {name: tensor.numpy() for name, tensor in net.state_dict().items()}


def networks(config):
    generator, critic = build(config.model, config.data.sample_shape)
    return (generator, (config.model.z_dim,)), (critic, config.data.sample_shape)


# -------------------------------------------------------------------------- functions


@pytest.mark.torch
@pytest.mark.parametrize("name", SEEDS)
def test_images_and_scores_are_those_of_the_net_in_torch(name, torch):
    config, make = SEEDS[name]
    netG, netD = settled_nets(torch, make)
    (generator, z_shape), (critic, x_shape) = networks(config)
    rng = np.random.default_rng(0)
    z = rng.standard_normal((4, 5), np.float32)
    x = rng.uniform(-1, 1, (4, *x_shape)).astype(np.float32)
    with torch.no_grad():
        images = netG(torch.tensor(z)).numpy().transpose(0, 2, 3, 1)
        scores = netD(torch.tensor(x.transpose(0, 3, 1, 2).copy())).numpy()
    numbers = torch_weights.from_torch(arrays(netG), generator, z_shape)
    ours = jax.jit(partial(generator.apply, train=False))(*numbers, z)[0]
    np.testing.assert_allclose(ours, images, atol=1e-5)
    assert images.std() > 0.02
    numbers = torch_weights.from_torch(arrays(netD), critic, x_shape)
    ours = jax.jit(partial(critic.apply, train=False))(*numbers, x)[0]
    np.testing.assert_allclose(ours, scores.ravel(), atol=1e-5, rtol=1e-5)
    assert scores.std() > 1e-3


MLP = Model(kind="mlp", z_dim=3, features=4, generator_widths=(1, 3))
DCGAN = Model(z_dim=3, features=2, generator_widths=(2, 1), critic_widths=(1, 2))
FAMILIES = {
    "points": (dataclasses.replace(MLP, output="linear"), (2,)),
    "mlp": (dataclasses.replace(MLP, critic_norm="layer"), (4, 6, 3)),
    "mlp without biases": (dataclasses.replace(MLP, bias="none"), (4, 4, 1)),
    "batch": (dataclasses.replace(DCGAN, critic_norm="batch"), (8, 12, 3)),
    "instance": (
        dataclasses.replace(DCGAN, critic_norm="instance", bias="all"),
        (8, 8, 1),
    ),
    "layer, odd kernels": (
        dataclasses.replace(DCGAN, critic_norm="layer", kernel=5),
        (12, 8, 3),
    ),
    "no norm": (dataclasses.replace(DCGAN, generator_norm="none"), (8, 8, 3)),
    "mlp critic": (dataclasses.replace(DCGAN, critic_kind="mlp"), (8, 8, 3)),
}


def drawn(network, key):
    """Parameters and statistics that are random in every array."""
    leaves, structure = jax.tree.flatten(jax.eval_shape(network.init, key))
    keys = jax.random.split(key, len(leaves))
    return structure.unflatten(
        np.asarray(jax.random.normal(k, leaf.shape)) for k, leaf in zip(keys, leaves)
    )


@pytest.mark.parametrize("name", FAMILIES)
def test_a_round_trip_gives_the_same_bits(name, new_key):
    model, shape = FAMILIES[name]
    generator, critic = build(model, shape)
    for network, input_shape in ((generator, (model.z_dim,)), (critic, shape)):
        params, stats = drawn(network, new_key())
        theirs = torch_weights.to_torch(params, stats, network, input_shape)
        ours = torch_weights.from_torch(theirs, network, input_shape)
        assert jax.tree.structure(ours) == jax.tree.structure((params, stats))
        chex.assert_trees_all_equal(ours, (params, stats))
        sizes = [a.size for n, a in theirs.items() if "num_batches" not in n]
        assert sum(sizes) == sum(a.size for a in jax.tree.leaves((params, stats)))


@pytest.mark.torch
@pytest.mark.parametrize("name", ["points", "mlp", "batch", "layer, odd kernels"])
def test_a_sequential_with_a_module_a_row_computes_the_same(name, torch, new_key):
    model, shape = FAMILIES[name]
    for network, input_shape in zip(build(model, shape), ((model.z_dim,), shape)):
        params, stats = drawn(network, new_key())
        stats = jax.tree.map(np.abs, stats)
        net = sequential(torch.nn, network, params, input_shape)
        theirs = torch_weights.to_torch(params, stats, network, input_shape)
        net.load_state_dict({k: torch.from_numpy(a) for k, a in theirs.items()})
        x = np.asarray(jax.random.normal(new_key(), (3, *input_shape)))
        apply = jax.jit(partial(network.apply, train=False))
        ours = np.asarray(apply(params, stats, x)[0])
        if x.ndim == 4:
            x = x.transpose(0, 3, 1, 2)
        with torch.no_grad():
            y = net.eval()(torch.tensor(x.copy())).numpy()
        if y.ndim == 4:
            y = y.transpose(0, 2, 3, 1)
        scale = np.abs(y).max()
        np.testing.assert_allclose(ours / scale, y / scale, atol=1e-5)


def sequential(nn, network, params, input_shape):
    """The nn.Sequential that the rows of a network's summary describe."""
    modules, before = [], tuple(input_shape)
    for i, (layer, shape, _) in enumerate(network.summary):
        bias = "bias" in params["layers"].get(i, {})
        name = str(layer)
        if isinstance(layer, Dense):
            module = nn.Linear(before[0], shape[0], bias)
        elif isinstance(layer, Conv | ConvTranspose):
            options = {"stride": layer.stride, "padding": layer.padding, "bias": bias}
            kind = nn.Conv2d
            if isinstance(layer, ConvTranspose):
                kind = nn.ConvTranspose2d
                options["output_padding"] = layer.output_padding
            module = kind(before[2], shape[2], layer.kernel_size, **options)
        elif name == "batch norm":
            module = (nn.BatchNorm2d if len(shape) == 3 else nn.BatchNorm1d)(shape[-1])
        elif name == "layer norm":
            module = nn.GroupNorm(1, shape[-1])
        elif name == "reshape":
            module = nn.Flatten(0)
            if len(shape) == 3:
                module = nn.Unflatten(1, (shape[2], *shape[:2]))
            elif shape:
                module = nn.Flatten()
        else:
            kinds = {"relu": nn.ReLU(), "tanh": nn.Tanh(), "linear": nn.Identity()}
            module = (kinds | {"leaky_relu": nn.LeakyReLU(0.2)})[name]
        modules.append(module)
        before = shape
    return nn.Sequential(*modules)


def test_only_the_layer_that_reads_an_image_is_permuted():
    # 48 pixels and 48 units: shapes do not distinguish the layers.
    model = dataclasses.replace(MLP, features=12, critic_widths=(4, 4))
    _, critic = build(model, (4, 4, 3))
    rng = np.random.default_rng(0)
    tensors = {}
    for name, width in (("a", 48), ("b", 48), ("c", 1)):
        tensors[f"{name}.weight"] = rng.standard_normal((width, 48), np.float32)
        tensors[f"{name}.bias"] = rng.standard_normal(width, np.float32)
    layers = torch_weights.from_torch(tensors, critic, (4, 4, 3))[0]["layers"]
    first, *others = (layers[i] for i in sorted(layers) if layers[i])
    for ours, name in zip(others, "bc", strict=True):
        assert np.array_equal(ours["kernel"], tensors[f"{name}.weight"].T)
    for ours, name in zip((first, *others), "abc"):
        assert np.array_equal(ours["bias"], tensors[f"{name}.bias"])
    pixels = first["kernel"].reshape(4, 4, 3, 48)
    theirs = tensors["a.weight"].reshape(48, 3, 4, 4)
    assert np.array_equal(pixels[1, 2, 0], theirs[:, 0, 1, 2])
    assert np.array_equal(pixels[3, 0, 2], theirs[:, 2, 3, 0])


def test_names_and_counters_of_batches_do_not_matter():
    (network, input_shape), _ = networks(ARJOVSKY)
    params, stats = drawn(network, jax.random.key(3))
    theirs = torch_weights.to_torch(params, stats, network, input_shape)
    renamed = {
        f"module.x{name}": array
        for name, array in theirs.items()
        if "num_batches" not in name
    }
    assert len(renamed) < len(theirs)
    ours = torch_weights.from_torch(renamed, network, input_shape)
    chex.assert_trees_all_equal(ours, (params, stats))


def test_other_than_plain_stacks_are_refused():
    shapes = {"layers": {0: {"block": {"kernel": np.zeros((2, 2))}}}}
    row = LayerSummary(ResidualBlock([], []), (2,), 4)
    network = Network(init=lambda key: (shapes, {}), apply=None, summary=[row])
    with pytest.raises(UserError, match=r"layer 0 \(residual block\) cannot be conv"):
        torch_weights.compare({}, network, (2,))


# ---------------------------------------------------------------------------- command

TINY = """--config configs/digits.py --data.image-size 32 --model.features 2
--model.z-dim 5 --model.critic-norm batch --model.bias all
--objective.constraint clip""".split()  # noqa: SIM905


@pytest.fixture(scope="module")
def nets(torch, tmp_path_factory):
    """Nets of seed 001 and their files."""
    folder = tmp_path_factory.mktemp("nets")
    netG, netD = settled_nets(torch, partial(seed_001, channels=1, features=2, z_dim=5))
    torch.save(netG.state_dict(), folder / "Generator_epoch_3.pth")
    torch.save({"state_dict": netD.state_dict(), "optimizer": {}}, folder / "c.pt")
    return netG, netD, folder / "Generator_epoch_3.pth", folder / "c.pt"


@pytest.fixture(scope="module")
def run(nets, tmp_path_factory):
    out = tmp_path_factory.mktemp("converted") / "run"
    code, error = in_process(
        convert, nets[3], nets[2], *TINY, "--out", out, "--step", "30"
    )
    assert code == 0, error
    return out


@pytest.fixture(scope="module")
def restored(run):
    return restore.restore_run(run)


def refusal(*arguments):
    code, error = in_process(convert, *arguments)
    assert code == 2
    assert error.startswith("error: ")
    return error


@pytest.mark.torch
def test_samples_of_a_converted_run_are_the_images_of_torch(run, nets, torch, tmp_path):
    out = tmp_path / "samples.npz"
    code, error = in_process(sample, run, "--num", "6", "--seed", "7", "--out", out)
    assert code == 0, error
    z = torch.tensor(sampling.noise(7, 6, 5).copy())
    with torch.no_grad():
        images = nets[0](z).numpy().transpose(0, 2, 3, 1)
    with np.load(out) as file:
        ours = file["images"].astype(int)
    # A level apart where rounding decides.
    assert np.abs(ours - to_uint8(images, "symmetric")).max() <= 1
    assert ours.std() > 3


@pytest.mark.torch
def test_the_run_holds_step_weights_and_a_critic_that_scores_the_same(
    run, restored, nets, torch
):
    config, spec, state = restored
    assert config == read_config(run)
    assert int(state.step) == 30
    assert {p.name for p in run.iterdir()} == {
        "config.json",
        "data.json",
        "versions.json",
        "checkpoints",
        "samples",
    }
    x = np.random.default_rng(0).uniform(-1, 1, (3, 1, 32, 32)).astype(np.float32)
    with torch.no_grad():
        scores = nets[1](torch.tensor(x)).numpy().ravel()
    net = state.critic
    score = jax.jit(partial(spec.critic.apply, train=False))
    ours = score(net.params, net.stats, x.transpose(0, 2, 3, 1))[0]
    np.testing.assert_allclose(ours, scores, atol=1e-5, rtol=1e-5)
    # digits keeps an averaged generator.
    for ours, averaged in (
        (state.generator.params, state.ema.params),
        (state.generator.stats, state.ema.stats),
    ):
        chex.assert_trees_all_equal(ours, averaged)


@pytest.mark.torch
def test_a_run_is_written_as_the_same_tensors_averaged_unless_raw(
    run, restored, nets, torch, tmp_path
):
    other = tmp_path / "run"
    other.mkdir()
    for name in ("config.json", "data.json"):
        shutil.copy(run / name, other)
    state = restored[2]
    average = jax.tree.map(lambda a: 2 * a, state.ema)
    with convert.Checkpoints(other / "checkpoints", 2) as checkpoints:
        checkpoints.save(dataclasses.replace(state, ema=average))

    def back(name, *flags):
        code, error = in_process(convert, other, "--to-torch", tmp_path / name, *flags)
        assert code == 0, error
        files = (tmp_path / name / "netG.pth", tmp_path / name / "netD.pth")
        return [torch.load(file, weights_only=True) for file in files]

    raw, averaged = back("raw", "--raw"), back("averaged")
    for net, written in zip(nets, raw):
        expected = net.state_dict()
        assert len(written) == len(expected)
        for theirs, tensor in zip(written.values(), expected.values()):
            assert theirs.dtype == tensor.dtype
            assert torch.equal(theirs, tensor)
    assert torch.equal(averaged[0]["1.weight"], 2 * raw[0]["1.weight"])
    assert torch.equal(averaged[1]["2.weight"], raw[1]["2.weight"])
    assert "netG.pth already exists" in refusal(other, "--to-torch", tmp_path / "raw")


@pytest.mark.torch
def test_a_network_that_was_not_given_is_untrained_and_reported(
    nets, restored, tmp_path, capsys
):
    out = tmp_path / "run"
    code, error = in_process(convert, nets[2], *TINY, "--out", out)
    assert code == 0, error
    output = capsys.readouterr().out
    assert f"{nets[2]} is used as the generator" in output
    assert "the critic was not given: its weights are untrained" in output
    with convert.Checkpoints(out / "checkpoints", 2) as checkpoints:
        state = checkpoints.restore(restored[2], 0)
    assert int(state.step) == 0
    # Fresh weights of a clipped critic are within the bound, those of the file are not.
    bound = load(ROOT / "configs" / "digits.py").objective.clip
    kernels = [
        np.abs(s.critic.params["layers"][2]["kernel"]).max()
        for s in (state, restored[2])
    ]
    assert 0 < kernels[0] <= np.float32(bound) < kernels[1]


@pytest.mark.torch
def test_one_file_may_contain_both_nets(nets, torch, tmp_path):
    both = tmp_path / "both.pth"
    held = {"generator_state_dict": nets[0].state_dict(), "netD": nets[1].state_dict()}
    torch.save({"epoch": 3, **held}, both)
    files = torch_files.read(both)
    assert list(files) == [f"{both} [generator_state_dict]", f"{both} [netD]"]
    assigned = torch_files.assign(files, SEEDS["seed 001"][0])
    assert {name: label for name, (label, _) in assigned.items()} == {
        "generator": f"{both} [generator_state_dict]",
        "critic": f"{both} [netD]",
    }


@pytest.mark.torch
def test_one_state_dict_may_contain_both_nets(nets, torch, tmp_path, capsys):
    """As a LightningModule saves them, also one in another module."""
    named = zip(("generator.", "discriminator."), nets)
    tensors = {p + n: t for p, net in named for n, t in net.state_dict().items()}
    tensors["perceptual.weight"] = torch.zeros(2)
    for prefix in ("", "model."):
        content = {prefix + name: tensor for name, tensor in tensors.items()}
        torch.save({"state_dict": content, "epoch": 3}, tmp_path / "last.ckpt")
        files = torch_files.read(tmp_path / "last.ckpt")
        label = f"{tmp_path / 'last.ckpt'} [state_dict]"
        assert list(files) == [f"{label} [generator]", f"{label} [discriminator]"]
        assigned = torch_files.assign(files, SEEDS["seed 001"][0])
        assert assigned["critic"][0] == f"{label} [discriminator]"
        expected = f"{label}: perceptual.* are not networks and are left out"
        assert expected in capsys.readouterr().out


def test_residual_networks_with_classes_are_converted_both_ways():
    config = Config(
        data=Data(image_size=8, channels=3),
        model=Model(
            kind="resnet",
            z_dim=3,
            features=2,
            kernel=3,
            generator_widths=(2, 1),
            critic_widths=(1, 2),
            critic_halvings=1,
            classes=4,
        ),
    )
    generator, critic = build(config.model, config.data.sample_shape)
    rng = np.random.default_rng(0)
    for network, shape in ((generator, (3,)), (critic, (8, 8, 3))):
        params, stats = jax.tree.map(
            lambda a: rng.normal(size=a.shape).astype(np.float32),
            jax.eval_shape(network.init, jax.random.key(0)),
        )
        tensors = torch_weights.to_torch(params, stats, network, shape)
        chex.assert_trees_all_equal(
            torch_weights.from_torch(tensors, network, shape), (params, stats)
        )
    names = list(tensors)
    assert names[:2] == ["0.main.0.weight", "0.main.0.bias"]
    assert names[-4:] == [f"4.{n}" for n in SCORES]
    assert tensors["4.classes.weight"].shape == (4, 4)


SCORES = ("score.weight", "score.bias", "classes.weight", "classes.bias")


@pytest.mark.torch
def test_arjovskys_code_loads_the_files_with_its_names(torch, tmp_path):
    make = partial(arjovsky, size=32, channels=3, features=2, z_dim=5)
    options = """--config configs/digits.py --data.channels 3 --model.z-dim 5
    --model.features 2 --model.critic-norm batch --model.bias none
    --objective.constraint clip --optimizer.ema-decay 0""".split()  # noqa: SIM905
    files = [tmp_path / "netG_epoch_0.pth", tmp_path / "netD_epoch_0.pth"]
    nets = settled_nets(torch, make)
    for net, file in zip(nets, files):
        parallel = torch.nn.DataParallel(net).state_dict()
        # Before PyTorch 1.6 a file was no zip.
        torch.save(parallel, file, _use_new_zipfile_serialization=False)
    code, error = in_process(convert, *files, *options, "--out", tmp_path / "run")
    assert code == 0, error
    back = tmp_path / "back"
    code, error = in_process(
        convert, tmp_path / "run", "--to-torch", back, "--naming", "arjovsky"
    )
    assert code == 0, error
    for net, empty, name in zip(nets, make(), ("netG.pth", "netD.pth")):
        empty.load_state_dict(torch.load(back / name, weights_only=True))
        for ours, tensor in zip(empty.state_dict().values(), net.state_dict().values()):
            assert torch.equal(ours, tensor)


# --------------------------------------------------------------------------- mistakes


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.torch
def test_code_in_a_file_is_never_executed(torch, tmp_path):
    ran, file = tmp_path / "ran", tmp_path / "evil.pth"
    for body in ({"state_dict": Evil(ran)}, Evil(ran)):
        torch.save(body, file)
        error = refusal(file, *TINY, "--out", tmp_path / "run")
        assert not ran.exists()
        assert error.count("\n") == 1
        assert f"{file} contains code (" in error
        assert "torch.save(net.state_dict(), FILE)" in error
    assert not (tmp_path / "run").exists()
    # It would have been, by a reader that trusts the file.
    torch.load(file, weights_only=False)
    assert ran.exists()
    ran.unlink()
    file.write_bytes(pickle.dumps(Evil(ran)))
    refusal(file, *TINY, "--out", tmp_path / "run")
    assert not ran.exists()


@pytest.mark.torch
@pytest.mark.parametrize("content", [b"", b"not a file of torch's", b"PK\x03\x04 cut"])
def test_a_broken_file_gets_one_sentence(content, tmp_path):
    (tmp_path / "x.pth").write_bytes(content)
    assert_damaged(tmp_path / "x.pth", tmp_path / "run")


def assert_damaged(file, out):
    error = refusal(file, *TINY, "--out", out)
    assert f"{file} is damaged or was not written by torch.save (" in error
    assert error.endswith("save it with torch.save(net.state_dict(), FILE)\n")
    assert error.count("\n") == 1
    # PyTorch's messages recommend it.
    assert "weights_only" not in error
    assert not out.exists()


@pytest.mark.torch
def test_every_damage_of_a_file_gets_one_sentence(nets, torch, tmp_path):
    whole = bytearray(nets[2].read_bytes())
    file = tmp_path / "x.pth"
    for length in (len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:length])
        assert_damaged(file, tmp_path / "run")
    flat = next(iter(nets[0].state_dict().values())).numpy().tobytes()
    # In the first tensor: PyTorch would load another number.
    whole[whole.index(flat[:16])] ^= 64
    file.write_bytes(whole)
    assert_damaged(file, tmp_path / "run")
    old = io.BytesIO()
    torch.save(nets[0].state_dict(), old, _use_new_zipfile_serialization=False)
    file.write_bytes(old.getvalue()[:-7])
    assert_damaged(file, tmp_path / "run")


@pytest.mark.torch
@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda t: t * float("nan"), "that are not finite: give weights from before"),
        (lambda t: t.double() * 1e300, "that are not finite: give weights from before"),
        (lambda t: t.char(), "of torch.int8"),
        (lambda t: t * 1j, "of torch.complex64"),
        (lambda t: t.to_sparse(), "torch.sparse_coo"),
    ],
)
def test_tensors_that_are_no_weights_are_refused(change, part, nets, torch, tmp_path):
    tensors = nets[0].state_dict()
    name = next(iter(tensors))
    torch.save(tensors | {name: change(tensors[name])}, tmp_path / "x.pth")
    error = refusal(tmp_path / "x.pth", *TINY, "--out", tmp_path / "run")
    assert name in error
    assert part in error
    assert error.count("\n") == 1


@pytest.mark.torch
def test_a_file_of_another_net_gets_a_table_of_shapes(nets, torch, tmp_path):
    tensors = nets[0].state_dict()
    tensors["main_module.3.weight"] = torch.zeros(8, 4, 3, 3)
    tensors["extra.gamma"] = torch.zeros(7)
    torch.save(tensors, tmp_path / "x.pth")
    error = refusal(tmp_path / "x.pth", *TINY, "--out", tmp_path / "run")
    first, *rows = error.rstrip().split("\n")
    assert "x.pth fits neither network; it differs from the generator" in first
    assert "first at main_module.3.weight" in first
    assert len(rows) == 4 * 2 + 3 * 4 + 1
    marked = [" ".join(row.split()) for row in rows if row.startswith(">")]
    assert marked == [
        "> main_module.3.weight [8, 4, 3, 3] "
        "layer 4 (transposed conv 4x4 stride 2) kernel [8, 4, 4, 4]",
        "> extra.gamma [7] no layer left",
    ]
    assert " ".join(rows[0].split()) == (
        "main_module.0.weight [5, 8, 4, 4] "
        "layer 1 (transposed conv 4x4 stride 1) kernel [5, 8, 4, 4]"
    )
    assert not (tmp_path / "run").exists()


@pytest.mark.torch
def test_missing_tensors_are_reported(nets, torch, tmp_path):
    tensors = nets[1].state_dict()
    del tensors["main_module.3.running_var"], tensors["output.0.weight"]
    torch.save(tensors, tmp_path / "x.pth")
    error = refusal(tmp_path / "x.pth", *TINY, "--out", tmp_path / "run")
    assert "differs from the critic first at layer 3 (batch norm) variance" in error
    marked = [" ".join(r.split()) for r in error.split("\n") if r.startswith(">")]
    assert marked == [
        "> nothing layer 3 (batch norm) variance [4]",
        "> nothing layer 8 (conv 4x4 stride 1) kernel [1, 8, 4, 4]",
    ]


@pytest.mark.torch
@pytest.mark.parametrize(
    ("configured", "remedy"), [("none", "all"), ("unnormalised", "all")]
)
def test_biases_that_do_not_fit_get_their_option(configured, remedy, nets, tmp_path):
    options = ["--model.bias", configured, "--out", tmp_path / "run"]
    for file, name in ((nets[2], "generator"), (nets[3], "critic")):
        error = refusal(file, *TINY, *options)
        assert f"fits the {name} except for the biases" in error
        assert f"model.bias={configured}" in error
        assert error.endswith(f"add --model.bias {remedy}\n")


@pytest.mark.torch
def test_other_mistakes_get_one_sentence(nets, run, torch, tmp_path):
    generator, out = nets[2], ["--out", tmp_path / "run"]
    torch.save({"epoch": 3, "loss": 0.5}, tmp_path / "none.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    back = ["--to-torch", tmp_path / "back"]
    for arguments, part in (
        ([generator, *out], "--config is missing"),
        ([generator, *TINY], "--out is missing"),
        ([*TINY, *out], "the files are missing"),
        ([generator, *TINY, *out, "--step", "-1"], "--step -1 must be 0 or more"),
        ([generator, *TINY, *out, "--raw"], "--raw applies to --to-torch only"),
        ([generator, *TINY, *out, "--model.widths", "3"], "is not an option"),
        ([generator, *TINY, "--out", run], "add --fresh to move that run"),
        ([generator, *TINY, "--out", tmp_path], "is not empty and is not a run"),
        ([generator, generator.parent, *TINY, *out], "add --to-torch FOLDER"),
        ([tmp_path / "absent.pth", *TINY, *out], "absent.pth is not a file"),
        ([tmp_path / "none.pth", *TINY, *out], "contains the keys epoch, loss"),
        ([tmp_path / "list.pth", *TINY, *out], "contains a list, not a state dict"),
        ([run, *back, "--step", "3"], "--step cannot be combined with --to-torch"),
        ([run, *back, "--model.z-dim", "3"], "--model.z-dim cannot be combined"),
        ([run, run, *back], "converts one run and 2 were given"),
        ([tmp_path, *back], "is not a run directory"),
        (
            [run, *back, "--naming", "arjovsky"],
            "needs model.bias=none and the run has all",
        ),
    ):
        error = refusal(*arguments)
        assert part in error
        assert error.count("\n") == 1
    torch.save(nets[0].state_dict(), tmp_path / "again.pth")
    error = refusal(generator, tmp_path / "again.pth", *TINY, *out)
    assert "both fit the generator: give one of them" in error
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "back").exists()


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("model.kernel=4", {"kernel": 5}),
        ("model.features=2", {"features": 3}),
        ("model.ends=conv", {"ends": "dense"}),
        ("model.critic_extra_depth=0", {"critic_extra_depth": 1}),
        ("model.critic_norm=batch", {"critic_norm": "layer"}),
        ("model.critic_kind=dcgan", {"critic_kind": "mlp"}),
        ("model.generator_widths=(4, 2, 1)", {"generator_widths": (2, 1)}),
    ],
)
def test_other_networks_are_refused_arjovskys_names(field, change):
    torch_weights.require_arjovsky(ARJOVSKY)
    model = dataclasses.replace(ARJOVSKY.model, **change)
    with pytest.raises(UserError) as raised:
        torch_weights.require_arjovsky(dataclasses.replace(ARJOVSKY, model=model))
    assert field in str(raised.value)


def test_without_torch_the_extra_is_named(monkeypatch, tmp_path):
    # tyro's first command line looks for torch in sys.modules.
    refusal("--no-such-option")
    monkeypatch.setitem(sys.modules, "torch", None)
    error = refusal(tmp_path / "x.pth", *TINY, "--out", tmp_path / "run")
    assert error == 'error: torch is not installed: pip install "wgan_jax[torch]"\n'
