"""The console: what a host asks over the wire, done to a machine."""

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..config import straps_layout
from ..core.seen import status_layout
from ..machine import LoadPort
from .hunter import HunterPort
from .tap import TapPort
from .wire import CRC, SYNC, Operation, Reply, summary_layout, word_octets

__all__ = ["Console"]

#: Octets of a header without its CRC: operation, tag, address, count.
_HEADER = 6
_CRC = 2
_READS = (Operation.IDENTIFY, Operation.STATUS, Operation.READ_ARENA, Operation.READ_HUNT)
#: What would disturb a run.
_NOT_IN_A_RUN = (Operation.READ_ARENA, Operation.WRITE_ARENA, Operation.WRITE_MICROCODE, Operation.WRITE_STRAPS,
                 Operation.WRITE_ORDERS)
#: What only a Hunter does.
_HUNTS = (Operation.WRITE_ORDERS, Operation.HUNT, Operation.READ_HUNT)


class Console(wiring.Component):
    """Takes requests (``rtl.boards.wire``), carries them out and replies, one after the other. What comes while it replies is lost.

    Words are written as they come, before it is known whether their CRC is right. A header whose CRC is wrong does nothing.

    Parameters
    ----------
    config : MachineConfig.  identity : Identity.  straps : Straps at power-up.

    Members
    -------
    valid, octet : what has come; taken at once.
    reply_valid, reply_ready, reply_octet : what is to be sent, as UartTransmitter takes it.
    tick : high for one clock now and then. If nothing comes from one to the next, the request that has begun is not heard.
    load, straps : to the machine.  tap : to its arena.  status : from the machine.
    go, last, hold, summary : as of Runner.
    digest : of the run, if the Identity says that there is one.
    hunter : to the Hunter, if the Identity says that there is one.
    """

    def __init__(self, config, identity, *, straps):
        self._identity = identity
        self._octets = word_octets(config)
        super().__init__({
            "valid": In(1),
            "octet": In(8),
            "reply_valid": Out(1),
            "reply_ready": In(1),
            "reply_octet": Out(8),
            "tick": In(1),
            "load": Out(LoadPort(config)),
            "straps": Out(straps_layout, init=straps.as_const()),
            "tap": Out(TapPort(config)),
            "status": In(data.ArrayLayout(status_layout, config.n_cores)),
            "go": Out(1),
            "last": Out(32),
            "hold": Out(1),
            "summary": In(summary_layout),
            "digest": In(32),
            "hunter": Out(HunterPort()),
        })
        octets = max(_HEADER, *self._octets.values())
        self._word = Signal(8 * octets, name="word")        # shifted towards its high end, in and out: there is one for both
        self._left = Signal(range(octets + 1), name="left")         # octets of it that are to come, or to be sent
        self._operation = Signal(Operation, name="operation")
        self._tag = Signal(8, name="tag")
        self._address = Signal(max(len(self.load.address), 8), name="address")
        self._count = Signal(8, name="count")               # words to come, or to be sent
        self._reply = Signal(Reply, name="reply")
        self._crc = CRC.create()

    def elaborate(self, platform):
        m = Module()
        m.submodules.crc = self._crc
        self._silent = Signal()         # nothing has come since the last tick
        self._store = Signal()          # ``word`` is whole
        self._size = Signal.like(self._left)
        self._reads, self._refused, self._absent = Signal(), Signal(), Signal()
        hunts, run = self.hunter.begun, self.summary.begun
        m.d.sync += self._silent.eq((self._silent | self.tick) & ~self.valid)
        m.d.comb += [
            self._size.eq(Array(self._octets[kind] for kind in Operation)[self._operation.as_value()]),
            self._reads.eq(self._is(*_READS)),
            self._refused.eq((run | hunts) & self._is(*_NOT_IN_A_RUN) | hunts & self._is(Operation.RUN)
                             | run & ~hunts & self._is(Operation.HUNT)),
        ]
        if self._identity.room is None:
            m.d.comb += self._absent.eq(self._is(*_HUNTS))
        self._write(m)
        with m.FSM():
            self._receiving(m)
            self._replying(m)
        return m

    def _is(self, *kinds):
        return Cat(self._operation == kind for kind in kinds).any()

    def _write(self, m):
        """What is written word by word, as it comes, and what is read from ``word`` when a request is carried out."""
        store = Signal()
        m.d.comb += [
            store.eq(self._store & ~self._refused),
            self.load.valid.eq(store & self._is(Operation.WRITE_ARENA, Operation.WRITE_MICROCODE)),
            self.load.microcode.eq(self._is(Operation.WRITE_MICROCODE)),
            self.load.address.eq(self._address),
            self.load.data.eq(self._word),
            self.tap.address.eq(self._address),
            self.last.eq(self._word),
            self.hunter.write.eq(store & self._is(Operation.WRITE_ORDERS)),
            self.hunter.address.eq(self._address),
            self.hunter.data.eq(self._word),
        ]
        with m.If(store & self._is(Operation.WRITE_STRAPS)):
            m.d.sync += self.straps.as_value().eq(self._word)

    def _receive(self, m, *, then, shift=True):
        """Take ``left`` octets in, then go on; or hunt again, if they break off."""
        with m.If(self.valid):
            m.d.comb += [self._crc.valid.eq(1), self._crc.data.eq(self.octet)]
            m.d.sync += self._left.eq(self._left - 1)
            if shift:
                m.d.sync += self._word.eq(Cat(self.octet, self._word))
            with m.If(self._left == 1):
                m.next = then
        with m.Elif(self.tick & self._silent):
            m.next = "HUNT"

    def _receiving(self, m):
        crc, word, left, count, address = self._crc, self._word, self._left, self._count, self._address
        with m.State("HUNT"):
            m.d.comb += crc.start.eq(1)
            m.d.sync += left.eq(_HEADER)
            with m.If(self.valid & (self.octet == SYNC)):
                m.next = "HEADER"
        with m.State("HEADER"):
            self._receive(m, then="FIELDS")
        with m.State("FIELDS"):
            m.d.sync += [count.eq(word[:8]), address.eq(word[16:32]), self._tag.eq(word[32:40]),
                         self._operation.as_value().eq(word[40:]), left.eq(_CRC)]
            m.next = "HEADER CRC"
        with m.State("HEADER CRC"):
            self._receive(m, then="CHECK", shift=False)
        with m.State("CHECK"):
            m.d.sync += left.eq(self._size)
            with m.If(~crc.match_detected):
                m.next = "HUNT"
            with m.Elif(self._reads | (count == 0)):
                m.next = "EXECUTE"
            with m.Else():
                m.next = "WORD"
        with m.State("WORD"):
            self._receive(m, then="STORE")
        with m.State("STORE"):
            m.d.comb += self._store.eq(1)
            m.d.sync += [address.eq(address + 1), count.eq(count - 1), left.eq(Mux(count == 1, _CRC, self._size))]
            with m.If(count == 1):
                m.next = "WORDS CRC"
            with m.Else():
                m.next = "WORD"
        with m.State("WORDS CRC"):
            self._receive(m, then="EXECUTE", shift=False)
        with m.State("EXECUTE"):
            with m.If(~crc.match_detected):
                m.d.sync += self._reply.eq(Reply.DAMAGED)
            with m.Elif(self._absent):
                m.d.sync += self._reply.eq(Reply.ABSENT)
            with m.Elif(self._refused):
                m.d.sync += self._reply.eq(Reply.BUSY)
            with m.Else():
                m.d.sync += self._reply.eq(Reply.DONE)
                m.d.comb += [self.go.eq(self._is(Operation.RUN)), self.hold.eq(self._is(Operation.HOLD)),
                             self.hunter.begin.eq(self._is(Operation.HUNT))]
            m.next = "REPLY"

    def _replying(self, m):
        crc, word, left = self._crc, self._word, self._left
        ending = Signal()               # the CRC is being sent
        m.d.comb += self.reply_octet.eq(word[-8:])
        with m.State("REPLY"):
            m.d.comb += crc.start.eq(1)
            m.d.sync += [self._fill(Cat(self._tag, self._reply.as_value(), Const(0, 6), Const(SYNC, 8))), ending.eq(0), left.eq(2)]
            m.next = "SYNC"
        with m.State("SYNC"):
            m.d.comb += self.reply_valid.eq(1)
            with m.If(self.reply_ready):
                m.d.sync += word.eq(word << 8)
                m.next = "SEND"
        with m.State("SEND"):
            m.d.comb += [self.reply_valid.eq(1), crc.data.eq(self.reply_octet), crc.valid.eq(self.reply_ready)]
            with m.If(self.reply_ready):
                m.d.sync += [word.eq(word << 8), left.eq(left - 1)]
                with m.If(left == 1):
                    m.next = "NEXT"
        with m.State("NEXT"):
            with m.If(ending):
                m.next = "HUNT"
            with m.Elif(self._reads & (self._reply == Reply.DONE) & (self._count != 0)):
                m.next = "FETCH"
            with m.Else():
                m.d.sync += [self._fill(crc.crc), left.eq(_CRC), ending.eq(1)]
                m.next = "SEND"
        with m.State("FETCH"):
            m.d.comb += self.tap.valid.eq(self._is(Operation.READ_ARENA))
            self._fetch(m)
            with m.If(self.tap.done | ~self.tap.valid):
                m.d.sync += [left.eq(self._size), self._address.eq(self._address + 1), self._count.eq(self._count - 1)]
                m.next = "SEND"

    def _fetch(self, m):
        """The word to be sent next."""
        identity = Array(Const(word, 16) for word in self._identity.words())
        seen = Array([self.summary.as_value(), *(status.as_value() for status in self.status), self.digest])
        number = self._address[:8]
        with m.Switch(self._operation):
            with m.Case(Operation.IDENTIFY):
                m.d.sync += self._fill(identity[number], Operation.IDENTIFY)
            with m.Case(Operation.STATUS):
                m.d.sync += self._fill(seen[number], Operation.STATUS)
            with m.Case(Operation.READ_HUNT):
                m.d.sync += self._fill(self.hunter.word, Operation.READ_HUNT)
            with m.Default():
                m.d.sync += self._fill(self.tap.word, Operation.READ_ARENA)

    def _fill(self, value, operation=None):
        """Put into ``word`` what is to be sent: a value as wide as it is, or in as many octets as a word of the operation has."""
        width = len(value) if operation is None else 8 * self._octets[operation]
        return self._word.eq(value << len(self._word) - width)
