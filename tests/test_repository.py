"""The files around the package: declarations, citation, continuous integration."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions

import pytest
import yaml
from helpers import ROOT

import wgan_jax

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
# Modules that an extra installs, which packages_distributions() lacks without it.
MODULES = {
    "grain": "grain",
    "jax2onnx": "jax2onnx",
    "matplotlib": "matplotlib",
    "onnx": "onnx",
    "onnxruntime": "onnxruntime",
    "tensorboardX": "tensorboardx",
    "tensorflow": "tensorflow",
    "torch": "torch",
    "orbax": "orbax-checkpoint",
    "ot": "pot",
}
# Declared, but imported by other distributions or run as a program only.
NOT_IMPORTED = {
    "flatbuffers": "jax.export imports it without declaring it",
    "importlib-resources": "tensorflow-datasets imports it without declaring it",
    "tensorboard": "the viewer, a command",
    "tensorflow": "the process that prepares TFDS data sets imports it",
    "tensorflow-cpu": "the process that prepares TFDS data sets imports it",
}


def tracked_files():
    """The files that git tracks, or skips the test outside a clone."""
    done = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip("not a clone of the repository")
    return [ROOT / name for name in done.stdout.split("\0") if name]


def normalised(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(requirements):
    return {normalised(re.match(r"[\w.-]+", line)[0]) for line in requirements}


def imported_modules(folder):
    """Top-level modules that the Python files of a folder import."""
    names = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names.add(node.module.split(".")[0])
    return names - sys.stdlib_module_names - {"wgan_jax"}


def distributions(modules):
    known = packages_distributions()
    return {normalised(MODULES.get(m) or known[m][0]) for m in modules}


def test_every_imported_distribution_is_declared():
    extras = declared(line for lines in EXTRAS.values() for line in lines)
    allowed = declared(PROJECT["dependencies"]) | extras
    assert distributions(imported_modules(ROOT / "wgan_jax")) <= allowed


def test_every_declared_distribution_is_imported():
    users = {"records", "stream", "tensorboard", "torch", "onnx", "prepare"}
    lines = [line for extra in users for line in EXTRAS[extra]]
    wanted = declared(PROJECT["dependencies"] + lines) - set(NOT_IMPORTED)
    assert wanted <= distributions(imported_modules(ROOT / "wgan_jax"))
    assert declared(EXTRAS["figures"]) == {"matplotlib"}
    assert "matplotlib" in imported_modules(ROOT / "scripts")


def test_every_extra_and_dependency_has_a_version_in_the_constraints():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = declared(line for line in lines if not line.startswith("#"))
    wanted = declared(PROJECT["dependencies"])
    for extra in set(EXTRAS) - {"cuda13", "tpu"}:
        wanted |= declared(EXTRAS[extra])
    # The TensorFlow of other processors than that of the tests.
    assert wanted - {"tensorflow"} <= pinned


def test_the_package_ships_its_types():
    assert (ROOT / "wgan_jax" / "py.typed").exists()


def test_no_tracked_file_names_a_machine_or_a_package_index():
    needles = [f"/{name}/" for name in ("work", "farm")]
    needles += ["index-" + "url", "index_" + "url", "py" + "pi."]
    for path in tracked_files():
        if path.suffix == ".png" or not path.exists():
            continue
        text = path.read_text()
        for needle in needles:
            assert needle not in text, f"{path.relative_to(ROOT)} contains {needle}"


def test_every_text_file_ends_with_one_newline():
    for path in tracked_files():
        if path.suffix != ".png" and path.exists() and (text := path.read_text()):
            assert text.endswith("\n"), path
            assert not text.endswith("\n\n"), path


def test_the_map_of_the_design_has_one_row_per_module():
    text = (ROOT / "docs" / "design.md").read_text()
    rows = re.findall(r"^\| `([\w/]+(?:\.py|/\w+/))` \|", text, re.M)
    # One row stands for all files of a folder of extension points.
    folders = tuple(row for row in rows if row.endswith("/"))
    package = ROOT / "wgan_jax"
    modules = [str(p.relative_to(package)) for p in package.rglob("[!_]*.py")]
    modules = [m for m in modules if not m.startswith(folders)]
    assert sorted(rows) == sorted([*modules, *folders])
    assert all((package / folder).is_dir() for folder in folders)


def test_the_tests_that_the_theory_names_exist():
    names = re.findall(r"`(test_\w+)`", (ROOT / "docs" / "theory.md").read_text())
    text = (ROOT / "tests" / "algorithm" / "test_closed_forms.py").read_text()
    assert names
    assert all(f"def {name}(" in text for name in names)


def test_the_tests_that_the_guarantees_name_exist():
    names = re.findall(r"`(test_\w+)`", (ROOT / "docs" / "reliability.md").read_text())
    tests = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    assert names
    assert [name for name in names if f"def {name}(" not in tests] == []


def test_prose_has_at_most_100_columns():
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
        prose = [x for x in text.splitlines() if not x.startswith(("|", "!["))]
        assert [line for line in prose if len(line) > 100] == [], page.name


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().split()) <= 1000


def test_the_citation_is_complete_and_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    required = {"cff-version", "message", "title", "authors"}
    assert required <= set(citation)
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == wgan_jax.__version__
    assert citation["license"] == PROJECT["license"]
    for reference in citation["references"]:
        assert {"type", "title", "authors", "year", "url"} <= set(reference)
        for author in reference["authors"]:
            assert set(author) == {"family-names", "given-names"}


def test_the_workflow_runs_the_checks_of_the_makefile_on_every_python():
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    (job,) = workflow["jobs"].values()
    classifiers = [line.rpartition(" :: ") for line in PROJECT["classifiers"]]
    versions = [v for kind, _, v in classifiers if kind.endswith(":: Python")]
    assert job["strategy"]["matrix"]["python-version"] == versions
    commands = [step["run"] for step in job["steps"] if "run" in step]
    targets = [command.split()[1] for command in commands]
    assert targets == ["lint", "types", "test"]
    for target in targets:
        done = subprocess.run(
            ["make", target, "--dry-run"], cwd=ROOT, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr


def test_pre_commit_runs_the_ruff_of_the_constraints():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    ids = {hook["id"] for repo in hooks["repos"] for hook in repo["hooks"]}
    assert ids == {"ruff-check", "ruff-format", "end-of-file-fixer"}
    (ruff,) = (repo for repo in hooks["repos"] if "ruff" in repo["repo"])
    pinned = re.search(r"^ruff==(\S+)", (ROOT / "constraints.txt").read_text(), re.M)
    assert ruff["rev"] == f"v{pinned[1]}"


def test_the_changelog_has_the_unreleased_section():
    text = (ROOT / "CHANGELOG.md").read_text()
    assert "## [Unreleased]" in text
    kinds = set(re.findall(r"^### (.*)", text, re.M))
    known = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert kinds <= known
