# The two commands of the README, and what a developer runs.
PYTHON ?= python3
VENV ?= .venv

# SUITE=all: every test, in an environment of its own with every extra.
SUITE ?= quick
ifeq ($(SUITE),all)
TESTS = .venv-all
EXTRAS = dev,browser,figures,notebooks,onnx,parquet,prepare,stream,tensorboard,torch
SELECT =
else
TESTS = $(VENV)
EXTRAS = dev
SELECT = -m "not slow"
endif

.PHONY: train test lint types torture
# Kept, though only a rule with a pattern names them.
.SECONDARY:

train: $(VENV)/train.stamp
	$(VENV)/bin/python -m wgan_jax.train --config configs/digits.py

test: $(TESTS)/test-$(EXTRAS).stamp
	$(TESTS)/bin/python -m pytest -n auto --dist loadfile --no-loadscope-reorder $(SELECT) $(PYTEST)

lint: $(TESTS)/test-$(EXTRAS).stamp
	$(TESTS)/bin/ruff check .
	$(TESTS)/bin/ruff format --check .

torture: $(TESTS)/test-$(EXTRAS).stamp
	$(TESTS)/bin/python scripts/torture.py --rounds 5

types: $(TESTS)/test-$(EXTRAS).stamp
	$(TESTS)/bin/pyright --pythonpath $(TESTS)/bin/python

$(VENV)/train.stamp: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(VENV)/bin/python -m pip install -c constraints.txt -e .
	touch $@

%/test-$(EXTRAS).stamp: pyproject.toml constraints.txt | %/bin/python
	$*/bin/python -m pip install -c constraints.txt -e ".[$(EXTRAS)]"
ifeq ($(SUITE),all)
	# Without its requirement torchvision, which the tested network does not use.
	$*/bin/python -m pip install -c constraints.txt --no-deps torch-fidelity
endif
	touch $@

%/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "wgan_jax needs Python 3.11 or newer: make PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $*
