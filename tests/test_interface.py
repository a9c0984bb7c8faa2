"""The names that `import wgan_jax` offers."""

import subprocess
import sys

import pytest

import wgan_jax


@pytest.mark.parametrize("name", wgan_jax.__all__)
def test_every_name_of_the_interface_can_be_imported(name):
    assert callable(getattr(wgan_jax, name))
    assert name in dir(wgan_jax)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute trian"):
        wgan_jax.trian  # noqa: B018


def test_importing_the_package_does_not_import_jax():
    code = "import sys, wgan_jax; print('jax' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"
