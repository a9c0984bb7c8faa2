"""Hostile inputs: a sample of those of scripts/torture_inputs.py."""

import random

import pytest
from helpers import run_main

import torture_inputs
from wgan_jax.__main__ import main

SAMPLE = 40


@pytest.fixture(scope="module")
def listed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    torture_inputs.make_runs(folder)
    return torture_inputs.cases(folder)


def test_there_are_hundreds_of_different_inputs(listed):
    assert len({tuple(words) for _, words in listed}) > 900


def test_hostile_inputs_get_one_sentence_and_leave_nothing(listed, tmp_path):
    faults = {}
    for name, words in random.Random(0).sample(listed, SAMPLE):
        code, error = run_main(main, words, tmp_path)
        if found := torture_inputs.fault(code, error, left=[*tmp_path.iterdir()]):
            faults[name] = found
    assert faults == {}
