"""Record of the data of a run: what a later command needs without the data itself."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class DataRecord:
    """Counts, fingerprint, labels and scales of the samples of a run: data.json."""

    fingerprint: str = ""
    """Hash of all samples and labels and of their split; empty for a toy."""
    train: int = 0
    """Samples to train on."""
    heldout: int = 0
    """Samples held out."""
    duplicates: int = 0
    """Samples that repeat the content of another one."""
    labels: tuple[int, ...] = ()
    """Label in the source of each class 0 to k - 1; empty without labels."""
    label_shares: tuple[float, ...] = ()
    """Share of the training samples of each class, with sum 1."""
    mean: tuple[float, ...] = ()
    """Mean of each column that standardisation subtracts; empty without it."""
    std: tuple[float, ...] = ()
    """Standard deviation of each column that standardisation divides by."""
