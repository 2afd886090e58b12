# SPDX-License-Identifier: Apache-2.0
"""`philinit show`: its numbers are those of theory, its verdict finds spoiled weights."""

import json
import math
import re

import numpy as np
import pytest

pytest.importorskip("click")
pytest.importorskip("rich")

import philinit as pi
from philinit.tools.show.looks import look
from tests.support.command_line import assert_refused, philinit, typed

CONV = ("--shape", "3,3,256,512")


@pytest.fixture(scope="module")
def he(tmp_path_factory):
    """The issue's example: what it printed, its JSON and its picture."""
    pytest.importorskip("matplotlib")
    folder = tmp_path_factory.mktemp("show")
    arguments = ("he_normal", *CONV, "--activation", "relu", "--plot", folder / "he.png")
    done = philinit("show", *arguments, "--json", folder / "he.json")
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads((folder / "he.json").read_text(encoding="utf-8"))
    return done.stdout, document, (folder / "he.png").read_bytes()


# ---------------------------------------------------------------------------- what it says


def test_it_says_fans_gain_distribution_and_interval(he):
    text = " ".join(he[0].split())
    for words in (
        "HeNormal(seed=42, activation='relu')",
        "3 x 3 x 256 x 512 = 1,179,648 weights, 4.5 MiB",
        "fan_in 2,304, fan_out 4,608",
        "gain 1.41421, by activation relu",
        "normal, stddev 0.0334947, truncated at -2 and +2 stddev",
        "[-0.06698936571449711, 0.06698936571449711]",
    ):
        assert words in text
    wanted = pi.HeNormal(activation="relu").distribution_for((3, 3, 256, 512))
    assert he[1]["distribution"] == {"kind": "TruncatedNormal", **vars(wanted)}
    assert he[1]["fans"] == {"fan_in": 2304, "fan_out": 4608}


def test_expected_and_observed_moments_are_scipys(he):
    stats = pytest.importorskip("scipy.stats")
    found = he[1]
    assert found["expected"]["stddev"] == pytest.approx(math.sqrt(2 / 2304), rel=1e-12)
    kurtosis = float(stats.truncnorm(-2, 2).stats("k")) + 3
    assert found["expected"]["kurtosis"] == pytest.approx(kurtosis, rel=1e-10)
    weights = pi.he_normal((3, 3, 256, 512), seed=42).reshape(-1).astype(np.float64)
    assert found["observed"]["mean"] == pytest.approx(weights.mean(), abs=1e-15)
    assert found["observed"]["stddev"] == pytest.approx(weights.std(), rel=1e-12)
    assert found["observed"]["skewness"] == pytest.approx(stats.skew(weights), abs=1e-12)
    assert found["observed"]["kurtosis"] == pytest.approx(stats.kurtosis(weights) + 3, rel=1e-12)
    assert (found["observed"]["min"], found["observed"]["max"]) == (weights.min(), weights.max())
    assert found["distinct values"] == len(np.unique(weights))
    mean_error = math.sqrt(2 / 2304 / weights.size)
    assert found["standard errors"]["mean"] == pytest.approx(mean_error, rel=1e-12)
    assert found["z"]["mean"] == pytest.approx(weights.mean() / mean_error, rel=1e-9)
    assert found["off"] == []


def test_the_histogram_counts_every_weight_once(he):
    histogram = he[1]["histogram"]
    assert sum(histogram["counts"]) == 3 * 3 * 256 * 512
    assert len(histogram["edges"]) == len(histogram["counts"]) + 1
    assert he[0].count("█") > 100


def test_a_part_of_a_large_tensor_is_its_first_weights():
    limit = 1000
    for shape in [(7, 300, 31), (10**9, 128), (4000,), (2, 2)]:
        init = pi.GlorotNormal(seed=1)
        found = look(init, shape, "float32", limit)
        rows = limit // math.prod(shape[1:]) or 1
        whole = init.shard(shape, slice(0, min(rows, shape[0]))).reshape(-1)
        np.testing.assert_array_equal(found.weights, whole[: found.weights.size])
        assert found.weights.size > 0.5 * min(limit, math.prod(shape))
        assert found.distribution == init.distribution_for(shape)


def test_tables_larger_than_memory_are_drawn_in_part():
    done = philinit("show", "glorot_uniform", "--shape", "1e9,1e3", "--weights", "1e5")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the first 100,000 of them" in done.stdout
    assert "1,000,000,000 x 1,000 = 1,000,000,000,000 weights, 3.64 TiB" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["zeros", "--shape", "1e5,1e9"], ["Zeros()", "0, for every weight"]),
        (["identity", "--shape", "30,20"], ["600 weights", "2 distinct", "0.0333333"]),
        (["orthogonal", "--shape", "30,20"], ["600 distinct", "Observed"]),
        (["normal", "--shape", "2000"], ["unbounded", "2,000 weights"]),
        (
            ["uniform", "--shape", "2000", "--param", "low=1", "--param", "high=3"],
            ["uniform from 1 to 3", "[1.0, 3.0)", "1.0 to 2.999999761581421"],
        ),
        (
            ["truncated_normal", "--shape", "2000", "--param", "upper=inf"],
            ["truncated at -2 and +inf stddev", "[-0.1, inf)"],
        ),
        (
            ["variance_scaling", "--shape", "64,32", "--param", "mode=fan_out"],
            ["gain 1, by scale 1, mode fan_out"],
        ),
        (
            ["uniform", "--shape", "1e5", "--dtype", "bfloat16", "--sampler", "tensorflow"],
            ["128 levels, whose mean is half a level low"],
        ),
    ],
)
def test_every_kind_of_initializer_can_be_shown(arguments, words):
    done = typed("show", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    text = " ".join(done.stdout.split())
    for word in words:
        assert word in text
    assert "nan" not in text


# ---------------------------------------------------------------------------- verdicts


class Spoiled(pi.GlorotUniform):
    """Weights two percent too large."""

    def shard(self, *arguments, **keywords):
        return super().shard(*arguments, **keywords) * np.float32(1.02)


class Shifted(pi.HeNormal):
    """Weights with a mean of a fiftieth of the stddev."""

    def shard(self, shape, *arguments, **keywords):
        stddev = self.distribution_for(shape).moments()[1]
        return super().shard(shape, *arguments, **keywords) + np.float32(0.02 * stddev)


def test_spoiled_weights_are_found():
    shape = (500, 400)
    assert look(pi.GlorotUniform(seed=1), shape, "float32", 10**6).off == []
    found = look(Spoiled(seed=1), shape, "float32", 10**6).off
    assert found == ["stddev", "min", "max"]
    assert "mean" in look(Shifted(seed=1), shape, "float32", 10**6).off
    assert look(Shifted(seed=1), (3, 3), "float32", 10**6).off in ([], ["max"])  # too few


@pytest.mark.parametrize("sampler", ["native", "tensorflow"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
@pytest.mark.parametrize(
    "kind", [pi.GlorotUniform, pi.HeNormal, pi.Normal, pi.Uniform, pi.TruncatedNormal]
)
def test_right_weights_are_never_off(kind, dtype, sampler):
    found = look(kind(seed=1, sampler=sampler), (500, 400), dtype, 10**6)
    assert found.off == []


def test_rounding_to_a_coarse_dtype_is_no_fault():
    init = pi.Uniform(1.0, 1.00001, seed=1)
    found = look(init, (10_000,), "bfloat16", 10**6)
    assert found.distinct == 1
    assert found.off == []


# ---------------------------------------------------------------------------- histogram


def chi_square(edges, counts, wanted):
    """(statistic, degrees of freedom) of counts against a uniform distribution."""
    expected = np.diff(edges) / (wanted.high - wanted.low) * counts.sum()
    return float(((counts - expected) ** 2 / expected).sum()), counts.size - 1


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_bins_follow_the_rounding_of_the_dtype(dtype):
    stats = pytest.importorskip("scipy.stats")
    found = look(pi.Uniform(-0.3, 0.5, seed=1), (4_000_000,), dtype, 10**7)
    edges, counts = found.histogram(100)
    statistic, freedom = chi_square(edges, counts, found.distribution)
    assert counts.sum() == 4_000_000
    assert stats.chi2.sf(statistic, freedom) > 1e-6
    if dtype == "bfloat16":  # bins that do not, fail
        even = np.linspace(-0.3, 0.5, 101)
        counts = np.histogram(found.weights.astype(np.float64), even)[0]
        statistic, freedom = chi_square(even, counts, found.distribution)
        assert stats.chi2.sf(statistic, freedom) < 1e-6


# ---------------------------------------------------------------------------- pictures


def test_the_picture_is_a_png(he):
    assert he[2].startswith(b"\x89PNG\r\n\x1a\n")
    assert len(he[2]) > 10_000


def test_the_picture_is_an_svg_and_the_same_each_time(tmp_path):
    pytest.importorskip("matplotlib")
    paths = [tmp_path / "a.svg", tmp_path / "b.SVG"]
    for path in paths:
        done = typed("show", "uniform", "--shape", "5000", "--plot", path)
        assert done.returncode == 0, done.stderr
        assert f"written: {path}" in done.stdout.replace("\n", "")
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert re.search(r"<svg[^>]* viewBox=", paths[0].read_text(encoding="utf-8"))


def test_the_picture_shows_histogram_and_density(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    from matplotlib.axes import Axes

    from philinit.tools.show import pictures

    drawn = {}

    def stairs(self, heights, edges, real=Axes.stairs, **keywords):
        drawn["area"] = float((heights * np.diff(edges)).sum())
        return real(self, heights, edges, **keywords)

    def plot(self, x, y, real=Axes.plot, **keywords):
        drawn["integral"] = float(((y[1:] + y[:-1]) / 2 * np.diff(x)).sum())
        return real(self, x, y, **keywords)

    monkeypatch.setattr(Axes, "stairs", stairs)
    monkeypatch.setattr(Axes, "plot", plot)
    found = look(pi.HeNormal(seed=1), (50, 40), "float16", 10**6)
    pictures.draw(found, tmp_path / "x.png")
    assert drawn["area"] == pytest.approx(1.0, abs=1e-12)
    assert drawn["integral"] == pytest.approx(1.0, abs=1e-5)


def test_a_picture_without_matplotlib_names_the_extra(tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['matplotlib'] = None\n")
    arguments = ("normal", "--shape", "3", "--plot", tmp_path / "x.png")
    done = philinit("show", *arguments, PYTHONPATH=str(tmp_path))
    assert_refused(done, 'a picture needs matplotlib: pip install "philinit[plot]"', code=1)
    assert philinit("show", *arguments[:-2], PYTHONPATH=str(tmp_path)).returncode == 0


# ---------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["he_normal"], "Missing option '--shape'"),
        (["he", "--shape", "3"], "'he' is not one of constant, "),
        (["he_normal", "--shape", "5,x"], "'x' is not a whole number such as 1000000 or 2e8"),
        (
            ["he_normal", "--shape", "0,5"],
            "`shape` must hold at least one weight; got shape=(0, 5)",
        ),
        (["identity", "--shape", "3"], "`shape` must have 2 axes for an identity matrix"),
        (["he_normal", "--shape", "3,3", "--dtype", "int8"], "'int8' is not one of"),
        (
            ["he_normal", "--shape", "3,3", "--activation", "x"],
            "`activation` must be one of conv1d",
        ),
        (["he_normal", "--shape", "3,3", "--param", "x=1"], "he_normal has no parameter 'x'"),
        (["he_normal", "--shape", "3,3", "--plot", "x.jpg"], "must end in .png or .svg; got x.jpg"),
        (["he_normal", "--shape", "3,3", "--plot", "no/x.png"], "folder no does not exist"),
        (["orthogonal", "--shape", "1e4,1e4"], "is drawn as a whole: at most 10,000,000 weights"),
        (["zeros", "--shape", "3", "--activation", "relu"], "zeros has no parameter 'activation'"),
        (
            ["constant", "--shape", "3", "--param", "value=1e6", "--dtype", "float16"],
            "`value` must fit into float16",
        ),
    ],
)
def test_wrong_options_are_refused_in_a_sentence(arguments, message):
    assert_refused(typed("show", *arguments), message)


def test_an_error_of_the_installed_command_is_the_same():
    assert_refused(philinit("show", "he", "--shape", "3"), "'he' is not one of constant, ")
