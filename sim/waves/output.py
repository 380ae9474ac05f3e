"""Where waves are written: an open file, or one that appears whole or not at all."""

import zlib

from ..files import WholeFile

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
        """Everything is written."""

    def drop(self):
        """Give up."""


class OutputFile(OutputStream):
    """The same, into a file that does not appear or change until ``keep``."""

    def __init__(self, path):
        super().__init__(WholeFile(path))

    def keep(self):
        self._file.keep()

    def drop(self):
        self._file.drop()
