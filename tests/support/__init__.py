# SPDX-License-Identifier: Apache-2.0
"""What tests share: oracles, processes, planted mistakes, and stand-ins for devices and programs."""
