"""From C to a loaded library: which compiler, with what options, and the cache of what has been built.

A library is named by a hash of its source, its compiler and the options, in the user's cache directory, and appears there whole
(a temporary file, then a rename): two processes may build the same one at once, and stale code can not be found.
"""

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from sim.errors import MissingToolError

__all__ = ["cache_folder", "compiler", "load", "vector_bits"]

_OPTIONS = ("-O2", "-march=native", "-std=gnu11", "-fPIC", "-shared", "-w")


def cache_folder():
    """Where built libraries are kept."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "crosscall"


def compiler(*, vectors=False):
    """The command of a C compiler. Raises MissingToolError.

    vectors : for code made of vectors. Clang keeps masks in mask registers and spills less: measured, its lanes are 1.4 times as
        fast as gcc's, so there the ``ziglang`` package comes before gcc.
    """
    ziglang = [sys.executable, "-m", "ziglang", "cc"] if find_spec("ziglang") else None
    names = (os.environ.get("CC"), "clang", ziglang if vectors else None, "cc", "gcc", ziglang)
    for name in filter(None, names):
        if isinstance(name, list):
            return name
        if shutil.which(name):
            return [shutil.which(name)]
    raise MissingToolError("the compiled engine needs a C compiler: `apt-get install gcc`, or `pip install ziglang`; "
                           "without one, use --engine pysim")


@cache
def vector_bits():
    """How wide a vector the code that the compiler makes for this processor can compute with at once: 512, 256 or 128."""
    command = [*compiler(vectors=True), *_OPTIONS, "-dM", "-E", "-x", "c", os.devnull]
    defined = subprocess.run(command, capture_output=True, text=True).stdout
    return 512 if "__AVX512BW__" in defined else 256 if "__AVX2__" in defined else 128


def _identity(command):
    """What tells one compiler on one kind of processor from another."""
    try:
        version = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise MissingToolError(f"the compiler {' '.join(command)} does not work: {error}") from None
    flags = ""
    info = Path("/proc/cpuinfo")
    if info.exists():
        flags = next((line for line in info.read_text().splitlines() if line.startswith("flags")), "")
    return f"{version}\n{platform.machine()}\n{flags}"


def load(text, *, options=(), vectors=False):
    """The library of a C program, built if need be. vectors : as of ``compiler``."""
    command = compiler(vectors=vectors)
    options = (*_OPTIONS, *options)
    key = hashlib.sha256("\0".join((text, _identity(command), *options)).encode()).hexdigest()[:32]
    folder = cache_folder()
    path = folder / f"{key}.so"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            source, built = Path(scratch) / "machine.c", Path(scratch) / "machine.so"
            source.write_text(text)
            result = subprocess.run([*command, *options, "-o", str(built), str(source)], capture_output=True, text=True)
            if result.returncode:
                raise MissingToolError(f"the compiler {' '.join(command)} failed:\n{result.stderr.strip()[:2000]}")
            os.replace(built, path)
    return ctypes.CDLL(str(path))
