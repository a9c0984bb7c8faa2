import json

import pytest


@pytest.fixture
def reproduce_tiny(tmp_path):
    """A function that runs the tiny form of a figure: (numbers, line of the table)."""
    import reproduce

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    def run(name, *more):
        results, picture = tmp_path / "results.md", tmp_path / f"{name}.png"
        options = ["--tiny", "--out", tmp_path, "--results", results, *more]
        assert reproduce.main([name, *map(str, options)]) == 0
        assert picture.read_bytes().startswith(b"\x89PNG")
        assert picture.stat().st_size > 5_000
        text = (tmp_path / f"{name}.json").read_text()
        numbers = json.loads(text, parse_constant=refuse)["numbers"]
        lines = results.read_text().splitlines()
        (line,) = (line for line in lines if f"[{name}]" in line)
        # Three cells, whatever the sentence contains.
        assert line.count("|") == 4
        return numbers, line

    return run
