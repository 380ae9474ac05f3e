"""Translated machines, kept so that they need not be elaborated and translated again: that takes longer than most runs.

A translation is named by a hash of what it is made from: the description of the machine, the sources of the hardware and of the
translators, and the versions of Amaranth and Python. It is in the cache of the libraries, with a checksum: a damaged one is made
again. Where the cache cannot be used, it is made again each time.
"""

import hashlib
import pickle
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path

import amaranth

import rtl
from sim.errors import InputError
from sim.files import WholeFile

from .toolchain import cache_folder, cpu_seconds

__all__ = ["Translations", "translated"]

_SOURCES = (Path(rtl.__file__).parent, Path(__file__).parent)


class Translations:
    """kept : whether they are kept. Code that changes the hardware in the running process, as tests do, turns this off.
    folder : returns where."""

    kept = True
    folder = staticmethod(cache_folder)


def translated(description, make):
    """(what ``make`` returns, the processor time that it took when it was made).

    description : what ``make`` depends on besides the sources: objects whose ``repr`` is complete.
    """
    if Translations.kept:
        with suppress(OSError, ValueError):
            return _read(_path(description))
    before = cpu_seconds()
    made = make(), cpu_seconds() - before
    if Translations.kept:
        with suppress(OSError, InputError):
            _write(_path(description), made)
    return made


def _path(description):
    key = hashlib.sha256("\0".join((_sources(), repr(description))).encode()).hexdigest()[:32]
    return Translations.folder() / f"{key}.translation"


@cache
def _sources():
    """What distinguishes the sources of this process from others."""
    digest = hashlib.sha256(f"{amaranth.__version__} {sys.version}".encode())
    for folder in _SOURCES:
        for path in sorted(folder.rglob("*.py")):
            digest.update(f"\0{path.relative_to(folder)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def _read(path):
    """Raises OSError or ValueError if there is none, or not as it was written."""
    octets = path.read_bytes()
    checksum, content = octets[:32], octets[32:]
    if hashlib.sha256(content).digest() != checksum:
        raise ValueError
    return pickle.loads(content)


def _write(path, made):
    content = pickle.dumps(made)
    path.parent.mkdir(parents=True, exist_ok=True)
    with WholeFile(path) as file:
        file.write(hashlib.sha256(content).digest() + content)
        file.keep()
