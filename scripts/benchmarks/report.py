"""Reports of the benchmarks: progress, JSON and Markdown tables."""

import sys

from wgan_jax.files import write_json


def progress(line: str) -> None:
    """Prints a line to stderr at once."""
    print(line, file=sys.stderr, flush=True)


def save(report: dict, out) -> None:
    """Writes the report so far as JSON, unless `out` is None."""
    if out:
        write_json(out, report)


def machine(report: dict) -> str:
    """One sentence on the machine, the versions, the commit and the date."""
    versions = ", ".join(f"{k} {v}" for k, v in report["versions"].items())
    return (
        f"{report['device']}; {report['cpu']}, {report['cores']} cores; {versions}; "
        f"commit {report['commit']}; {report['date']}."
    )


def table(header, rows) -> str:
    """A Markdown table of text cells."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
