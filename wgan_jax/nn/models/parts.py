"""Layers with the initialisation, biases, norms and activations of a configuration."""

from wgan_jax.nn import layers


def has_bias(model, *, normed=False):
    """Whether a layer has a bias. normed: a norm follows it."""
    return model.bias == "all" or (model.bias == "unnormalised" and not normed)


def dense_options(model, *, normed=False):
    """Bias and initialisation of a dense layer."""
    init = "glorot" if model.init == "tflib" else "torch"
    return {"bias": has_bias(model, normed=normed), "init": init}


def conv_options(model, *, normed=False, tflib="he"):
    """Bias and initialisation of a convolution. tflib: its draw in model.init=tflib."""
    init = tflib if model.init == "tflib" else model.init
    return {"bias": has_bias(model, normed=normed), "init": init}


def norm(model, kind, channels, rngs, *, spatial, classes=0):
    """The norm of this kind for [n, channels], or [n, h, w, channels] if spatial."""
    if kind != "batch":
        return layers.SampleNorm(channels, kind, epsilon=model.norm_epsilon)
    return layers.BatchNorm(
        channels,
        epsilon=model.norm_epsilon,
        momentum=model.norm_momentum,
        groups=model.norm_groups,
        # The DCGAN initialiser names BatchNorm2d only, not the one of dense layers.
        scale_std=0.02 if model.init == "dcgan" and spatial else 0.0,
        classes=classes,
        rngs=rngs,
    )


def activation(model, name):
    """The activation of this name, with the configuration's slope of leaky_relu."""
    return layers.activation(name, model.leaky_slope)


def dense_block(model, fan_in, width, rngs, *, norm_kind, activation_name):
    """Dense layer, norm unless it is "none", activation."""
    normed = norm_kind != "none"
    options = dense_options(model, normed=normed)
    block: list = [layers.Dense(fan_in, width, **options, rngs=rngs)]
    if normed:
        block.append(norm(model, norm_kind, width, rngs, spatial=False))
    return [*block, activation(model, activation_name)]
