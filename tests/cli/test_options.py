# SPDX-License-Identifier: Apache-2.0
"""What may be typed for counts, shapes, seeds, initializers and their parameters."""

import dataclasses
import json
import math

import pytest

pytest.importorskip("click")
pytest.importorskip("rich")

import click
from rich.console import Console

import philinit as pi
from philinit.cli.options import (
    Count,
    InitializerName,
    Seed,
    Shape,
    initializer_options,
    initializers,
    make_initializer,
    write_json,
)
from philinit.initializers import functions


def convert(kind, text):
    return kind.convert(text, None, None)


def parse(*arguments):
    """What a command with `initializer_options` receives."""

    @click.command()
    @initializer_options("A seed.", default_seed=42)
    def command(**options):
        return options

    return command.main(list(arguments), standalone_mode=False)


# ---------------------------------------------------------------------------- numbers


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("7", 7),
        ("2e8", 200_000_000),
        ("1_000_000", 1_000_000),
        ("1.5e3", 1500),
        ("9007199254740993", 2**53 + 1),  # no float
        ("0", 0),
    ],
)
def test_counts(text, number):
    assert convert(Count(0), text) == number


@pytest.mark.parametrize("text", ["", "x", "1e400", "nan", "inf", "1,5", "0x10"])
def test_what_is_no_count(text):
    with pytest.raises(click.BadParameter, match="is not a whole number such as 1000000 or 2e8"):
        convert(Count(0), text)


@pytest.mark.parametrize("text", ["1.5", "-1", "4"])
def test_counts_have_a_least(text):
    with pytest.raises(click.BadParameter, match=f"must be a whole number, 5 or more; got {text}"):
        convert(Count(5), text)


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("3,3,256,512", (3, 3, 256, 512)),
        ("1e6,64", (1_000_000, 64)),
        ("10", (10,)),
        (" 2 , 0", (2, 0)),
    ],
)
def test_shapes(text, shape):
    assert convert(Shape(), text) == shape


@pytest.mark.parametrize("text", ["", "3,", "3,,4", "3x4", "(3,4)", "-1,3"])
def test_what_is_no_shape(text):
    with pytest.raises(click.BadParameter, match=r"whole number|dimensions such as"):
        convert(Shape(), text)


def test_seeds_are_those_of_initializers():
    assert convert(Seed(), "0xff") == 255
    assert convert(Seed(), "-3") == -3
    assert convert(Seed(), str(2**128 - 1)) == 2**128 - 1
    for text in (str(2**128), "1.5", "x", ""):
        with pytest.raises(click.BadParameter, match=r"must be an int in \[-2\*\*127, 2\*\*128\)"):
            convert(Seed(), text)


# ---------------------------------------------------------------------------- initializers


def test_every_initializer_has_the_name_of_its_function():
    made = {name for name in dir(functions) if name in pi.__all__ and name[0].islower()}
    assert set(initializers()) == made
    for name, kind in initializers().items():
        assert convert(InitializerName(), name) == name
        assert issubclass(kind, pi.Initializer)


@pytest.mark.parametrize("text", ["he_normal", "HeNormal", "henormal", "HE_NORMAL"])
def test_names_are_those_of_functions_or_classes(text):
    assert convert(InitializerName(), text) == "he_normal"


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(click.BadParameter, match=r"'hey' is not one of constant, .*, zeros"):
        convert(InitializerName(), "hey")


@pytest.mark.parametrize(
    ("arguments", "made"),
    [
        ((), pi.HeNormal(seed=42)),
        (("--seed", "7"), pi.HeNormal(seed=7)),
        (("--name", "a", "--name", "b"), pi.HeNormal(seed=42).named("a").named("b")),
        (("--sampler", "tensorflow"), pi.HeNormal(seed=42, sampler="tensorflow")),
        (("--param", "gain=1.5"), pi.HeNormal(seed=42, gain=1.5)),
        (("--param", "gain = 2"), pi.HeNormal(seed=42, gain=2.0)),
        (
            ("--param", "activation=leaky_relu", "--param", "param=0.2"),
            pi.HeNormal(seed=42, activation="leaky_relu", param=0.2),
        ),
        (
            ("--param", "in_axis=(0, 1)", "--param", "out_axis=2"),
            pi.HeNormal(seed=42, in_axis=(0, 1), out_axis=2),
        ),
    ],
)
def test_options_make_the_initializer_that_they_name(arguments, made):
    assert make_initializer("he_normal", **parse(*arguments)) == made


def test_infinite_bounds_may_be_typed():
    options = parse("--param", "upper=inf", "--param", "lower=-1")
    found = make_initializer("truncated_normal", **options)
    assert found == pi.TruncatedNormal(lower=-1.0, upper=math.inf, seed=42)


def test_what_an_initializer_does_not_take_is_left_out():
    assert make_initializer("zeros", seed=3, names=("a",)) == pi.Zeros()
    assert make_initializer("orthogonal", seed=3, names=("a",)) == pi.Orthogonal(seed=3).named("a")
    fresh = make_initializer("normal", seed=None)
    assert fresh.from_entropy


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("he_normal", {"parameters": {"low": 1}}, "he_normal has no parameter 'low'; it has act"),
        ("zeros", {"parameters": {"value": 1}}, "zeros has no parameter 'value'; it has none"),
        ("he_normal", {"parameters": {"seed": 1}}, "he_normal has no parameter 'seed'"),
        ("he_normal", {"parameters": {"gain": -1.0}}, "`gain` must be positive; got gain=-1.0"),
        ("uniform", {"parameters": {"low": "a"}}, "`low` must be a real number; got low='a'"),
        ("zeros", {"sampler": "tensorflow"}, "zeros has one sampler only, native"),
    ],
)
def test_what_an_initializer_cannot_be_is_a_sentence(name, arguments, message):
    with pytest.raises(click.UsageError) as caught:
        make_initializer(name, seed=1, **arguments)
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gain", "must be key=value, such as gain=1.5; got gain"),
        ("=1", "must be key=value"),
        ("gain=", "must be key=value"),
        ("a b=1", "must be key=value"),
    ],
)
def test_parameters_are_keys_and_values(text, message):
    with pytest.raises(click.BadParameter) as caught:
        parse("--param", text)
    assert message in caught.value.message
    with pytest.raises(click.BadParameter, match="must name each key once; got gain twice"):
        parse("--param", "gain=1", "--param", "gain=1")


# ---------------------------------------------------------------------------- JSON


def test_json_has_no_infinity(tmp_path):
    path = tmp_path / "x.json"
    document = {"a": [1.0, math.inf, (math.nan, 2)], "b": {"c": -math.inf}}
    write_json(path, document, Console(quiet=True))
    assert json.loads(path.read_text()) == {"a": [1.0, None, [None, 2]], "b": {"c": None}}


def test_each_parameter_of_an_initializer_can_be_given():
    for kind in initializers().values():
        for field in dataclasses.fields(kind):
            if field.init and field.name not in ("seed", "sampler", "names", "drawn"):
                assert field.name.isidentifier()
                assert parse("--param", f"{field.name}=1")["parameters"] == {field.name: 1}
