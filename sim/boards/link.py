"""The host's end of the wire: requests that are repeated until they are answered (``rtl.boards.wire`` says what they are)."""

import termios
import time
from binascii import crc_hqx
from contextlib import contextmanager

from rtl.boards.wire import MAX_COUNT, SYNC, Reply
from sim.errors import MissingToolError

__all__ = ["BAUD", "BoardError", "Link", "open_port"]

BAUD = 115_200
#: What CRC-16/IBM-3740 starts from.
_START = 0xFFFF
_TRIES = 5


class BoardError(MissingToolError):
    """The board, or the way to it, does not do what it should; the message is one sentence."""


class _Damaged(Exception):
    """What came is not a reply, or too little came: worth another try."""


@contextmanager
def open_port(name, *, baud=BAUD):
    """The serial port with this name (or a pseudo-terminal). Raises MissingToolError if there is none, or no pyserial."""
    try:
        import serial
    except ImportError:
        raise MissingToolError("a board is spoken to through pyserial: pip install 'crosscall[boards]'") from None
    try:
        port = serial.Serial(str(name), baud, timeout=0.1, write_timeout=5, exclusive=True)
    except (serial.SerialException, ValueError, OSError, termios.error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise MissingToolError(f"{name}: cannot be opened as a serial port: {reason}") from None
    try:
        yield port
    finally:
        with _unplugged(name):
            port.close()


@contextmanager
def _unplugged(name):
    """What goes wrong with the port itself, in one sentence."""
    import serial
    try:
        yield
    except (serial.SerialException, OSError, termios.error) as error:       # the last of which pyserial lets through
        reason = error.args[-1] if isinstance(error, termios.error) else getattr(error, "strerror", None) or error
        raise BoardError(f"{name}: the board is gone: {reason}") from None


class Link:
    """Requests over a port, each repeated if its reply does not come or is damaged.

    port : as ``open_port`` gives it.  octets : Operation -> octets of a word, of the board (``rtl.boards.wire.word_octets``).
    patience : seconds without an octet after which a reply is given up. A board gives a request up in less than 0.1 s.
    """

    def __init__(self, port, octets, *, patience=1.0):
        self._port, self.octets = port, octets
        self._patience = patience
        self._tag = 0
        #: How many requests have been sent again.
        self.repeated = 0

    @property
    def name(self):
        """Of the port."""
        return self._port.port

    def read(self, operation, address, count):
        """So many words from an address on."""
        words = []
        while len(words) < count:
            some = min(MAX_COUNT, count - len(words))
            octets = self._request(operation, address + len(words), some, b"", some * self.octets[operation])
            size = self.octets[operation]
            words += [int.from_bytes(octets[start:start + size], "big") for start in range(0, len(octets), size)]
        return words

    def write(self, operation, address, words):
        for start in range(0, len(words), MAX_COUNT):
            some = words[start:start + MAX_COUNT]
            octets = b"".join(word.to_bytes(self.octets[operation], "big") for word in some)
            self._request(operation, address + start, len(some), octets + crc_hqx(octets, 0).to_bytes(2, "big"), 0)

    def ask(self, operation):
        """A request without words."""
        self._request(operation, 0, 0, b"", 0)

    def _request(self, operation, address, count, words, expected):
        """The octets of the words of the reply."""
        reason = None
        for number in range(_TRIES):
            self.repeated += number > 0
            self._tag = (self._tag + 1) % 256
            header = bytes([operation.value, self._tag]) + address.to_bytes(2, "big") + count.to_bytes(2, "big")
            frame = bytes([SYNC]) + header + crc_hqx(header, _START).to_bytes(2, "big") + words
            with _unplugged(self.name):
                self._port.reset_input_buffer()
                self._port.write(frame)
                try:
                    reply, octets = self._reply(expected)
                except _Damaged as error:
                    reason = error
                    continue
            if reply is Reply.DAMAGED:
                reason = "what is sent to it arrives damaged"
            elif reply is Reply.BUSY:
                raise BoardError(f"{self.name}: the board does not {operation.name.lower().replace('_', ' ')} during a run")
            elif reply is Reply.ABSENT:
                raise BoardError(f"{self.name}: the board has nothing that can {operation.name.lower().replace('_', ' ')}")
            else:
                return octets
        raise BoardError(f"{self.name}: the board does not answer ({reason}; tried {_TRIES} times)")

    def _reply(self, expected):
        """(Reply, octets of its words) of the last request."""
        while True:
            while self._take(1)[0] != SYNC:
                pass
            start = self._take(2)
            if start[0] >= len(Reply) or start[1] != self._tag:
                continue                # of a request that was given up; or no frame at all
            reply = Reply(start[0])
            octets = self._take(expected if reply is Reply.DONE else 0)
            if crc_hqx(start + octets, _START) != int.from_bytes(self._take(2), "big"):
                raise _Damaged("what comes from it is damaged")
            return reply, octets

    def _take(self, count):
        """The next octets. Each may let itself be waited for."""
        taken = b""
        last = time.monotonic()
        while len(taken) < count:
            some = self._port.read(count - len(taken))
            if some:
                last = time.monotonic()
            elif time.monotonic() > last + self._patience:
                raise _Damaged("nothing comes from it" if not taken else "its reply breaks off")
            taken += some
        return taken
