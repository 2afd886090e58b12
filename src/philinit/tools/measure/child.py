# SPDX-License-Identifier: Apache-2.0
"""The child's side of `children`: ``python -m philinit.tools.measure.child MODULE``.

A request is a line of JSON on stdin. MODULE's ``answer(request, emit)`` returns the reply, a dict;
what it gives to `emit` before that, such as progress, the parent sees at once.
"""

import importlib
import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

Emit = Callable[[dict[str, Any]], None]


def serve(module: str) -> None:
    """Answer until stdin ends; the real stdout is for replies, whatever else prints there."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's: it ends its children
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as out:
        os.dup2(2, 1)

        def send(name: str, content: dict[str, Any]) -> None:
            out.write(json.dumps({name: content}) + "\n")
            out.flush()

        answer = importlib.import_module(module).answer
        for line in sys.stdin:
            send("reply", answer(json.loads(line), lambda event: send("event", event)))


if __name__ == "__main__":
    serve(sys.argv[1])
