"""Where waves are written: a file appears whole or not at all."""

import os
import zlib
from pathlib import Path

from ..errors import InputError

__all__ = ["OutputFile", "OutputStream"]


class OutputStream:
    """ASCII text into an open binary file, which stays open. ``crc`` is the CRC-32 of what was written."""

    def __init__(self, file):
        self.crc = 0
        self._file = file

    def write(self, text):
        octets = text.encode("ascii")
        self.crc = zlib.crc32(octets, self.crc)
        self._file.write(octets)

    def flush(self):
        self._file.flush()

    def keep(self):
        """All is written."""

    def drop(self):
        """Give up."""


class OutputFile(OutputStream):
    """The same into a file that is not there, or is as it was, until ``keep``."""

    def __init__(self, path):
        self._path = Path(path)
        # In the same folder, so that the last step is a rename.
        self._temporary = self._path.with_name(f".{self._path.name}.{os.getpid()}.part")
        try:
            super().__init__(self._temporary.open("wb"))
        except OSError as error:
            raise InputError(f"cannot write this file: {error.strerror}", file=self._path) from None

    def keep(self):
        self._file.close()
        os.replace(self._temporary, self._path)

    def drop(self):
        self._file.close()
        self._temporary.unlink(missing_ok=True)
