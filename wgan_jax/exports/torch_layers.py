"""Layers of PyTorch that exported networks use; `torch_module` copies them.

Images and lines are channels first. The package itself does not import this file.
"""

import torch
import torch.nn.functional as F
from torch import nn


class Reshape(nn.Module):
    """[n, ...] to [n, *shape]."""

    def __init__(self, *shape):
        super().__init__()
        self.shape = shape

    def forward(self, x):
        return x.reshape(len(x), *self.shape)


class ShiftedSoftplus(nn.Module):
    """softplus(2x + 2) / 2 - 1."""

    def forward(self, x):
        return F.softplus(2 * x + 2) / 2 - 1


class Gate(nn.Module):
    """[n, 2 c, ...] to [n, c, ...]: sigmoid of even channels times tanh of odd ones."""

    def forward(self, x):
        return x[:, ::2].sigmoid() * x[:, 1::2].tanh()


class GlobalMeanPool(nn.Module):
    """[n, c, h, w] to [n, c]."""

    def forward(self, x):
        return x.mean((2, 3))


class Scale(nn.Module):
    """`factor` times x."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return self.factor * x


class DepthToSpace(nn.Module):
    """[n, 4 c, h, w] to [n, c, 2 h, 2 w], with TensorFlow's order of the channels."""

    def forward(self, x):
        n, channels, h, w = x.shape
        x = x.reshape(n, 2, 2, channels // 4, h, w).permute(0, 3, 4, 1, 5, 2)
        return x.reshape(n, channels // 4, 2 * h, 2 * w)


class LayerNorm(nn.Module):
    """Normalises each sample over all its axes, with one scale and bias per channel."""

    def __init__(self, channels, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x):
        y = F.layer_norm(x, x.shape[1:], eps=self.eps)
        shape = (-1,) + (1,) * (x.ndim - 2)
        return y * self.weight.view(shape) + self.bias.view(shape)


class ConditionalBatchNorm2d(nn.Module):
    """BatchNorm whose scale and bias are those of the label of each sample."""

    running_mean: torch.Tensor
    running_var: torch.Tensor

    def __init__(self, channels, classes, eps, momentum):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(classes, channels))
        self.bias = nn.Parameter(torch.zeros(classes, channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.register_buffer("num_batches_tracked", torch.tensor(0))
        self.eps = eps
        self.momentum = momentum

    def forward(self, x, labels):
        statistics = self.running_mean, self.running_var
        options = {"training": self.training, "momentum": self.momentum}
        y = F.batch_norm(x, *statistics, eps=self.eps, **options)
        return y * self.weight[labels, :, None, None] + self.bias[labels, :, None, None]


class Conv2dSame(nn.Conv2d):
    """Conv2d with `before` zeros above and left, and `after` below and right."""

    def __init__(self, *arguments, before, after, **options):
        super().__init__(*arguments, **options)
        self.edges = (before, after, before, after)

    def forward(self, x):
        return super().forward(F.pad(x, self.edges))


class ConvTranspose2dSame(nn.ConvTranspose2d):
    """The transpose of Conv2dSame."""

    def __init__(self, *arguments, before, after, **options):
        super().__init__(*arguments, **options)
        self.before, self.after = before, after

    def forward(self, x):
        y = super().forward(x)
        rows, columns = (size - self.after for size in y.shape[2:])
        return y[:, :, self.before : rows, self.before : columns]


class UpsampleConv2d(nn.Conv2d):
    """Each pixel four times, as 2x2, then the convolution."""

    def forward(self, x):
        return super().forward(F.interpolate(x, scale_factor=2))


class Conv2dMeanPool(nn.Conv2d):
    """The convolution, then the mean of every 2x2 pixels."""

    def forward(self, x):
        return F.avg_pool2d(super().forward(x), 2)


class Layers(nn.Sequential):
    """Layers in sequence; those that depend on the labels get them."""

    def forward(self, x, labels=None):
        for layer in self:
            if isinstance(layer, (ConditionalBatchNorm2d, Residual)):
                x = layer(x, labels)
            else:
                x = layer(x)
        return x


class Residual(nn.Module):
    """The sum of the outputs of two sequences of layers for the same input."""

    def __init__(self, main, shortcut):
        super().__init__()
        self.main = Layers(*main)
        self.shortcut = Layers(*shortcut)

    def forward(self, x, labels=None):
        return self.main(x, labels) + self.shortcut(x, labels)


class ScoreAndClasses(nn.Module):
    """[n, 1 + classes]: the score, then the logits of the classes."""

    def __init__(self, channels, classes, bias=True):
        super().__init__()
        self.score = nn.Linear(channels, 1, bias)
        self.classes = nn.Linear(channels, classes, bias)

    def forward(self, x):
        return torch.cat([self.score(x), self.classes(x)], 1)
