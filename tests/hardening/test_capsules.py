# SPDX-License-Identifier: Apache-2.0
"""DLPack capsules with anything in them: read inside their memory, or refused in one sentence.

In a process of its own, since a capsule that is believed too much ends the process.
"""

from tests.support.processes import run_python

CAPSULES = """
import ctypes, random, sys
import numpy as np
import philinit as pi
from philinit.filling import dlpack

new = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)(
    ("PyCapsule_New", ctypes.pythonapi)
)
memory = np.zeros(1 << 16, np.uint8)
base = memory.ctypes.data + 4096
inside = range(memory.ctypes.data, memory.ctypes.data + memory.nbytes)
kept = []

def capsule(version=None, data=base, device=1, ndim=2, dtype=(2, 32, 1), shape=(3, 4), strides=None,
            byte_offset=0, flags=0):
    numbers = ctypes.c_int64 * max(len(shape), 1)
    axes = numbers(*shape) if shape is not None else None
    steps = numbers(*strides) if strides is not None else None
    tensor = dlpack._DLTensor(
        data, dlpack._DLDevice(device, 0), ndim, dlpack._DLDataType(*dtype),
        ctypes.cast(axes, ctypes.POINTER(ctypes.c_int64)),
        ctypes.cast(steps, ctypes.POINTER(ctypes.c_int64)) if steps is not None else None,
        byte_offset,
    )
    if version is None:
        managed, name = dlpack._DLManagedTensor(tensor, None, None), b"dltensor"
    else:
        managed = dlpack._DLManagedTensorVersioned(*version, None, None, flags, tensor)
        name = b"dltensor_versioned"
    kept.append((axes, steps, managed, name))
    return new(ctypes.addressof(managed), name, None)

def tried(**what):
    try:
        return dlpack.from_capsule(capsule(**what))
    except (BufferError, TypeError) as error:
        text = str(error)
        assert text and "\\n" not in text and len(text) < 1000, text
        return text

for version in (None, (1, 0), (1, 1)):
    for offset in (0, 8, 4096, 1 << 40, (1 << 64) - 8):
        said = tried(version=version, data=None, byte_offset=offset)
        assert "must have an address; got NULL" in said or offset >> 61, said
    assert tried(version=version, data=None, shape=(0, 4), byte_offset=64).shape == (0, 4)
    assert "0 to 64 axes" in tried(version=version, ndim=-1)
    assert "0 to 64 axes" in tried(version=version, ndim=65)
    assert "0 to 64 axes" in tried(version=version, ndim=2**31 - 1)
    assert "negative" in tried(version=version, shape=(-3, 4))
    assert "fit into memory" in tried(version=version, shape=(2**40, 2**40))
    assert "fit into memory" in tried(version=version, strides=(2**62, 1))
    assert "fit into memory" in tried(version=version, byte_offset=2**63)
    assert tried(version=version).shape == (3, 4)
    assert tried(version=version, byte_offset=64).ctypes.data == base + 64
assert "version 1" in tried(version=(2, 0))

draw = random.Random(5)
odd = [0, 1, 2, 3, -1, 7, 64, 65, 2**31 - 1, 2**31, 2**62, 2**63 - 1, -(2**63)]
read = 0
for _ in range(int(sys.argv[1])):
    rank = draw.choice([0, 1, 2, 3, 5])
    small = draw.random() < 0.5
    shape = [draw.randrange(4) if small else draw.choice(odd) for _ in range(rank)]
    strides = None if draw.random() < 0.4 else [
        draw.randrange(-8, 8) if small else draw.choice(odd) for _ in range(rank)
    ]
    found = tried(
        version=draw.choice([None, (1, 0), (1, 1), (1, 9), (0, 8), (3, 0)]),
        data=draw.choice([None, base, base, base]),
        device=draw.choice([1, 1, 1, 2, 3, 10, -1]),
        ndim=rank if draw.random() < 0.9 else draw.choice([-1, 65, 2**31 - 1, -(2**31)]),
        dtype=draw.choice([(2, 32, 1), (2, 16, 1), (4, 16, 1), (2, 64, 1), (0, 8, 1), (2, 32, 4),
                           (2, 0, 1), (9, 3, 1), (255, 255, 65535), (5, 64, 1), (6, 8, 1)]),
        shape=tuple(shape), strides=strides if strides is None else tuple(strides),
        byte_offset=draw.choice([0, 0, 4, 64, 2**63, 2**64 - 1]) if not small else 0,
        flags=draw.choice([0, 0, 1, 2, 3, 255]),
    )
    if isinstance(found, np.ndarray) and small:
        low, high = np.lib.array_utils.byte_bounds(found) if found.size else (base, base)
        assert low in inside and high - 1 in inside
        read += found.size
        found.sum()
    kept.clear() if not isinstance(found, np.ndarray) else kept.append(found)
print(read)
"""


def test_capsules_of_both_versions_are_read_inside_their_memory_or_refused():
    assert int(run_python(CAPSULES, 20_000).stdout) > 1000
