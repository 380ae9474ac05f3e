"""From source text to a loaded library: which compiler, with what options, and the cache of what has been built.

A library is named by a hash of everything that it is made from (source, compiler, options, kind of processor), in the user's
cache directory, and appears there whole (built in a folder of its own, then a rename): two processes may build the same one at
once, and stale code cannot be found.
"""

import ctypes
import gc
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from sim.errors import MissingToolError

__all__ = ["cache_folder", "cached", "compiler", "cpu_seconds", "execute", "identity", "load", "uncollected", "vector_bits"]

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
    defined = execute([*compiler(vectors=True), *_OPTIONS, "-dM", "-E", "-x", "c", os.devnull])
    return 512 if "__AVX512BW__" in defined else 256 if "__AVX2__" in defined else 128


def cpu_seconds():
    """Processor time so far, of this process and of those that it has waited for."""
    return sum(os.times()[:4])


@contextmanager
def uncollected():
    """Without garbage collection, for while a machine is elaborated and translated: most of what is made then stays until the end,
    and to look it through again and again takes a sixth of the time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def execute(command, **options):
    """What a tool prints. Raises MissingToolError, in one line, if it cannot be run or fails."""
    try:
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, **options)
    except OSError as error:
        raise MissingToolError(f"{command[0]} cannot be run: {error.strerror}") from None
    if done.returncode:
        complaints = [line.strip() for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        first = next((line for line in complaints if "error" in line.lower()), complaints[0] if complaints else "no message")
        raise MissingToolError(f"{command[0]} failed with exit code {done.returncode}: {first[:300]}")
    return done.stdout


def identity(command):
    """What tells one compiler on one kind of processor from another."""
    flags = ""
    info = Path("/proc/cpuinfo")
    if info.exists():
        flags = next((line for line in info.read_text().splitlines() if line.startswith("flags")), "")
    return "\n".join((*command, execute([*command, "--version"]), platform.machine(), flags))


def cached(parts, build):
    """The library that is made from ``parts`` (texts), loaded. Its ``build_seconds`` are the processor time that making it took,
    when that was.

    build : called with a folder of its own if the library is not there; gives the path in it of the library that it made.
    """
    folder = cache_folder()
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
    path, note = folder / f"{key}.so", folder / f"{key}.seconds"
    if not path.exists() or _seconds(note) is None:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            scratch, before = Path(scratch), cpu_seconds()
            built = build(scratch)
            (scratch / note.name).write_text(str(cpu_seconds() - before))
            os.replace(scratch / note.name, note)
            os.replace(built, path)
    library = ctypes.CDLL(str(path))
    library.build_seconds = _seconds(note)
    return library


def _seconds(note):
    """What a note says, or None if it is not there or says no number: then what it goes with is built anew."""
    try:
        return float(note.read_text())
    except (OSError, ValueError):
        return None


def load(text, *, options=(), vectors=False):
    """The library of a C program, as ``cached`` gives it. vectors : as of ``compiler``."""
    command, options = compiler(vectors=vectors), (*_OPTIONS, *options)

    def build(folder):
        (folder / "machine.c").write_text(text)
        execute([*command, *options, "-o", folder / "machine.so", folder / "machine.c"])
        return folder / "machine.so"

    return cached((text, identity(command), *options), build)
