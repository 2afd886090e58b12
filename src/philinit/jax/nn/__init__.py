# SPDX-License-Identifier: Apache-2.0
"""What stands in for `jax.nn`: its initializers."""

from philinit.jax.nn import initializers as initializers
