# SPDX-License-Identifier: Apache-2.0
"""One thing that `philinit doctor` has looked at."""

from dataclasses import dataclass

OK = "ok"
NOTE = "note"  # works, but could be better
FAILED = "failed"  # should work, and does not
ABSENT = "absent"  # not installed, or not on this machine


@dataclass(frozen=True)
class Finding:
    """What was found of `name`; `remedy` is the command that fixes it, where there is one."""

    section: str
    name: str
    state: str
    text: str
    remedy: str = ""
