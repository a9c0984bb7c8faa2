"""Prepares a TFDS data set for training; needs the `prepare` extra (TensorFlow).

python scripts/prepare_data.py mnist
python scripts/prepare_data.py fashion_mnist --manual-dir FOLDER_OF_ORIGINALS
"""

import sys

from wgan_jax.data.tfds import main

if __name__ == "__main__":
    sys.exit(main())
