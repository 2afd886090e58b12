# SPDX-License-Identifier: Apache-2.0
"""What an initializer draws, beside its exact density."""
