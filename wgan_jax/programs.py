"""Compiled programs, kept on disk from one run to the next."""

import warnings

import jax

from wgan_jax.sources import cache_directory


def keep() -> None:
    """Lets JAX keep what takes it longer than a second to compile.

    In the folder `programs` of `sources.cache_directory`, which may be deleted at any
    time; JAX_COMPILATION_CACHE_DIR names another one, and
    JAX_ENABLE_COMPILATION_CACHE=false keeps nothing. What cannot be kept or read back
    is compiled again, without a word.
    """
    failed = "Error (reading|writing) persistent compilation cache"
    warnings.filterwarnings("ignore", message=failed)
    if jax.config.jax_compilation_cache_dir is None:
        folder = str(cache_directory() / "programs")
        jax.config.update("jax_compilation_cache_dir", folder)
