"""The files that a command line names, and a notebook of their results, so that a long run can be resumed."""

import hashlib
import json
import os
from pathlib import Path
from typing import NamedTuple

from sim.errors import InputError
from sim.files import make_folder, write_whole
from sim.texts import read_text

__all__ = ["Entry", "Notebook", "entries"]

_FORMAT = "crosscall litmus notebook"
_VERSION = 1


class Entry(NamedTuple):
    """A file to run. stem : the name of its waves.  error : an InputError, if it is already refused."""

    path: Path
    stem: str
    error: InputError | None = None


def entries(paths):
    """An Entry for each file, in order: files, all .litmus files below a folder, and the files in an index.

    An index is a file whose name begins with @: one name per line, relative to it; # begins a comment. Raises InputError if a path
    is none of these.
    """
    found = []
    for path in map(Path, paths):
        if os.path.isdir(path):
            below = sorted(path.rglob("*.litmus"))
            if not below:
                raise InputError("there is no .litmus file in this folder", file=path)
            found += [(item, None) for item in below]
        elif os.path.isfile(path):
            found += _index(path, ()) if path.name.startswith("@") else [(path, None)]
        else:
            raise InputError("there is no such file or folder", file=path)
    seen = {}
    for path, _ in found:
        seen.setdefault(path.stem, []).append(path)
    return [Entry(path, path.stem if len(seen[path.stem]) == 1 else _longer(path), error) for path, error in found]


def _longer(path):
    """What distinguishes the waves of a file from those of another file of the same name."""
    return "--".join(part for part in (*path.resolve().parent.parts[-3:], path.stem) if part != path.anchor)


def _index(path, inside):
    """(path, InputError or None) of each file in an index; it may name other indices."""
    if path.resolve() in inside:
        raise InputError("this index names itself", file=path)
    for number, line in enumerate(read_text(path).splitlines(), 1):
        name = line.partition("#")[0].strip()
        if not name:
            continue
        target = path.parent / name
        if not os.path.isfile(target):
            yield target, InputError(f"there is no file {name}", file=path, line=number, column=line.index(name) + 1, text=line)
        elif target.name.startswith("@"):
            yield from _index(target, (*inside, path.resolve()))
        else:
            yield target, None


class Notebook:
    """The results of an unfinished run, in a file.

    Parameters
    ----------
    path : of the file.  settings : what all results depend on, as JSON data.
    """

    def __init__(self, path, settings):
        self.path = Path(path)
        self._settings = settings
        #: file -> (digest of its text, results).
        self._done = {}

    def read(self):
        """Read it. Raises InputError if there is no notebook, or it belongs to another run."""
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise InputError("there is no notebook of an interrupted run", file=self.path) from None
        except (OSError, ValueError, RecursionError) as problem:
            raise InputError(f"cannot be read: {getattr(problem, 'strerror', None) or 'it is damaged'}", file=self.path) from None
        try:
            good = (content["format"], content["version"]) == (_FORMAT, _VERSION)
            settings, done = content["settings"], content["done"]
            good = good and isinstance(settings, dict) and all(
                isinstance(noted["results"], list) and isinstance(noted["digest"], str) for noted in done.values())
        except (TypeError, KeyError, AttributeError):
            good = False
        if not good:
            raise InputError("this is not the notebook of litmus tests", file=self.path)
        for name, value in self._settings.items():
            if settings.get(name) != value:
                raise InputError(f"the interrupted run had {name} {settings.get(name)}, not {value}", file=self.path)
        self._done = content["done"]

    def results(self, path):
        """The results of a file that has not changed since; None if there are none."""
        noted = self._done.get(str(path))
        return noted["results"] if noted and noted["digest"] == _digest(path) else None

    def add(self, path, results):
        self._done[str(path)] = {"digest": _digest(path), "results": results}

    def __len__(self):
        return len(self._done)

    def write(self):
        make_folder(self.path.parent)
        write_whole(self.path, json.dumps({"format": _FORMAT, "version": _VERSION, "settings": self._settings, "done": self._done}))

    def remove(self):
        if self.path.exists():          # a read-only disk does not matter if there is nothing to remove
            self.path.unlink()


def _digest(path):
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError:
        return None
