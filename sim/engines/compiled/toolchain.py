"""From source text to a loaded library: which compiler, with what options, and the cache of what has been built.

A library is named by a hash of everything that it is made from (source, compiler, options, kind of processor), in the user's
cache directory, and appears there whole (built in a folder of its own, then a rename): two processes may build the same one at
once, and stale code cannot be found. Beside it stands what making it took, and its checksum: what is damaged is built again, and
never loaded. Where the cache cannot be used, what is built lasts as long as the process.
"""

import atexit
import ctypes
import errno
import gc
import hashlib
import os
import platform
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from threading import Event, Thread

from sim.console import note, status
from sim.errors import MissingToolError

__all__ = ["cache_folder", "cached", "compiler", "cpu_seconds", "execute", "identity", "load", "uncollected", "vector_bits"]

_OPTIONS = ("-O2", "-march=native", "-std=gnu11", "-fPIC", "-shared", "-w")
#: A folder in which something was built so many seconds ago belongs to a process that was killed.
_ABANDONED = 86_400
_BUILDING = "building-"
_TICK = 0.5
_ZIG_CACHE = "ZIG_GLOBAL_CACHE_DIR"


def cache_folder():
    """Where built libraries are kept. Raises OSError if there is no home to keep them in."""
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(base) if base else Path.home() / ".cache") / "crosscall"
    except RuntimeError as error:
        raise OSError(errno.ENOENT, str(error)) from None


@cache
def _own_folder():
    """A cache that goes with the process. Raises MissingToolError."""
    try:
        folder = tempfile.TemporaryDirectory(prefix="crosscall-")
    except OSError as error:
        raise MissingToolError(f"there is no folder to build the engine in: {error.strerror}") from None
    # Not a finalizer: a process that is forked must not take it away.
    atexit.register(lambda owner=os.getpid(): os.getpid() == owner and folder.cleanup())
    return Path(folder.name)


def compiler(*, vectors=False):
    """The command of a C compiler: that of the variable CC, with its options, or the first there is. Raises MissingToolError.

    vectors : for code made of vectors. Clang keeps masks in mask registers and spills less: measured, its lanes are 1.4 times as
        fast as gcc's, so there the ``ziglang`` package comes before gcc.
    """
    if os.environ.get("CC", "").strip():
        return _chosen(os.environ["CC"])
    ziglang = [sys.executable, "-m", "ziglang", "cc"] if find_spec("ziglang") else None
    names = ("clang", ziglang if vectors else None, "cc", "gcc", ziglang)
    for name in filter(None, names):
        if isinstance(name, list):
            return name
        if shutil.which(name):
            return [shutil.which(name)]
    raise MissingToolError("the compiled engine needs a C compiler: `apt-get install gcc`, or `pip install ziglang`; "
                           "without one, use --engine pysim")


def _chosen(text):
    """The command that CC says."""
    try:
        name, *options = shlex.split(text)
    except ValueError:
        name, options = text, []
    if not shutil.which(name):
        raise MissingToolError(f"CC={text}: there is no such command; without CC, crosscall searches for a compiler")
    return [shutil.which(name), *options]


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
        return _execute(command, options)
    except MissingToolError:
        if "ziglang" not in command or _ZIG_CACHE in os.environ:
            raise
    # It has a cache of its own, which cannot be used either where ours cannot.
    os.environ[_ZIG_CACHE] = str(_own_folder() / "zig")
    return _execute(command, options)


def _execute(command, options):
    try:
        process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True, errors="replace", **options)
    except OSError as error:
        raise MissingToolError(f"{command[0]} cannot be run: {error.strerror}") from None
    with process:
        try:
            out, err = process.communicate()
        except BaseException:
            _kill(process.pid)
            raise
    if process.returncode:
        complaints = [line.strip() for line in (err + out).splitlines() if line.strip()]
        first = next((line for line in complaints if "error" in line.lower()), complaints[0] if complaints else "no message")
        raise MissingToolError(f"{command[0]} failed with exit code {process.returncode}: {first[:300]}")
    return out


def _kill(pid):
    """A process, and those that it has started: a compiler is several."""
    children = []
    with suppress(OSError):
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    for child in children:
        _kill(int(child))


def identity(command):
    """What tells one compiler on one kind of processor from another."""
    flags = ""
    info = Path("/proc/cpuinfo")
    if info.exists():
        flags = next((line for line in info.read_text().splitlines() if line.startswith("flags")), "")
    return "\n".join((*command, execute([*command, "--version"]), platform.machine(), flags))


def cached(parts, build):
    """The library that is made from ``parts`` (texts), loaded. Its ``build_seconds`` are the processor time that making it took,
    when that was. Raises MissingToolError.

    build : called with a folder of its own if the library is not there; gives the path in it of the library that it made.
    """
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
    try:
        return _library(cache_folder(), key, build)
    except (OSError, MissingToolError) as error:
        # Whatever is wrong, with another folder it is perhaps not: the disk is full, may not be written, or not be run from.
        try:
            library = _library(_own_folder(), key, build)
        except (OSError, MissingToolError) as again:
            raise MissingToolError(str(again)) from None
        _tell_once(f"the cache cannot be used, so compiled code is not kept: {error}")
        return library


@cache
def _tell_once(line):
    note(line)


def _library(folder, key, build):
    """The library of this key in a folder, built if it is not there or damaged."""
    path, side = folder / f"{key}.so", folder / f"{key}.seconds"
    seconds = _whole(path, side)
    if seconds is None:
        folder.mkdir(parents=True, exist_ok=True)
        _clean(folder)
        with tempfile.TemporaryDirectory(dir=folder, prefix=_BUILDING) as scratch:
            scratch, before = Path(scratch), cpu_seconds()
            with status() as show, _ticking(show):
                built = build(scratch)
            if not built.is_file():
                raise MissingToolError("the compiler produced no library; is CC a C compiler?")
            seconds = cpu_seconds() - before
            (scratch / side.name).write_text(f"{seconds} {_checksum(built)}\n")
            os.replace(built, path)
            os.replace(scratch / side.name, side)
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        raise MissingToolError(f"the compiled library cannot be loaded: {error}") from None
    library.build_seconds = seconds
    return library


@contextmanager
def _ticking(show):
    """Say how long the compiler has been at work: nobody knows how long it still is."""
    over, started = Event(), time.monotonic()

    def tick():
        while not over.wait(_TICK):
            show(f"compiling the machine, which is done once for each kind: {time.monotonic() - started:.0f} s")

    thread = Thread(target=tick, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _whole(path, side):
    """What building a library took, in seconds, or None if it is not there, or not as it was built."""
    try:
        seconds, checksum = side.read_text().split()
        return float(seconds) if _checksum(path) == checksum else None
    except (OSError, ValueError):
        return None


def _checksum(path):
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _clean(folder):
    """Take away what a process that was killed has left."""
    for path in folder.glob(f"{_BUILDING}*"):
        with suppress(OSError):
            if path.stat().st_mtime < time.time() - _ABANDONED:
                shutil.rmtree(path, ignore_errors=True)


def load(text, *, options=(), vectors=False):
    """The library of a C program, as ``cached`` gives it. vectors : as of ``compiler``."""
    command, options = compiler(vectors=vectors), (*_OPTIONS, *options)

    def build(folder):
        (folder / "machine.c").write_text(text)
        execute([*command, *options, "-o", folder / "machine.so", folder / "machine.c"])
        return folder / "machine.so"

    return cached((text, identity(command), *options), build)
