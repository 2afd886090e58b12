# SPDX-License-Identifier: Apache-2.0
"""JAX: a residual network written by hand, with a training step that overwrites its weights.

One line changes, the one that imports `initializers`.
"""

from functools import partial

import jax
import jax.numpy as jnp

from philinit.jax.nn import initializers  # was: from jax.nn import initializers

WIDTH, BLOCKS = 256, 3


def init_params(key):
    """Weights of all layers; what a block adds starts at zero."""
    he, lecun = initializers.he_normal(), initializers.lecun_normal()
    first, last, *keys = jax.random.split(key, 2 + BLOCKS)
    blocks = [
        {
            "in": he(k, (WIDTH, WIDTH)),
            "bias": initializers.zeros(k, (WIDTH,)),
            "out": initializers.zeros(k, (WIDTH, WIDTH)),
        }
        for k in keys
    ]
    return {"first": lecun(first, (8, WIDTH)), "blocks": blocks, "last": lecun(last, (WIDTH, 1))}


def predict(params, x):
    """The value of each point."""
    x = x @ params["first"]
    for block in params["blocks"]:
        x = x + jax.nn.relu(x @ block["in"] + block["bias"]) @ block["out"]
    return (x @ params["last"])[:, 0]


def loss_of(params, x, y):
    """Mean squared error."""
    return jnp.mean(jnp.square(predict(params, x) - y))


@partial(jax.jit, donate_argnums=(0, 1))
def step(params, momentum, x, y):
    """One step of gradient descent with momentum, in the memory of what it replaces."""
    loss, gradients = jax.value_and_grad(loss_of)(params, x, y)
    momentum = jax.tree.map(lambda m, g: 0.9 * m + g, momentum, gradients)
    return jax.tree.map(lambda p, m: p - 0.003 * m, params, momentum), momentum, loss


def main():
    """Train for 500 steps on a function of eight numbers."""
    key, data = jax.random.split(jax.random.key(42))
    params = init_params(key)
    momentum = jax.tree.map(jnp.zeros_like, params)
    for number, batch in enumerate(jax.random.split(data, 501)):
        x = jax.random.uniform(batch, (256, 8), minval=-2.0, maxval=2.0)
        y = jnp.sin(2 * x[:, 0]) + x[:, 1] * x[:, 2]
        params, momentum, loss = step(params, momentum, x, y)
        if number % 100 == 0:
            print(f"step {number:4}  loss {loss:.4f}", flush=True)


if __name__ == "__main__":
    main()
