# SPDX-License-Identifier: Apache-2.0
"""What tests share: oracles, processes, planted mistakes, stand-ins for devices and programs."""
