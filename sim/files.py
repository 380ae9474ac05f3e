"""Files that are written whole or not at all, and a lock for a file that one process at a time may write.

Until a file is complete, its name does not exist or still belongs to the previous file. An unfinished file has no name at all where
the system supports that (Linux), so even a killed process leaves nothing; elsewhere it has a unique temporary name.
"""

import fcntl
import os
import secrets
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from .errors import InputError

__all__ = ["WholeFile", "locked", "make_folder", "write_together", "write_whole"]


def make_folder(path):
    """Make the folder, and its parents. Raises InputError."""
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot be created: {error.strerror}", file=path) from None


def write_whole(path, text):
    """Write a text file. Raises InputError."""
    write_together((path, text))


def write_together(*files):
    """Write text files, given as (path, text). None appears before all of them can. Raises InputError."""
    with ExitStack() as stack:
        written = []
        for path, text in files:
            written.append(stack.enter_context(WholeFile(path)))
            written[-1].write(text.encode())
        for file in written:
            file.flush()
        for file in written:
            file.keep()


class WholeFile:
    """A file to write octets to; it appears with ``keep``. A context manager: left without ``keep``, nothing has happened. Any disk
    error is an InputError that names the file."""

    def __init__(self, path):
        self.path = Path(path)
        self._name = None             # of the unfinished file
        with self._refusing():
            if self.path.exists() and not self.path.is_file():
                raise ValueError("it is there, and no file")
            # In the same folder, so that the last step is a rename.
            self._file = os.fdopen(self._unnamed() or self._named(), "wb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.drop()

    def write(self, octets):
        with self._refusing():
            self._file.write(octets)

    def flush(self):
        """Everything is written: put it on the disk, to be sure of the room."""
        with self._refusing():
            self._file.flush()

    def keep(self):
        """Everything is written: the file appears."""
        self.flush()
        with self._refusing():
            if self._name is None:
                self._name = self._free_name()
                # Any descriptor of a folder makes Python follow the link in /proc.
                folder = os.open(self.path.parent, os.O_RDONLY)
                try:
                    os.link(f"/proc/self/fd/{self._file.fileno()}", self._name, src_dir_fd=folder)
                finally:
                    os.close(folder)
            self._file.close()
            self._name.replace(self.path)
            self._name = None

    def drop(self):
        """Give up, unless it was kept. A full disk may be the reason, so errors are ignored."""
        with suppress(OSError):
            self._file.close()
        if self._name is not None:
            with suppress(OSError, ValueError):
                os.unlink(self._name)
            self._name = None

    def _unnamed(self):
        """A descriptor of a file without a name, or None if that is not supported."""
        if not hasattr(os, "O_TMPFILE") or not os.path.isdir("/proc/self/fd"):
            return None
        try:
            return os.open(self.path.parent, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o666)
        except OSError:
            # Not every file system supports it; the next attempt reports any other error.
            return None

    def _named(self):
        name = self._free_name()
        file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        self._name = name
        return file

    def _free_name(self):
        return self.path.with_name(f".{self.path.name[:100]}.{os.getpid()}-{secrets.token_hex(4)}.part")

    @contextmanager
    def _refusing(self):
        try:
            yield
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise InputError(f"cannot be written: {reason}", file=self.path) from None


@contextmanager
def locked(path, what):
    """Hold the lock of the file at ``path``. Raises an InputError that names the process that has it.

    what : the other process's work, in the message.
    """
    path = Path(path)
    lock = path.with_name(f".{path.name}.lock")
    try:
        file = _lock(lock)
    except BlockingIOError:
        raise InputError(f"{what}{_holder(lock)} is writing it; wait, or choose another folder with --out", file=path) from None
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", file=path) from None
    try:
        yield
    finally:
        with suppress(OSError):
            lock.unlink()
        file.close()


def _holder(lock):
    with suppress(OSError, ValueError):
        return f" (process {int(lock.read_text(encoding='ascii'))})"
    return ""


def _lock(path):
    """The open file that holds the lock. It belongs to this process alone: forked processes do not have it."""
    while True:
        file = open(path, "a+", encoding="ascii")
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The previous holder may have removed the file in between: then it is a lock no longer.
            if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
                with suppress(OSError):         # it is a lock even on a full disk
                    os.ftruncate(file.fileno(), 0)
                    os.write(file.fileno(), f"{os.getpid()}\n".encode())
                return file
        except BaseException:
            file.close()
            raise
        file.close()
