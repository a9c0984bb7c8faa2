"""WGAN-GP on the MNIST digits of the normal class, for anomaly detection.

python -m wgan_jax.train --config configs/mnist_anomaly.py --data.classes 1
python -m wgan_jax.anomaly runs/mnist_anomaly --normal-class 1

The networks and learning rates of the quick start at 32x32, sized for a CPU. Expect
recognisable digits from step 1,000 on.
"""

from dataclasses import replace

from configs.digits import get_config as quick_start
from wgan_jax.config import Data, Run


def get_config():
    return replace(
        quick_start(),
        data=Data(
            source="tfds", name="mnist", test_split="test", classes=(1,), batch_size=64
        ),
        run=Run(steps=3000, log_every=50, sample_every=500, checkpoint_every=500),
    )
