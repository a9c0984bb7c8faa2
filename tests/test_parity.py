"""Whole training cycles against plain PyTorch, as the papers' released code has it."""

from functools import partial

import jax
import numpy as np
import pytest

from wgan_jax.config import Config, Data, Model, Objective, Optimizer
from wgan_jax.state import init_state, make_spec
from wgan_jax.steps import split_key, train_step

BATCH, Z_DIM, N_CRITIC = 4, 3, 2
CONFIGS = {
    "clip": Config(
        data=Data(image_size=8, channels=2, batch_size=BATCH),
        model=Model(
            z_dim=Z_DIM,
            features=2,
            generator_widths=(2, 1),
            critic_widths=(1, 2),
            critic_norm="batch",
            bias="none",
            init="dcgan",
        ),
        objective=Objective(constraint="clip", clip=0.05, n_critic=N_CRITIC),
        optimizer=Optimizer(kind="rmsprop", critic_lr=1e-3, generator_lr=1e-3),
    ),
    "penalty": Config(
        data=Data(image_size=8, channels=2, batch_size=BATCH),
        model=Model(
            z_dim=Z_DIM,
            features=2,
            generator_widths=(2, 1),
            critic_widths=(1, 2),
            critic_norm="instance",
        ),
        objective=Objective(n_critic=N_CRITIC),
        optimizer=Optimizer(critic_lr=1e-2, generator_lr=1e-2),
    ),
}


@jax.jit
def chance(state):
    """(noises of the critic updates, their epsilons, noise of the generator update)."""
    key_train, _ = split_key(state)
    key, key_generator = jax.random.split(jax.random.fold_in(key_train, state.step))
    noises, epsilons = [], []
    for i in range(N_CRITIC):
        key_z, key_epsilon = jax.random.split(jax.random.fold_in(key, i))
        noises.append(jax.random.normal(key_z, (BATCH, Z_DIM)))
        epsilons.append(jax.random.uniform(key_epsilon, (BATCH,)))
    return noises, epsilons, jax.random.normal(key_generator, (BATCH, Z_DIM))


def torch_networks(torch, name):
    nn = torch.nn
    bias = name == "penalty"
    norm = nn.BatchNorm2d(4)
    if name == "penalty":
        norm = nn.InstanceNorm2d(4, affine=True)
    generator = nn.Sequential(
        nn.Unflatten(1, (Z_DIM, 1, 1)),
        nn.ConvTranspose2d(Z_DIM, 4, 2, 1, 0, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.ConvTranspose2d(4, 2, 4, 2, 1, bias=False),
        nn.BatchNorm2d(2),
        nn.ReLU(),
        nn.ConvTranspose2d(2, 2, 4, 2, 1, bias=bias),
        nn.Tanh(),
    )
    critic = nn.Sequential(
        nn.Conv2d(2, 2, 4, 2, 1, bias=bias),
        nn.LeakyReLU(0.2),
        nn.Conv2d(2, 4, 4, 2, 1, bias=False),
        norm,
        nn.LeakyReLU(0.2),
        nn.Conv2d(4, 1, 2, 1, 0, bias=bias),
        nn.Flatten(0),
    )
    return generator.double(), critic.double()


def pairs(module, net):
    """(their tensor, our array in their layout) of all that training changes."""
    for i, layer in enumerate(module):
        ours = net.params["layers"].get(i, {}) | net.stats.get("layers", {}).get(i, {})
        for name, theirs in (
            ("kernel", "weight"),
            ("scale", "weight"),
            ("bias", "bias"),
            ("mean", "running_mean"),
            ("variance", "running_var"),
        ):
            if name in ours:
                array = np.array(ours[name])
                if name == "kernel":
                    array = array.transpose(3, 2, 0, 1)
                yield getattr(layer, theirs), array


def same(theirs, ours):
    np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=1e-10)


@pytest.mark.torch
@pytest.mark.parametrize("name", CONFIGS)
def test_five_cycles_follow_the_papers_code_in_torch(name, x64):
    torch = pytest.importorskip("torch")
    config = CONFIGS[name]
    spec = make_spec(config, draw=None)
    state = jax.jit(partial(init_state, spec=spec))(jax.random.key(0))
    step = jax.jit(lambda state, real: train_step(state, lambda i: real[i], spec=spec))

    netG, netD = torch_networks(torch, name)
    with torch.no_grad():
        for module, net in ((netG, state.generator), (netD, state.critic)):
            found = list(pairs(module, net))
            held = [*module.parameters(), *module.buffers()]
            # All but the counters of batches, which BatchNorm does not use.
            assert len(found) == sum(t.is_floating_point() for t in held)
            for tensor, array in found:
                tensor.copy_(torch.tensor(array))
    if name == "clip":
        optimizerD = torch.optim.RMSprop(netD.parameters(), lr=1e-3)
        optimizerG = torch.optim.RMSprop(netG.parameters(), lr=1e-3)
    else:
        optimizerD = torch.optim.Adam(netD.parameters(), lr=1e-2, betas=(0.0, 0.9))
        optimizerG = torch.optim.Adam(netG.parameters(), lr=1e-2, betas=(0.0, 0.9))

    rng = np.random.default_rng(0)
    for cycle in range(5):
        reals = rng.uniform(-1, 1, (N_CRITIC, BATCH, 8, 8, 2))
        z_critic, epsilons, z_generator = jax.tree.map(
            lambda a: torch.tensor(np.array(a)), chance(state)
        )
        state, metrics = step(state, reals)

        for p in netD.parameters():
            p.requires_grad = True
        for real, z, epsilon in zip(reals, z_critic, epsilons, strict=True):
            real = torch.tensor(real.transpose(0, 3, 1, 2))
            fake = netG(z).detach()
            netD.zero_grad()
            errD_real = netD(real).mean()
            errD_fake = netD(fake).mean()
            errD = errD_fake - errD_real
            if name == "penalty":
                alpha = epsilon.view(-1, 1, 1, 1)
                x = (alpha * real + (1 - alpha) * fake).requires_grad_(True)
                gradients = torch.autograd.grad(
                    netD(x), x, torch.ones(BATCH), create_graph=True
                )[0]
                slopes = gradients.reshape(BATCH, -1).norm(2, dim=1)
                gradient_penalty = ((slopes - 1) ** 2).mean()
                errD = errD + 10 * gradient_penalty
            errD.backward()
            optimizerD.step()
            if name == "clip":
                for p in netD.parameters():
                    p.data.clamp_(-0.05, 0.05)
        for p in netD.parameters():
            p.requires_grad = False
        netG.zero_grad()
        errG = -netD(netG(z_generator)).mean()
        errG.backward()
        optimizerG.step()

        if cycle in (0, 4):
            expected = {
                "critic_loss": errD,
                "wasserstein": errD_real - errD_fake,
                "generator_loss": errG,
            }
            if name == "penalty":
                expected["gradient_penalty"] = gradient_penalty
                expected["gradient_norm"] = slopes.mean()
            for metric, value in expected.items():
                same(value.item(), metrics[metric])
            for module, net in ((netG, state.generator), (netD, state.critic)):
                for tensor, array in pairs(module, net):
                    same(tensor.detach().numpy(), array)
