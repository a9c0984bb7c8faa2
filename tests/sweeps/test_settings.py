"""Settings of a sweep as they are typed, and in a JSON file."""

import json
from pathlib import Path

import pytest

from wgan_jax.config import Config, load
from wgan_jax.errors import UserError
from wgan_jax.sweeps.members import make_members
from wgan_jax.sweeps.settings import read_settings

ROOT = Path(__file__).parents[2]


def read(*words, base=None):
    return read_settings(words, lambda file: load(file) if file else base or Config())


def test_a_setting_has_a_name_and_fields():
    clip, penalty = read(
        "clip: objective.constraint=clip optimizer.kind=rmsprop "
        "optimizer.critic-lr=5e-5",
        "penalty with adam: optimizer.kind=adam data.dir='my folder'",
    )
    assert (clip.name, penalty.name) == ("clip", "penalty with adam")
    assert clip.config.objective.constraint == "clip"
    assert clip.config.optimizer.critic_lr == 5e-5
    assert penalty.config.data.dir == "my folder"
    assert clip.fields == (
        "objective.constraint",
        "optimizer.kind",
        "optimizer.critic_lr",
    )


def test_a_setting_without_a_name_is_called_by_its_fields():
    names = [
        setting.name
        for setting in read(
            "optimizer.kind=rmsprop objective.clip=0.1",
            "objective.constraint=some/folder/own.py:soft model.critic_widths=1,2",
        )
    ]
    assert names == [
        "optimizer.kind=rmsprop,clip=0.1",
        "constraint=own.py:soft,critic_widths=1x2",
    ]


def test_a_setting_of_another_source_takes_no_field_of_the_old_one(capsys, tmp_path):
    base = load(f"{ROOT}/configs/mnist_wgan_gp.py")
    own, other = read(
        "own: data.heldout=9", "data.dir=x.npz data.source=npz", base=base
    )
    assert own.config.data.name == "mnist"
    data = other.config.data
    assert (data.source, data.name, data.test_split) == ("npz", "", "")
    assert data.dir == "x.npz"
    line = capsys.readouterr().out
    assert line.startswith("data.source=npz replaces tfds: data.name=mnist, data.test")
    vary = ["data.source=tfds,digits", "data.heldout=8,9"]
    members = make_members(read(base=base), tmp_path, 1, vary)
    assert [m.config.data.name for m in members] == ["mnist", "mnist", "", ""]
    assert capsys.readouterr().out == line.replace("npz", "digits")


def test_a_setting_may_be_a_configuration_file():
    clip, fast = read(
        f"{ROOT}/configs/mnist_dcgan.py",
        f"fast: {ROOT}/configs/mnist_dcgan.py optimizer.critic_lr=1e-3",
    )
    assert (clip.name, fast.name) == ("mnist_dcgan", "fast")
    assert clip.config == load(f"{ROOT}/configs/mnist_dcgan.py")
    assert fast.config.optimizer.critic_lr == 1e-3


def test_a_file_has_settings_by_name(tmp_path):
    path = tmp_path / "methods.json"
    fields = {"objective.constraint": "clip", "model.critic_widths": [1, 2]}
    file = f"{ROOT}/configs/mnist_wgan_gp.py"
    path.write_text(json.dumps({"clip": fields, "penalty": {"config": file}}))
    clip, penalty = read(str(path))
    assert (clip.name, clip.config.model.critic_widths) == ("clip", (1, 2))
    assert (penalty.name, penalty.config) == ("penalty", load(file))


def test_every_setting_has_every_seed_and_every_varied_value():
    settings = read("a: optimizer.kind=rmsprop", "b: optimizer.kind=adam")
    members = make_members(settings, Path("out"), 2, ["objective.gp_weight=1,10"])
    assert [str(m.out) for m in members[::2]] == [
        f"out/{name},gp_weight={weight}/seed-0"
        for name in "ab"
        for weight in (1.0, 10.0)
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["objective.constrain=clip"], "did you mean objective.constraint?"),
        (["a: clip=1"], "--settings 'a: clip=1': clip is not a field: did you mean"),
        (["objective.clip"], "objective.clip must be FIELD=VALUE, as in 'clip: obj"),
        (
            ["a: objective.clip=x"],
            "'a: objective.clip=x': objective.clip=x must be",
        ),
        (["objective.one_sided=yes"], "must be true or false"),
        (["data.scale=wide"], "data.scale=wide must be one of symmetric, unit"),
        (["model.critic_widths=1,b"], "must be whole numbers, as in 1,2"),
        (["run.seed=1"], "run.seed is given by --seeds N"),
        (["objective.clip=1 objective.clip=2"], "objective.clip is given twice"),
        (["a: data.dir='x"], "cannot be read: No closing quotation"),
        ([""], "--settings '' is empty"),
        (["a: objective.clip=1", "a: objective.clip=2"], "two settings are called a"),
        (["a: objective.clip=1", "b: objective.clip=1"], "b and a are the same config"),
        (["a:", "objective.clip=1", "optimizer.kind=adam"], "quote each setting"),
        (["../a: objective.clip=1"], "must begin with a letter or digit"),
        (["none.json"], "--settings none.json is not a file"),
        (["a: none.py"], "--settings 'a: none.py': --config none.py is not a file"),
        (["a: one.py two.py"], "names two configuration files"),
    ],
)
def test_a_mistake_in_a_setting_gets_one_sentence(words, said):
    with pytest.raises(UserError) as error:
        read(*words)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[1]", "must contain settings by name"),
        ("{", "is damaged"),
        ('{"a": {"objective.clp": 1}}', "a: objective.clp is not a field"),
        ('{"a/b": {}}', "must begin with a letter or digit"),
        ('{"a": {"config": 3}}', "a: config=3 must be the path of a file"),
    ],
)
def test_a_mistake_in_a_file_gets_one_sentence(content, said, tmp_path):
    path = tmp_path / "methods.json"
    path.write_text(content)
    with pytest.raises(UserError) as error:
        read(str(path))
    assert said in str(error.value)


def test_a_value_out_of_range_and_a_field_set_twice_name_the_setting():
    settings = read("a: objective.clip=-1", "b: optimizer.kind=adam")
    with pytest.raises(UserError, match=r"^--settings 'a: objective.clip=-1': obj"):
        make_members(settings, Path("out"), 1, [])
    with pytest.raises(UserError, match=r"--vary optimizer.kind is also set by --sett"):
        make_members(settings, Path("out"), 1, ["optimizer.kind=adam,rmsprop"])
