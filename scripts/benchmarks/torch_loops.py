"""PyTorch training loops of the speed benchmark: that of tutorials, and a tuned one.

Both consist of two updates that take their random numbers as arguments, so that a test
can compare them with `wgan_jax.algorithm.steps` on the same weights:
critic_update(real, z, epsilon) and generator_update(z), each returning its loss. real:
[batch, c, h, w] in [-1, 1]; z: [batch, z_dim]; epsilon: [batch], unused when clipping.
"""

from functools import partial
from itertools import chain, pairwise, repeat

import numpy as np
import torch
from torch import nn

# ------------------------------------------------------------------------------- nets


def nets(config):
    """(generator, critic): noise -> images [batch, c, h, w], images -> [batch]."""
    stacks = {"mlp": _mlp, "dcgan": _dcgan, "resnet": _resnet}[config.model.kind]
    generator, critic = stacks(config)
    return nn.Sequential(*generator), nn.Sequential(*critic, nn.Flatten(0))


def _mlp(config):
    model, (size, _, channels) = config.model, config.data.sample_shape
    pixels, leaky = channels * size**2, partial(nn.LeakyReLU, model.leaky_slope, True)
    up = [model.z_dim, *(m * model.features for m in model.generator_widths)]
    down = [pixels, *(m * model.features for m in model.critic_widths)]
    generator, critic = [nn.Linear(up[0], up[1]), leaky()], [nn.Flatten()]
    for a, b in pairwise(up[1:]):
        norm = nn.BatchNorm1d(b, model.norm_epsilon)
        generator += [nn.Linear(a, b), norm, leaky()]
    generator += [nn.Linear(up[-1], pixels), nn.Tanh()]
    for a, b in pairwise(down):
        critic += [nn.Linear(a, b), leaky()]
    unflatten = nn.Unflatten(1, (channels, size, size))
    return [*generator, unflatten], [*critic, nn.Linear(down[-1], 1)]


def _dcgan(config):
    model, (size, _, channels) = config.model, config.data.sample_shape
    eps, leaky = model.norm_epsilon, partial(nn.LeakyReLU, model.leaky_slope, True)
    up = [model.z_dim, *(m * model.features for m in model.generator_widths)]
    down = [m * model.features for m in model.critic_widths]
    generator = [nn.Unflatten(1, (up[0], 1, 1))]
    geometry = (size >> len(up) - 1, 1, 0)
    for a, b in pairwise(up):
        generator.append(nn.ConvTranspose2d(a, b, *geometry, bias=False))
        generator += [nn.BatchNorm2d(b, eps), nn.ReLU(True)]
        geometry = (4, 2, 1)
    generator += [nn.ConvTranspose2d(up[-1], channels, 4, 2, 1), nn.Tanh()]
    critic = [nn.Conv2d(channels, down[0], 4, 2, 1), leaky()]
    for a, b in pairwise(down):
        instance = partial(nn.InstanceNorm2d, affine=True)
        norm = nn.BatchNorm2d if model.critic_norm == "batch" else instance
        critic += [nn.Conv2d(a, b, 4, 2, 1, bias=False), norm(b, eps), leaky()]
    return generator, [*critic, nn.Conv2d(down[-1], 1, size >> len(down))]


class Residual(nn.Module):
    """Sum of two stacks applied to the same input."""

    def __init__(self, main, shortcut):
        super().__init__()
        self.main = nn.Sequential(*main)
        self.shortcut = nn.Sequential(*shortcut)

    def forward(self, x):
        """[n, c, h, w] -> the shape of both stacks' outputs."""
        return self.main(x) + self.shortcut(x)


def _resnet(config):
    model, (size, _, channels) = config.model, config.data.sample_shape
    # Not in place: the shortcut needs the input of the activation.
    norm, relu = partial(nn.BatchNorm2d, eps=model.norm_epsilon), nn.ReLU
    conv = partial(nn.Conv2d, kernel_size=model.kernel, padding="same")
    width = model.features
    base = size >> len(model.generator_widths)
    generator = [nn.Linear(model.z_dim, base**2 * width)]
    generator.append(nn.Unflatten(1, (width, base, base)))
    for _ in model.generator_widths:
        main = [norm(width), relu(), nn.Upsample(scale_factor=2), conv(width, width)]
        main += [norm(width), relu(), conv(width, width)]
        shortcut = [nn.Conv2d(width, width, 1), nn.Upsample(scale_factor=2)]
        generator.append(Residual(main, shortcut))
    generator += [norm(width), relu(), conv(width, channels), nn.Tanh()]
    main = [conv(channels, width), relu(), conv(width, width), nn.AvgPool2d(2)]
    critic = [Residual(main, [nn.AvgPool2d(2), nn.Conv2d(channels, width, 1)])]
    for i in range(1, len(model.critic_widths)):
        main = [relu(), conv(width, width), relu(), conv(width, width)]
        halves = i < model.critic_halvings
        shortcut = [nn.AvgPool2d(2), nn.Conv2d(width, width, 1)] if halves else []
        critic.append(Residual([*main, nn.AvgPool2d(2)] if halves else main, shortcut))
    critic += [relu(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 1)]
    return generator, critic


# ---------------------------------------------------------------------------- updates


def eager_updates(config, generator, critic):
    """(critic_update, generator_update) as tutorials write them."""
    objective, optimizer = config.objective, config.optimizer
    kind, options = torch.optim.RMSprop, {}
    if optimizer.kind == "adam":
        kind = torch.optim.Adam
        options = {"betas": (optimizer.beta1, optimizer.beta2)}
    generator_optimizer = kind(
        generator.parameters(), optimizer.generator_lr, **options
    )
    critic_optimizer = kind(critic.parameters(), optimizer.critic_lr, **options)

    def penalty(real, fake, epsilon):
        epsilon = epsilon.view(-1, 1, 1, 1)
        x = (epsilon * real + (1 - epsilon) * fake).requires_grad_(True)
        score = critic(x)
        ones = torch.ones_like(score)
        (gradient,) = torch.autograd.grad(score, x, ones, create_graph=True)
        return ((gradient.flatten(1).norm(2, dim=1) - objective.gp_target) ** 2).mean()

    def critic_update(real, z, epsilon):
        fake = generator(z).detach()
        loss = critic(fake).mean() - critic(real).mean()
        if objective.constraint == "penalty":
            loss = loss + objective.gp_weight * penalty(real, fake, epsilon)
        critic_optimizer.zero_grad()
        loss.backward()
        critic_optimizer.step()
        if objective.constraint == "clip":
            for parameter in critic.parameters():
                parameter.data.clamp_(-objective.clip, objective.clip)
        return loss

    def generator_update(z):
        # As in the tutorials, this also computes unused gradients of the critic.
        generator_optimizer.zero_grad()
        loss = -critic(generator(z)).mean()
        loss.backward()
        generator_optimizer.step()
        return loss

    return critic_update, generator_update


def tuned_updates(config, generator, critic, compiled):
    """The same (critic_update, generator_update) as fast as we can make them.

    No unused gradients, real and generated samples in one pass unless the critic has
    BatchNorm, gradient norms in one reduction, weights and moments updated in place by
    multi-tensor or fused kernels, channels last. compiled: whole updates by
    torch.compile, as CUDA graphs on a GPU. The gradients are functional because the
    autograd of torch.compile has no second derivatives.
    """
    objective = config.objective
    one_pass = config.model.critic_norm != "batch"
    for net in (generator, critic):
        net.to(memory_format=torch.channels_last)

    def run(net, weights, x):
        return torch.func.functional_call(net, weights, (x,))

    def critic_loss(params, buffers, real, fake, epsilon):
        weights = params | buffers
        if one_pass:
            scores = run(critic, weights, torch.cat([real, fake]))
            score_real, score_fake = scores.chunk(2)
        else:
            score_real, score_fake = (run(critic, weights, x) for x in (real, fake))
        loss = score_fake.mean() - score_real.mean()
        if objective.constraint == "penalty":
            x = torch.lerp(fake, real, epsilon.view(-1, 1, 1, 1))
            slopes = torch.func.grad(lambda x: run(critic, weights, x).sum())(x)
            norms = torch.linalg.vector_norm(slopes, dim=(1, 2, 3))
            penalty = (norms - objective.gp_target).square().mean()
            loss = loss + objective.gp_weight * penalty
        return loss

    def generator_loss(params, buffers, critic_weights, z):
        fake = run(generator, params | buffers, z)
        return -run(critic, critic_weights, fake).mean()

    critic_params, critic_buffers = _weights(critic)
    generator_params, generator_buffers = _weights(generator)
    critic_optimizer = _Optimizer(config.optimizer, critic_params, not compiled)
    generator_optimizer = _Optimizer(config.optimizer, generator_params, not compiled)

    def critic_update(real, z, epsilon):
        with torch.no_grad():
            fake = run(generator, generator_params | generator_buffers, z)
        gradient, loss = torch.func.grad_and_value(critic_loss)(
            critic_params, critic_buffers, real, fake, epsilon
        )
        critic_optimizer.step(gradient, config.optimizer.critic_lr)
        if objective.constraint == "clip":
            with torch.no_grad():
                values = list(critic_params.values())
                torch._foreach_clamp_min_(values, -objective.clip)
                torch._foreach_clamp_max_(values, objective.clip)
        return loss

    def generator_update(z):
        gradient, loss = torch.func.grad_and_value(generator_loss)(
            generator_params, generator_buffers, critic_params | critic_buffers, z
        )
        generator_optimizer.step(gradient, config.optimizer.generator_lr)
        return loss

    if not compiled:
        return critic_update, generator_update
    mode = "reduce-overhead" if next(critic.parameters()).is_cuda else None
    compile_ = partial(torch.compile, fullgraph=True, dynamic=False, mode=mode)
    return compile_(critic_update), compile_(generator_update)


def _weights(net):
    params = {name: p.detach() for name, p in net.named_parameters()}
    return params, dict(net.named_buffers())


class _Optimizer:
    """In-place RMSprop and Adam with the arithmetic of torch.optim."""

    def __init__(self, optimizer, params, fused):
        self.kind = optimizer.kind
        self.betas = (optimizer.beta1, optimizer.beta2)
        self.params = list(params.values())
        self.fused = fused
        self.means = [torch.zeros_like(p) for p in self.params]
        self.squares = [torch.zeros_like(p) for p in self.params]
        # One per tensor as in torch.optim, on the device, where a graph can count.
        self.steps = [torch.zeros((), device=p.device) for p in self.params]

    @torch.no_grad()
    def step(self, gradient, lr):
        gradient = list(gradient.values())
        if self.kind == "rmsprop":
            self._rmsprop(gradient, lr)
        elif self.fused:
            # The kernel ignores strides: gradients need the layout of the parameters.
            gradient = [
                g if g.stride() == p.stride() else torch.empty_like(p).copy_(g)
                for g, p in zip(gradient, self.params, strict=True)
            ]
            torch._foreach_add_(self.steps, 1)
            torch._fused_adam_(
                self.params,
                gradient,
                self.means,
                self.squares,
                [],
                self.steps,
                lr=lr,
                beta1=self.betas[0],
                beta2=self.betas[1],
                weight_decay=0.0,
                eps=1e-8,
                amsgrad=False,
                maximize=False,
            )
        else:
            self._adam(gradient, lr)

    def _rmsprop(self, gradient, lr):
        torch._foreach_mul_(self.squares, 0.99)
        torch._foreach_addcmul_(self.squares, gradient, gradient, 0.01)
        divisors = torch._foreach_sqrt(self.squares)
        torch._foreach_add_(divisors, 1e-8)
        torch._foreach_addcdiv_(self.params, gradient, divisors, -lr)

    def _adam(self, gradient, lr):
        self.steps[0].add_(1)
        first, second = (1 - beta ** self.steps[0] for beta in self.betas)
        torch._foreach_lerp_(self.means, gradient, 1 - self.betas[0])
        torch._foreach_mul_(self.squares, self.betas[1])
        torch._foreach_addcmul_(self.squares, gradient, gradient, 1 - self.betas[1])
        divisors = torch._foreach_sqrt(self.squares)
        torch._foreach_div_(divisors, second.sqrt())
        torch._foreach_add_(divisors, 1e-8)
        steps = torch._foreach_div(self.means, divisors)
        torch._foreach_mul_(steps, lr / first)
        torch._foreach_sub_(self.params, steps)


# ------------------------------------------------------------------------------- loops


def eager_loop(config, images, device):
    """Trains as tutorials do on uint8 [n, h, w, c]. Returns run(cycles) -> loss."""
    torch.manual_seed(0)
    pair = [net.to(device) for net in nets(config)]
    samples = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(samples),
        config.data.batch_size,
        shuffle=True,
        drop_last=True,
    )

    def batches():
        for (real,) in chain.from_iterable(repeat(loader)):
            yield real.to(device).float() / 127.5 - 1

    return _loop(config, eager_updates(config, *pair), batches(), device)


def tuned_loop(config, images, device, compiled):
    """The same with the images on the device and `tuned_updates`."""
    torch.manual_seed(0)
    batch = config.data.batch_size
    pair = [net.to(device) for net in nets(config)]
    samples = torch.from_numpy(images).to(device)

    def batches():
        while True:
            order = torch.randperm(len(samples), device=device)
            for rows in order[: len(order) // batch * batch].split(batch):
                # [n, h, w, c] seen as [n, c, h, w] is channels last already.
                yield samples[rows].permute(0, 3, 1, 2).float().div_(127.5).sub_(1)

    return _loop(config, tuned_updates(config, *pair, compiled), batches(), device)


def _loop(config, updates, batches, device):
    critic_update, generator_update = updates
    batch = config.data.batch_size

    def noise(size):
        return torch.randn(size, config.model.z_dim, device=device)

    def run(cycles):
        for _ in range(cycles):
            for _ in range(config.objective.n_critic):
                real = next(batches)
                epsilon = torch.rand(batch, device=device)
                loss = critic_update(real, noise(batch), epsilon)
            generator_update(noise(config.objective.generator_batch or batch))
        return loss.item()

    return run
