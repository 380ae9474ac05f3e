"""From source text to a loaded library: the compiler, its options, and the cache of built libraries.

A library is named by a hash of everything that it is made from (source, compiler, options, kind of processor), in the user's cache
directory, and appears there whole (built in a folder of its own, then renamed): two processes may build the same one at once, and
stale code is never found. Its build time and checksum are beside it: a damaged library is never loaded, but built again. Where the
cache cannot be used, a build lasts as long as the process.
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
#: A build folder older than this many seconds belongs to a process that was killed.
_ABANDONED = 86_400
_BUILDING = "building-"
_TICK = 0.5
_ZIG_CACHE = "ZIG_GLOBAL_CACHE_DIR"


def cache_folder():
    """Where built libraries are kept. Raises OSError if there is no home directory for them."""
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(base) if base else Path.home() / ".cache") / "crosscall"
    except RuntimeError as error:
        raise OSError(errno.ENOENT, str(error)) from None


@cache
def _own_folder():
    """A cache that ends with the process. Raises MissingToolError."""
    try:
        folder = tempfile.TemporaryDirectory(prefix="crosscall-")
    except OSError as error:
        raise MissingToolError(f"there is no folder to build the engine in: {error.strerror}") from None
    # Not a finalizer: a forked process must not remove it.
    atexit.register(lambda owner=os.getpid(): os.getpid() == owner and folder.cleanup())
    return Path(folder.name)


def compiler(*, vectors=False):
    """The command of a C compiler: the variable CC, with its options, or the first one found. Raises MissingToolError.

    vectors : for code made of vectors. Clang keeps masks in mask registers and spills less: measured, its lanes are 1.4 times as
        fast as gcc's, so for those the ``ziglang`` package comes before gcc.
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
    """The command in CC."""
    try:
        name, *options = shlex.split(text)
    except ValueError:
        name, options = text, []
    if not shutil.which(name):
        raise MissingToolError(f"CC={text}: there is no such command; without CC, crosscall searches for a compiler")
    return [shutil.which(name), *options]


@cache
def vector_bits():
    """The widest vector that compiled code computes with at once on this processor: 512, 256 or 128 bits."""
    defined = execute([*compiler(vectors=True), *_OPTIONS, "-dM", "-E", "-x", "c", os.devnull])
    return 512 if "__AVX512BW__" in defined else 256 if "__AVX2__" in defined else 128


def cpu_seconds():
    """Processor time so far, of this process and of the children that it has waited for."""
    return sum(os.times()[:4])


@contextmanager
def uncollected():
    """Without garbage collection, during the elaboration and translation of a machine: most objects made then stay until the end,
    and scanning them again and again takes a sixth of the time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def execute(command, **options):
    """The output of a tool. Raises MissingToolError, in one line, if it cannot run or fails."""
    try:
        return _execute(command, options)
    except MissingToolError:
        if "ziglang" not in command or _ZIG_CACHE in os.environ:
            raise
    # It has its own cache, which is unusable wherever ours is.
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
    """Kill a process and its children: a compiler is several."""
    children = []
    with suppress(OSError):
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    for child in children:
        _kill(int(child))


def identity(command):
    """What distinguishes one compiler on one kind of processor from another."""
    flags = ""
    info = Path("/proc/cpuinfo")
    if info.exists():
        flags = next((line for line in info.read_text().splitlines() if line.startswith("flags")), "")
    return "\n".join((*command, execute([*command, "--version"]), platform.machine(), flags))


def cached(parts, build):
    """The library that is made from ``parts`` (texts), loaded. Its ``build_seconds`` are the processor time that making it took,
    whenever that was. Raises MissingToolError.

    build : called with an empty folder if the library is missing; returns the path in it of the library that it made.
    """
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
    try:
        return _library(cache_folder(), key, build)
    except (OSError, MissingToolError) as error:
        # Another folder may help: the disk may be full, read-only or mounted noexec.
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
    """The library of this key in a folder, built if it is missing or damaged."""
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
    """Show how long the compiler has been running; how much longer it takes is unknown."""
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
    """How many seconds building a library took; None if it is missing, or not as it was built."""
    try:
        seconds, checksum = side.read_text().split()
        return float(seconds) if _checksum(path) == checksum else None
    except (OSError, ValueError):
        return None


def _checksum(path):
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _clean(folder):
    """Remove what a killed process has left."""
    for path in folder.glob(f"{_BUILDING}*"):
        with suppress(OSError):
            if path.stat().st_mtime < time.time() - _ABANDONED:
                shutil.rmtree(path, ignore_errors=True)


def load(text, *, options=(), vectors=False):
    """The library of a C program, as ``cached`` returns it. vectors : as for ``compiler``."""
    command, options = compiler(vectors=vectors), (*_OPTIONS, *options)

    def build(folder):
        (folder / "machine.c").write_text(text)
        execute([*command, *options, "-o", folder / "machine.so", folder / "machine.c"])
        return folder / "machine.so"

    return cached((text, identity(command), *options), build)
