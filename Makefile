# The two commands of the README, and what a developer runs.
PYTHON ?= python3
VENV ?= .venv
EXTRAS ?= dev,stream

.PHONY: train test lint

train: $(VENV)/train.stamp
	$(VENV)/bin/python -m wgan_jax.train --config configs/digits.py

test: $(VENV)/test-$(EXTRAS).stamp
	$(VENV)/bin/python -m pytest -n auto --dist loadfile --no-loadscope-reorder $(PYTEST)

lint: $(VENV)/test-$(EXTRAS).stamp
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

$(VENV)/train.stamp: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(VENV)/bin/python -m pip install -c constraints.txt -e .
	touch $@

$(VENV)/test-$(EXTRAS).stamp: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(VENV)/bin/python -m pip install -c constraints.txt -e ".[$(EXTRAS)]"
	touch $@

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "wgan_jax needs Python 3.11 or newer: make PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
