# SPDX-License-Identifier: Apache-2.0
"""accelerate() and files around code that knows nothing of us: it must never fail because of us."""

import copy
import logging

import numpy as np
import pytest

import philinit as pi
from tests.support.keras_pairs import HAS_AXES, KI, keras, pk, same, tf
from tests.support.processes import run_python


@pytest.mark.parametrize("error", [AttributeError, KeyError, AssertionError, TypeError, IndexError])
def test_our_bugs_show_under_accelerate(monkeypatch, error):
    from philinit.keras import memory

    def bug(*_):
        raise error("ours")

    monkeypatch.setattr(memory, "float_dtype", bug)
    with pk.accelerate(), pytest.raises(error, match="ours"):
        KI.HeNormal(seed=1)((3, 4))


@pytest.mark.skipif(not HAS_AXES, reason="needs a Keras that takes axes")
def test_axes_that_are_none_are_keras_to_refuse():
    init = KI.VarianceScaling(input_axes=[5], output_axes=[0], seed=1)
    with pytest.raises(IndexError) as expected:
        init((3, 4))
    with pk.accelerate(), pytest.raises(IndexError) as found:
        init((3, 4))
    assert str(found.value) == str(expected.value)


def test_float64_on_jax_without_its_64_bit_mode_is_kerass_answer():
    pytest.importorskip("jax")
    run_python(
        "import keras, numpy as np, warnings, philinit.keras as pk\n"
        "warnings.simplefilter('ignore')\n"
        "inits = [keras.initializers.HeNormal(seed=1), keras.initializers.Constant(0.1)]\n"
        "inits += [keras.initializers.Orthogonal(seed=1), keras.initializers.Identity()]\n"
        "plain = [np.asarray(init((3, 4), 'float64')) for init in inits]\n"
        "pk.install()\n"
        "for init, expected in zip(inits, plain):\n"
        "    found = np.asarray(init((3, 4), 'float64'))\n"
        "    assert found.dtype == expected.dtype == np.float32\n"
        "    assert found.tobytes() == expected.tobytes(), init\n"
        "keras.layers.Dense(3, dtype='float64').build((None, 4))\n"
        "try: pk.HeNormal(seed=1)((3, 4), 'float64')\n"
        "except ValueError as error: assert '64-bit mode' in str(error), error\n"
        "else: raise AssertionError\n",
        env={"KERAS_BACKEND": "jax"},
    )


def foreign():
    """philinit's initializers that are no Keras initializers, as layers take them."""
    import philinit.tensorflow as pit
    from philinit import tf1

    yield pi.HeNormal(seed=1)
    yield pi.Orthogonal(seed=1)
    yield tf1.he_normal(seed=1)
    yield pit.initializer(pi.TruncatedNormal(seed=2**100), threads=2)
    yield pit.initializer(pi.Zeros(), device="CPU:0")


@pytest.mark.filterwarnings("ignore:__array__ implementation")
@pytest.mark.parametrize("init", list(foreign()), ids=lambda init: type(init).__name__)
def test_a_model_with_our_other_initializers_is_saved_loaded_cloned_and_copied(init, tmp_path):
    dense = keras.layers.Dense(3, kernel_initializer=init)
    model = keras.Sequential([keras.Input((4,)), dense])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for again in (loaded, keras.models.clone_model(model), copy.deepcopy(model)):
        assert again.layers[0].kernel_initializer == init
    assert same(loaded.layers[0].kernel, dense.kernel)
    x = np.ones((1, 3, 4), np.float32)
    keras.layers.MultiHeadAttention(2, 4, kernel_initializer=init)(x, x)  # which clones it


def test_an_initializer_of_no_description_says_so_where_keras_clones_it():
    import philinit.tensorflow as pit

    class Mine(pi.Constant):
        pass

    with pytest.raises(TypeError, match="one of philinit's own initializers"):
        pit.initializer(Mine(1.0)).get_config()


@pytest.mark.filterwarnings("ignore:__array__ implementation")
@pytest.mark.parametrize("order", ["tf1, keras", "keras, tf1"])
def test_another_process_loads_what_names_our_other_initializers(order, tmp_path):
    import philinit.tensorflow as pit
    from philinit import tf1

    inits = pi.HeNormal(seed=1), tf1.he_normal(seed=1), pit.initializer(pi.Ones())
    layers = [keras.layers.Dense(3, kernel_initializer=init) for init in inits]
    path = tmp_path / "model.keras"
    keras.Sequential([keras.Input((4,)), *layers]).save(path)
    imports = "import philinit.keras\nimport philinit.tf1\n"
    if order == "tf1, keras":
        imports = "import philinit.tf1\nimport philinit.keras\n"
    run_python(
        f"{imports}import keras\nmodel = keras.models.load_model({str(path)!r})\n"
        f"assert [repr(x.kernel_initializer) for x in model.layers] == {[repr(i) for i in inits]}\n"
    )


def test_autograph_has_nothing_to_warn_of(caplog):
    import philinit.tensorflow as pit
    from philinit import tf1

    @tf.function
    def draw():
        return [
            *(kind(seed=1)((3, 4)) for kind in (pk.HeNormal, pk.Orthogonal, tf1.he_normal)),
            pk.Identity()((3, 4)),
            pit.to_tensor(pi.HeNormal(seed=1), (3, 4)),
            pit.initializer(pi.HeNormal(seed=1))((3, 4)),
        ]

    logger = logging.getLogger("tensorflow")
    logger.addHandler(caplog.handler)
    try:
        drawn = draw()
    finally:
        logger.removeHandler(caplog.handler)
    assert caplog.records == []
    assert same(drawn[0], pk.HeNormal(seed=1)((3, 4)))


def test_keras_2_is_told_of(monkeypatch):
    monkeypatch.setenv("TF_USE_LEGACY_KERAS", "1")
    with pytest.warns(UserWarning, match="act on Keras 3"), pk.accelerate():
        pass
    with pytest.warns(UserWarning, match="act on Keras 3"):
        pk.install()
    pk.uninstall()


def test_a_tensor_lies_on_the_cpu_of_its_scope():
    run_python(
        "import tensorflow as tf\n"
        "tf.config.set_logical_device_configuration(tf.config.list_physical_devices('CPU')[0],\n"
        "    [tf.config.LogicalDeviceConfiguration()] * 2)\n"
        "import numpy as np, keras, philinit.keras as pk\n"
        "for kind in (pk.HeNormal, pk.Orthogonal, keras.initializers.HeNormal):\n"
        "    for scope, lands in (('CPU:1', 1), ('CPU:0', 0), ('/device:CPU:7', 0)):\n"
        "        with pk.accelerate(), tf.device(scope):\n"
        "            found = kind(seed=1)((3, 4))\n"
        "        assert found.device.endswith(f'CPU:{lands}'), (kind, scope, found.device)\n"
        "        assert np.array_equal(found, kind(seed=1)((3, 4)))\n"
        "with pk.accelerate(), tf.device('CPU:1'):\n"
        "    v = keras.Variable(pk.HeNormal(seed=1), shape=(3, 4))\n"
        "assert v.value.device.endswith('CPU:1')\n",
        env={"TF_CPP_MIN_LOG_LEVEL": "3"},
    )


def test_native_orthogonal_under_accelerate_is_ours(answered):
    for shape in ((9, 20), (20, 9), (3, 4, 5)):
        with pk.accelerate(sampler="native"):
            found = KI.Orthogonal(2.0, seed=3)(shape)
        assert found.numpy().tobytes() == pi.Orthogonal(2.0, seed=3)(shape).tobytes()
    assert len(answered) == 3
    ours = pk.Orthogonal(seed=3, sampler="native")((9, 20))
    assert ours.numpy().tobytes() == pi.Orthogonal(seed=3)((9, 20)).tobytes()


def test_an_activation_is_refused_with_where_it_is():
    with pytest.raises(TypeError, match=r"take philinit\.HeNormal, or philinit\.keras\.Variance"):
        pk.HeNormal(activation="leaky_relu")
