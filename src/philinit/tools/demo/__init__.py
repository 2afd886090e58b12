# SPDX-License-Identifier: Apache-2.0
"""The demo: a billion weights into a tf.Variable, by each contender in a process of its own."""
