# SPDX-License-Identifier: Apache-2.0
"""What `philinit doctor` reads off the installation: versions, compiled code, libm."""

import functools
import importlib.metadata
import os
import platform
import re
from importlib.util import find_spec
from pathlib import Path

from philinit._version import __version__
from philinit.tools.doctor.findings import ABSENT, FAILED, NOTE, OK, Finding
from philinit.tools.doctor.hardware import cuda_extra

CORE = ("numpy", "numba", "llvmlite", "ml_dtypes")
# Package -> the extra that installs it, and a distribution that the extra names.
OPTIONAL = {
    "tensorflow": ("tensorflow", "tensorflow"),
    "keras": ("keras", "keras"),
    "torch": ("torch", "torch"),
    "jax": ("jax", "jax"),
    "cupy": ("", "cupy-cuda13x"),
}

LARGE_CACHE = 256 << 20  # bytes of other versions and machines, from which on it is worth a word


# ---------------------------------------------------------------------------- versions


def versions() -> list[Finding]:
    """philinit and all that it can work with; NOTE for what is older than the extras ask for."""
    finding = functools.partial(Finding, "versions")
    found = [
        finding("philinit", OK, f"{__version__} in {Path(__file__).parents[2]}"),
        finding("python", OK, f"{platform.python_version()} on {platform.platform()}"),
    ]
    found += [finding(name, OK, importlib.metadata.version(name)) for name in CORE]
    owners = importlib.metadata.packages_distributions()
    least = _minimum_versions()
    for package, (extra, distribution) in OPTIONAL.items():
        if find_spec(package) is None:
            brings = f'; pip install "philinit[{extra}]" brings it' if extra else ""
            found.append(finding(package, ABSENT, "not installed" + brings))
            continue
        owner = (owners.get(package) or [package])[0]
        try:
            version = importlib.metadata.version(owner)
        except importlib.metadata.PackageNotFoundError:
            found.append(finding(package, OK, "of an unknown version"))
            continue
        wanted = least.get(distribution, "0")
        if _numbers(version) < _numbers(wanted):
            text = f"{version}; philinit is made for {wanted} and newer"
            remedy = f'pip install --upgrade "philinit[{extra or cuda_extra()}]"'
            found.append(finding(package, NOTE, text, remedy))
        else:
            found.append(finding(package, OK, version))
    return found


def _minimum_versions() -> dict[str, str]:
    """What the extras of philinit ask for: {"keras": "3.5", ...}."""
    lines = importlib.metadata.requires("philinit") or []
    pairs = (re.match(r"([\w.-]+)\s*>=\s*([\d.]+)", line) for line in lines)
    return {match[1]: match[2] for match in pairs if match}


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])


# ---------------------------------------------------------------------------- cache


def cache() -> list[Finding]:
    """Where compiled kernels are kept, whether they can be, and how many there are."""
    from philinit.kernels.cache import cache_folder, cached, trouble
    from philinit.kernels.cpu.compiler import _digest

    finding = functools.partial(Finding, "compiled code")
    folder = cache_folder()
    by = "PHILINIT_CACHE_DIR" if os.environ.get("PHILINIT_CACHE_DIR") else "the default"
    if (problem := trouble()) or folder is None:
        text = f"{by}: {problem}; every process compiles its kernels anew"
        remedy = "export PHILINIT_CACHE_DIR=/a/folder/of/your/own"
        return [finding("folder", FAILED, text, remedy)]
    assert folder is not None  # which would be trouble
    found = [finding("folder", OK, f"{folder}, {by}; can be written")]
    files = [path for path in folder.glob("*") if path.is_file()] if folder.is_dir() else []
    own = [path for path in files if path.name.startswith(_digest())]
    others = [path for path in files if path not in own]
    damaged = [path for path in own if cached(path.name) is None]
    text = f"{len(own)} kernels, {_size(own)}, for this version, compiler and CPU"
    if damaged:
        text += f"; {len(damaged)} damaged, which will be compiled again"
        remedy = "rm " + " ".join(str(path) for path in damaged[:3])
        found.append(finding("kernels", NOTE, text, remedy))
    else:
        found.append(finding("kernels", OK, text))
    large = sum(path.stat().st_size for path in others) > LARGE_CACHE
    text = f"{len(others)} files, {_size(others)}: GPU code, other versions and machines"
    remedy = f"rm -r {folder}" if large else ""
    return [*found, finding("other files", NOTE if large else OK, text, remedy)]


def _size(files: list[Path]) -> str:
    return f"{sum(path.stat().st_size for path in files) / (1 << 20):.1f} MiB"


# ---------------------------------------------------------------------------- libm


def libm() -> list[Finding]:
    """Which logf, sinf and cosf TensorFlow's normals are made with."""
    from philinit.kernels import libm as library

    finding = functools.partial(Finding, "tensorflow sampler", "libm")
    try:
        kinds = library.libm()
    except (ValueError, NotImplementedError) as error:
        return [finding(FAILED, str(error), "unset PHILINIT_LIBM")]
    names = {number: name for name, number in library.KINDS.items()}
    text = f"logf {names[kinds.log]}, sinf and cosf {names[kinds.trigonometry]}"
    if os.environ.get("PHILINIT_LIBM"):
        text += ", as PHILINIT_LIBM says"
    if library.KINDS["system"] in (kinds.log, kinds.trigonometry):
        text += ": called number by number for normals, which is slow, and not on GPUs"
        return [finding(NOTE, text, "export PHILINIT_LIBM=rounded")]
    return [finding(OK, text)]
