"""The nets of the seeds and of the papers, and their training, in plain PyTorch.

Written from those documents, names and argument orders included, with widths as
arguments; nothing here reads a configuration. Importing it skips without PyTorch.
"""

import itertools
import math

import torch

nn = torch.nn
F = nn.functional


class FromNoise(nn.Sequential):
    """Transposed convolutions over noise [n, z]."""

    def forward(self, z):
        return super().forward(z[:, :, None, None])


# ------------------------------------------------------- seed 000: fully connected nets


class Seed000Generator(nn.Module):
    def __init__(self, img_shape, latent_dim, width):
        super().__init__()
        self.img_shape = img_shape

        def block(in_features, out_features, normalize=True):
            layers = [nn.Linear(in_features, out_features)]
            if normalize:
                # The second argument is the epsilon.
                layers.append(nn.BatchNorm1d(out_features, 0.8))
            layers.append(nn.LeakyReLU(0.2, inplace=True))
            return layers

        channels, height, columns = img_shape
        self.model = nn.Sequential(
            *block(latent_dim, width, normalize=False),
            *block(width, 2 * width),
            *block(2 * width, 4 * width),
            *block(4 * width, 8 * width),
            nn.Linear(8 * width, channels * height * columns),
            nn.Tanh(),
        )

    def forward(self, z):
        return self.model(z).view(z.shape[0], *self.img_shape)


class Seed000Critic(nn.Module):
    def __init__(self, img_shape, width):
        super().__init__()
        channels, height, columns = img_shape
        self.model = nn.Sequential(
            nn.Linear(channels * height * columns, 4 * width),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Linear(4 * width, 2 * width),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Linear(2 * width, 1),
        )

    def forward(self, img):
        return self.model(img.view(img.shape[0], -1))


# ------------------------------------------------------------ seed 001: DCGAN at 32x32


class Seed001Generator(nn.Module):
    def __init__(self, channels, z_dim, width):
        super().__init__()
        self.main_module = nn.Sequential(
            nn.ConvTranspose2d(z_dim, 4 * width, kernel_size=4, stride=1, padding=0),
            nn.BatchNorm2d(num_features=4 * width),
            nn.ReLU(True),
            nn.ConvTranspose2d(
                4 * width, 2 * width, kernel_size=4, stride=2, padding=1
            ),
            nn.BatchNorm2d(num_features=2 * width),
            nn.ReLU(True),
            nn.ConvTranspose2d(2 * width, width, kernel_size=4, stride=2, padding=1),
            nn.BatchNorm2d(num_features=width),
            nn.ReLU(True),
            nn.ConvTranspose2d(width, channels, kernel_size=4, stride=2, padding=1),
        )
        self.output = nn.Tanh()

    def forward(self, z):
        return self.output(self.main_module(z[:, :, None, None]))


class Seed001Critic(nn.Module):
    def __init__(self, channels, width):
        super().__init__()
        self.main_module = nn.Sequential(
            nn.Conv2d(channels, width, kernel_size=4, stride=2, padding=1),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(width, 2 * width, kernel_size=4, stride=2, padding=1),
            nn.BatchNorm2d(2 * width),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(2 * width, 4 * width, kernel_size=4, stride=2, padding=1),
            nn.BatchNorm2d(4 * width),
            nn.LeakyReLU(0.2, inplace=True),
        )
        self.output = nn.Sequential(
            nn.Conv2d(4 * width, 1, kernel_size=4, stride=1, padding=0)
        )

    def forward(self, x):
        return self.output(self.main_module(x))


# ------------------------------------------ seed 002: 64x64, InstanceNorm in the critic


class Seed002Generator(nn.Module):
    def __init__(self, z_dim, channels_img, features_g):
        super().__init__()
        self.gen = nn.Sequential(
            self._block(z_dim, features_g * 16, 4, 1, 0),
            self._block(features_g * 16, features_g * 8, 4, 2, 1),
            self._block(features_g * 8, features_g * 4, 4, 2, 1),
            self._block(features_g * 4, features_g * 2, 4, 2, 1),
            nn.ConvTranspose2d(
                features_g * 2, channels_img, kernel_size=4, stride=2, padding=1
            ),
            nn.Tanh(),
        )

    def _block(self, in_channels, out_channels, kernel_size, stride, padding):
        return nn.Sequential(
            nn.ConvTranspose2d(
                in_channels, out_channels, kernel_size, stride, padding, bias=False
            ),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
        )

    def forward(self, z):
        return self.gen(z[:, :, None, None])


class Seed002Critic(nn.Module):
    def __init__(self, channels_img, features_d):
        super().__init__()
        self.disc = nn.Sequential(
            nn.Conv2d(channels_img, features_d, kernel_size=4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            self._block(features_d, features_d * 2, 4, 2, 1),
            self._block(features_d * 2, features_d * 4, 4, 2, 1),
            self._block(features_d * 4, features_d * 8, 4, 2, 1),
            nn.Conv2d(features_d * 8, 1, kernel_size=4, stride=2, padding=0),
        )

    def _block(self, in_channels, out_channels, kernel_size, stride, padding):
        return nn.Sequential(
            nn.Conv2d(
                in_channels, out_channels, kernel_size, stride, padding, bias=False
            ),
            nn.InstanceNorm2d(out_channels, affine=True),
            nn.LeakyReLU(0.2),
        )

    def forward(self, x):
        return self.disc(x)


# ---------------------------------- seeds 003 and 004: shapes as in docs/differences.md


class Seed003Generator(FromNoise):
    def __init__(self, z_dim, width):
        super().__init__(
            nn.ConvTranspose2d(z_dim, 2 * width, 7, 1, 0, bias=False),
            nn.BatchNorm2d(2 * width),
            nn.ReLU(True),
            nn.ConvTranspose2d(2 * width, width, 4, 2, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(True),
            nn.ConvTranspose2d(width, 1, 4, 2, 1, bias=False),
            nn.Tanh(),
        )


class Seed003Critic(nn.Sequential):
    def __init__(self, width):
        super().__init__(
            nn.Conv2d(1, width, 4, 2, 1, bias=False),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(width, 2 * width, 4, 2, 1, bias=False),
            nn.BatchNorm2d(2 * width),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(2 * width, 1, 7, 1, 0, bias=False),
        )


class Seed004Generator(FromNoise):
    def __init__(self, z_dim, width, start=7):
        super().__init__(
            nn.ConvTranspose2d(z_dim, 4 * width, start, 1, 0, bias=False),
            nn.BatchNorm2d(4 * width),
            nn.ReLU(True),
            nn.ConvTranspose2d(4 * width, 2 * width, 4, 2, 1, bias=False),
            nn.BatchNorm2d(2 * width),
            nn.ReLU(True),
            nn.ConvTranspose2d(2 * width, 1, 4, 2, 1),
            nn.Tanh(),
        )


class Seed004Critic(nn.Sequential):
    def __init__(self, width, start=7):
        super().__init__(
            nn.Conv2d(1, width, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 1, start, 1, 0),
        )


# ----------------------------------- Arjovsky et al.: models/dcgan.py and models/mlp.py


class DCGAN_G(FromNoise):
    def __init__(self, nz, nc, ngf, normed=True):
        def block(channels, width, *geometry):
            return [
                nn.ConvTranspose2d(channels, width, *geometry, bias=False),
                *([nn.BatchNorm2d(width)] if normed else []),
                nn.ReLU(True),
            ]

        super().__init__(
            *block(nz, ngf * 8, 4, 1, 0),
            *block(ngf * 8, ngf * 4, 4, 2, 1),
            *block(ngf * 4, ngf * 2, 4, 2, 1),
            *block(ngf * 2, ngf, 4, 2, 1),
            nn.ConvTranspose2d(ngf, nc, 4, 2, 1, bias=False),
            nn.Tanh(),
        )


class DCGAN_G_nobn(DCGAN_G):
    def __init__(self, nz, nc, ngf):
        super().__init__(nz, nc, ngf, normed=False)


class DCGAN_D(nn.Sequential):
    def __init__(self, nc, ndf):
        super().__init__(
            nn.Conv2d(nc, ndf, 4, 2, 1, bias=False),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(ndf, ndf * 2, 4, 2, 1, bias=False),
            nn.BatchNorm2d(ndf * 2),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(ndf * 2, ndf * 4, 4, 2, 1, bias=False),
            nn.BatchNorm2d(ndf * 4),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(ndf * 4, ndf * 8, 4, 2, 1, bias=False),
            nn.BatchNorm2d(ndf * 8),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(ndf * 8, 1, 4, 1, 0, bias=False),
        )


def dense(*sizes):
    """Linear layers of these sizes with ReLUs in between."""
    layers = []
    for fan_in, width in itertools.pairwise(sizes):
        layers += [nn.Linear(fan_in, width), nn.ReLU(True)]
    return nn.Sequential(*layers[:-1])


class MLP_G(nn.Module):
    def __init__(self, isize, nz, nc, ngf):
        super().__init__()
        self.image = (nc, isize, isize)
        self.main = dense(nz, ngf, ngf, ngf, nc * isize * isize)

    def forward(self, z):
        return self.main(z).view(z.size(0), *self.image)


class MLP_D(nn.Module):
    def __init__(self, isize, nc, ndf):
        super().__init__()
        self.main = dense(nc * isize * isize, ndf, ndf, ndf, 1)

    def forward(self, x):
        return self.main(x.view(x.size(0), -1))


# ------------------------------- Gulrajani et al.: gan_toy.py, and the norm they advise


def ToyGenerator(dim):
    return dense(2, dim, dim, dim, 2)


def ToyCritic(dim):
    return dense(2, dim, dim, dim, 1)


class LayerNorm(nn.Module):
    """Over channels, height and width, with a scale and a shift for each channel."""

    def __init__(self, channels):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x):
        x = F.layer_norm(x, x.shape[1:], eps=1e-5)
        return self.weight.view(1, -1, 1, 1) * x + self.bias.view(1, -1, 1, 1)


class LayerNormCritic(nn.Sequential):
    """`DCGAN_D` with layer norm for BatchNorm and a bias where no norm follows."""

    def __init__(self, nc, ndf):
        super().__init__(
            nn.Conv2d(nc, ndf, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(ndf, ndf * 2, 4, 2, 1, bias=False),
            LayerNorm(ndf * 2),
            nn.LeakyReLU(0.2),
            nn.Conv2d(ndf * 2, ndf * 4, 4, 2, 1, bias=False),
            LayerNorm(ndf * 4),
            nn.LeakyReLU(0.2),
            nn.Conv2d(ndf * 4, ndf * 8, 4, 2, 1, bias=False),
            LayerNorm(ndf * 8),
            nn.LeakyReLU(0.2),
            nn.Conv2d(ndf * 8, 1, 4, 1, 0),
        )


# -------------------------- Gulrajani et al.: gan_cifar.py and gan_cifar_resnet.py


class ConvTransposeSame(nn.ConvTranspose2d):
    """5x5, stride 2, TensorFlow's SAME: one row off the front and two off the end."""

    def __init__(self, channels_in, channels_out):
        super().__init__(channels_in, channels_out, 5, 2, 1)

    def forward(self, x):
        return super().forward(x)[:, :, :-1, :-1]


class ConvSame(nn.Conv2d):
    def __init__(self, channels_in, channels_out):
        super().__init__(channels_in, channels_out, 5, 2)

    def forward(self, x):
        return super().forward(F.pad(x, (1, 2, 1, 2)))


class CifarGenerator(nn.Module):
    def __init__(self, z_dim, dim, start=(4, 4)):
        super().__init__()
        self.start = (4 * dim, *start)
        units = math.prod(self.start)
        self.preprocess = nn.Sequential(
            nn.Linear(z_dim, units),
            nn.BatchNorm1d(units),
            nn.ReLU(True),
        )
        self.main = nn.Sequential(
            ConvTransposeSame(4 * dim, 2 * dim),
            nn.BatchNorm2d(2 * dim),
            nn.ReLU(True),
            ConvTransposeSame(2 * dim, dim),
            nn.BatchNorm2d(dim),
            nn.ReLU(True),
            ConvTransposeSame(dim, 3),
            nn.Tanh(),
        )

    def forward(self, z):
        return self.main(self.preprocess(z).view(-1, *self.start))


class CifarCritic(nn.Module):
    def __init__(self, dim, normed, start=(4, 4)):
        super().__init__()
        self.main = nn.Sequential(
            ConvSame(3, dim),
            nn.LeakyReLU(0.2),
            ConvSame(dim, 2 * dim),
            *([nn.BatchNorm2d(2 * dim)] if normed else []),
            nn.LeakyReLU(0.2),
            ConvSame(2 * dim, 4 * dim),
            *([nn.BatchNorm2d(4 * dim)] if normed else []),
            nn.LeakyReLU(0.2),
        )
        self.linear = nn.Linear(math.prod(start) * 4 * dim, 1)

    def forward(self, x):
        return self.linear(self.main(x).flatten(1))


class Gate(nn.Module):
    """PixelCNN's gated nonlinearity, as in gan_64x64.py."""

    def forward(self, x):
        return torch.sigmoid(x[:, ::2]) * torch.tanh(x[:, 1::2])


class ShiftedSoftplus(nn.Module):
    """Appendix D of Gulrajani et al., exact where F.softplus turns linear."""

    def forward(self, x):
        return torch.logaddexp(2 * x + 2, torch.zeros_like(x)) / 2 - 1


class GulrajaniGenerator(nn.Module):
    """DCGANGenerator of wgan_imagenet32_stab.py, for any nonlinearity.

    wide: 2 for the gated one, which halves the channels.
    """

    def __init__(self, z_dim, dim, nonlinearity, wide=1, extra_depth=0):
        super().__init__()
        self.start = (4 * dim * wide, 4, 4)
        extra = [
            layer
            for _ in range(extra_depth)
            for layer in (
                nn.Conv2d(2 * dim, 2 * dim * wide, 3, padding=1),
                nn.BatchNorm2d(2 * dim * wide),
                nonlinearity(),
            )
        ]
        self.linear = nn.Linear(z_dim, math.prod(self.start))
        self.main = nn.Sequential(
            nn.BatchNorm2d(4 * dim * wide),
            nonlinearity(),
            ConvTransposeSame(4 * dim, 2 * dim * wide),
            nn.BatchNorm2d(2 * dim * wide),
            nonlinearity(),
            *extra,
            ConvTransposeSame(2 * dim, dim * wide),
            nn.BatchNorm2d(dim * wide),
            nonlinearity(),
            ConvTransposeSame(dim, 3),
            nn.Tanh(),
        )

    def forward(self, z):
        return self.main(self.linear(z).view(-1, *self.start))


class GulrajaniCritic(nn.Module):
    """DCGANDiscriminator of wgan_imagenet32_stab.py under the penalty."""

    def __init__(self, dim, nonlinearity, wide=1, extra_depth=0):
        super().__init__()
        extra = [
            layer
            for _ in range(extra_depth)
            for layer in (
                nn.Conv2d(2 * dim, 2 * dim * wide, 3, padding=1),
                LayerNorm(2 * dim * wide),
                nonlinearity(),
            )
        ]
        self.main = nn.Sequential(
            ConvSame(3, dim * wide),
            nonlinearity(),
            ConvSame(dim, 2 * dim * wide),
            LayerNorm(2 * dim * wide),
            nonlinearity(),
            *extra,
            ConvSame(2 * dim, 4 * dim * wide),
            LayerNorm(4 * dim * wide),
            nonlinearity(),
        )
        self.linear = nn.Linear(4 * 4 * 4 * dim, 1)

    def forward(self, x):
        return self.linear(self.main(x).flatten(1))


class TwoTowerNorm(nn.Module):
    """BatchNorm of each half of a batch, with a scale and shift per class."""

    def __init__(self, channels, classes=0):
        super().__init__()
        shape = (classes, channels) if classes else (channels,)
        self.weight = nn.Parameter(torch.ones(shape))
        self.bias = nn.Parameter(torch.zeros(shape))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x, labels):
        halves = x.chunk(2)
        y = torch.cat(
            [F.batch_norm(half, None, None, training=True) for half in halves]
        )
        with torch.no_grad():
            for running, new in (
                (self.running_mean, [half.mean((0, 2, 3)) for half in halves]),
                (self.running_var, [half.var((0, 2, 3)) for half in halves]),
            ):
                running.mul_(0.9).add_(0.1 * (new[0] + new[1]) / 2)
        weight, bias = self.weight, self.bias
        if weight.dim() == 2:
            weight, bias = weight[labels], bias[labels]
        else:
            weight, bias = weight[None], bias[None]
        return weight[:, :, None, None] * y + bias[:, :, None, None]


class UpBlock(nn.Module):
    def __init__(self, dim, classes):
        super().__init__()
        self.norm1 = TwoTowerNorm(dim, classes)
        self.conv1 = nn.Conv2d(dim, dim, 3, padding=1)
        self.norm2 = TwoTowerNorm(dim, classes)
        self.conv2 = nn.Conv2d(dim, dim, 3, padding=1)
        self.shortcut = nn.Conv2d(dim, dim, 1)

    def forward(self, x, labels):
        y = F.interpolate(F.relu(self.norm1(x, labels)), scale_factor=2)
        y = self.conv2(F.relu(self.norm2(self.conv1(y), labels)))
        return self.shortcut(F.interpolate(x, scale_factor=2)) + y


class CifarResNetGenerator(nn.Module):
    def __init__(self, z_dim, dim, classes=0, start=(4, 4)):
        super().__init__()
        self.start = (dim, *start)
        self.input = nn.Linear(z_dim, math.prod(self.start))
        self.blocks = nn.ModuleList([UpBlock(dim, classes) for _ in range(3)])
        self.norm = TwoTowerNorm(dim)
        self.output = nn.Conv2d(dim, 3, 3, padding=1)

    def forward(self, z, labels=None):
        x = self.input(z).view(-1, *self.start)
        for block in self.blocks:
            x = block(x, labels)
        return torch.tanh(self.output(F.relu(self.norm(x, labels))))


class FirstBlock(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.conv1 = nn.Conv2d(3, dim, 3, padding=1)
        self.conv2 = nn.Conv2d(dim, dim, 3, padding=1)
        self.shortcut = nn.Conv2d(3, dim, 1)

    def forward(self, x):
        y = F.avg_pool2d(self.conv2(F.relu(self.conv1(x))), 2)
        return self.shortcut(F.avg_pool2d(x, 2)) + y


class CriticBlock(nn.Module):
    def __init__(self, dim, down):
        super().__init__()
        self.down = down
        self.conv1 = nn.Conv2d(dim, dim, 3, padding=1)
        self.conv2 = nn.Conv2d(dim, dim, 3, padding=1)
        if down:
            self.shortcut = nn.Conv2d(dim, dim, 1)

    def forward(self, x):
        y = self.conv2(F.relu(self.conv1(F.relu(x))))
        if not self.down:
            return x + y
        return F.avg_pool2d(self.shortcut(x), 2) + F.avg_pool2d(y, 2)


class CifarResNetCritic(nn.Module):
    def __init__(self, dim, classes=0):
        super().__init__()
        self.blocks = nn.Sequential(
            FirstBlock(dim),
            CriticBlock(dim, down=True),
            CriticBlock(dim, down=False),
            CriticBlock(dim, down=False),
        )
        self.classes = nn.Linear(dim, classes) if classes else None
        self.score = nn.Linear(dim, 1)

    def forward(self, x):
        x = F.relu(self.blocks(x)).mean((2, 3))
        if self.classes is None:
            return self.score(x)
        return self.score(x), self.classes(x)


# ------------------------------------------------------------------------ the training


def critic_forward(netD, x):
    """(scores, logits of classes or None)."""
    outputs = netD(x)
    return outputs if isinstance(outputs, tuple) else (outputs, None)


def gradient_penalty(netD, real, fake, alpha):
    """(E[(norm - 1)^2], E[norm]) at alpha real + (1 - alpha) fake."""
    alpha = alpha.view(-1, *[1] * (real.dim() - 1))
    mixed = (alpha * real + (1 - alpha) * fake).requires_grad_(True)
    scores, _ = critic_forward(netD, mixed)
    gradients = torch.autograd.grad(
        outputs=scores,
        inputs=mixed,
        grad_outputs=torch.ones_like(scores),
        create_graph=True,
        retain_graph=True,
    )[0]
    norms = gradients.reshape(gradients.size(0), -1).norm(2, dim=1)
    return ((norms - 1) ** 2).mean(), norms.mean()


def critic_losses(kind, real, fake):
    """(loss, {name of the estimate: its value}) of the scores."""
    if kind == "gan":
        bce = F.binary_cross_entropy_with_logits
        errD = bce(real, torch.ones_like(real)) + bce(fake, torch.zeros_like(fake))
        return errD, {"jensen_shannon": math.log(2) - 0.5 * errD}
    if kind == "lsgan":
        errD = 0.5 * ((real - 1) ** 2).mean() + 0.5 * (fake**2).mean()
        return errD, {"le_cam": 1 - 4 * errD}
    return fake.mean() - real.mean(), {"wasserstein": real.mean() - fake.mean()}


def generator_losses(kind, fake):
    if kind == "gan":
        return F.softplus(-fake).mean()
    if kind == "lsgan":
        return 0.5 * ((fake - 1) ** 2).mean()
    return -fake.mean()


def update_critic(
    netG, netD, optimizerD, real, noise, alpha, kind, constraint, value, labels=None
):
    """One update. value: bound of the clip after it, or weight of the penalty.

    labels: of the real samples, which the generated ones share.
    """
    for p in netD.parameters():
        p.requires_grad = True
    netD.zero_grad()
    fake = (netG(noise) if labels is None else netG(noise, labels)).detach()
    score, logits = critic_forward(netD, real)
    errD, metrics = critic_losses(kind, score, critic_forward(netD, fake)[0])
    if labels is not None:
        class_loss = F.cross_entropy(logits, labels)
        errD = errD + 1.0 * class_loss
        accuracy = (logits.argmax(1) == labels).double().mean()
        metrics |= {"class_loss": class_loss, "class_accuracy": accuracy}
    if constraint == "penalty":
        penalty, norm = gradient_penalty(netD, real, fake, alpha)
        errD = errD + value * penalty
        metrics |= {"gradient_penalty": penalty, "gradient_norm": norm}
    errD.backward()
    optimizerD.step()
    if constraint == "clip":
        for p in netD.parameters():
            p.data.clamp_(-value, value)
    return metrics | {"critic_loss": errD}


def update_generator(netG, netD, optimizerG, noise, kind, labels=None):
    """One update of the generator, which changes only statistics of the critic."""
    for p in netD.parameters():
        p.requires_grad = False
    netG.zero_grad()
    fake = netG(noise) if labels is None else netG(noise, labels)
    score, logits = critic_forward(netD, fake)
    errG, metrics = generator_losses(kind, score), {}
    if labels is not None:
        metrics = {"generator_class_loss": F.cross_entropy(logits, labels)}
        errG = errG + 0.1 * metrics["generator_class_loss"]
    errG.backward()
    optimizerG.step()
    return metrics | {"generator_loss": errG}
