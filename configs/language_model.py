"""WGAN-GP on text, character by character (Gulrajani et al., section 5.5).

python -m wgan_jax.train --config configs/language_model.py --data.dir FILE

FILE: text in UTF-8, one sample per line, or a folder of such files, such as
`training-monolingual.tokenized.shuffled` of the Google Billion Word benchmark, which
the paper uses. The vocabulary is at most that of the text.

Meant for a GPU: 200,000 generator updates with ten critic updates each, 6.5 TFLOP for
one generator update (`--dry-run`). An estimate for an H100, whose float32 products
reach 67 TFLOP/s, is 9 hours at 60 % of that. On a CPU, `scripts/reproduce.py
language-model` trains narrow networks.

The paper shows samples only. For the released code, Heusel et al. give JS-4 0.38 and
JS-6 0.77 of 640 samples after 1,040 minutes; `python -m wgan_jax.evaluate RUN` measures
the same.

As in the paper's code: 128 noise dimensions, five residual blocks of width 512 in each
network, no norms, Adam at 1e-4, tflib's uniform initialisation. Difference: the
generator is updated after its critic updates, not before them.
"""

from wgan_jax.config import Config, Data, Model, Objective, Optimizer, Run


def get_config():
    return Config(
        data=Data(
            source="text",
            # A file of lines, or a folder of such files.
            dir="data/lines.txt",
            length=32,
            vocabulary=2048,
            batch_size=64,
            heldout=3200,
        ),
        model=Model(
            kind="resnet1d",
            z_dim=128,
            features=512,
            generator_widths=(1, 1, 1, 1, 1),
            critic_widths=(1, 1, 1, 1, 1),
            kernel=5,
            generator_norm="none",
            critic_activation="relu",
            output="softmax",
            bias="all",
            init="tflib",
        ),
        objective=Objective(constraint="penalty", gp_weight=10.0, n_critic=10),
        optimizer=Optimizer(
            kind="adam", critic_lr=1e-4, generator_lr=1e-4, beta1=0.5, beta2=0.9
        ),
        run=Run(
            steps=200_000,
            chunk=100,
            log_every=100,
            sample_every=5000,
            checkpoint_every=5000,
        ),
    )
