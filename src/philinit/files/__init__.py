# SPDX-License-Identifier: Apache-2.0
"""Files of weights larger than memory: written, continued and verified piece by piece."""
