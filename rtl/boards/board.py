"""Board: a Machine with its console on a serial line, and lights. What all boards have in common; it knows no pins."""

from amaranth.hdl import Cat, EnableInserter, Module, Mux, ResetInserter, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ..config import Straps
from ..digest import Digest
from ..machine import Machine
from ..share import share
from ..tile import Tile
from .console import Console
from .hunter import Hunter
from .runner import Runner
from .tap import TappedTile
from .uart import UartReceiver, UartTransmitter
from .wire import Identity

__all__ = ["Board"]

#: A request may stop for as long as so many octets take, and is given up after twice that.
_PATIENCE = 256
#: The heartbeat goes on or off with so many such times: some half second at 115200 baud.
_BEAT = 16


class Board(wiring.Component):
    """A Machine that is loaded, run and read over a serial line (``rtl.boards.wire``).

    Parameters
    ----------
    config : MachineConfig
    divisor : clocks per bit of the line.
    microcode, arena : words that the memories have at power-up, from address 0. If there are any, they run at once.
    straps : Straps at power-up.
    image, clock_khz : of the Identity.
    room : of the Monitor; with one, the board has a Hunter.
    digest : the board has a Digest.

    Attributes
    ----------
    machine : the Machine.

    Members
    -------
    rx, tx : the line.
    in_handler : per core: it was in an interrupt handler not long ago.
    heartbeat : goes on and off.
    violation : a core has trapped since the run began, or a hunt has found something and no run has begun since.
    """

    def __init__(self, config, *, divisor, microcode=(), arena=(), straps=Straps(), image=0, clock_khz=0, room=None, digest=False):
        self._divisor = divisor
        tapped = iter([TappedTile])
        self.machine = Machine(config, tile=lambda config: next(tapped, Tile)(config))
        self._hunter = None if room is None else Hunter(config, room)
        self._digest = Digest(config) if digest else None
        self._preload(microcode, arena)
        self._runner = Runner(begin=bool(microcode))
        self._console = Console(config, Identity(config, image, clock_khz, room, digest), straps=straps)
        super().__init__({
            "rx": In(1, init=1),
            "tx": Out(1, init=1),
            "in_handler": Out(config.n_cores),
            "heartbeat": Out(1),
            "violation": Out(1),
        })

    def _preload(self, microcode, arena):
        for tile in self.machine.tiles:
            tile.microcode.init = microcode
        banks = [[] for _ in self.machine.shared.arena.banks]
        for address, word in enumerate(arena):
            number, row = self.machine.shared.arena.locate(address)
            assert row == len(banks[number])
            banks[number].append(word)
        for bank, words in zip(self.machine.shared.arena.banks, banks, strict=True):
            bank.data.init = words
        if self._hunter is not None:
            self._hunter.copy.init = arena

    def elaborate(self, platform):
        m = Module()
        machine, runner, console = self.machine, self._runner, self._console
        m.submodules.runner, m.submodules.console = runner, console
        m.submodules.machine = ResetInserter(runner.reset)(EnableInserter(runner.enable)(machine))
        m.submodules.receiver = receiver = UartReceiver(self._divisor)
        m.submodules.transmitter = transmitter = UartTransmitter(self._divisor)
        share(receiver, rx=self.rx)
        share(transmitter, tx=self.tx)
        share(console, valid=receiver.valid, octet=receiver.octet)
        share(transmitter, valid=console.reply_valid, ready=console.reply_ready, octet=console.reply_octet)
        share(machine, status=console.status, run=runner.run, quiet=runner.quiet, trapped=runner.trapped)
        m.d.comb += machine.straps.eq(console.straps)
        share(machine.tiles[0], tap=console.tap)
        share(console, summary=runner.summary)
        if self._hunter is None:
            share(machine, load=console.load)
            share(console, go=runner.go, last=runner.last, hold=runner.hold)
        else:
            self._hunt(m)
        if self._digest is not None:
            m.submodules.digest = ResetInserter(runner.reset)(digest := self._digest)
            share(digest, trace=machine.trace)
            share(console, digest=digest.digest)
            m.d.comb += digest.run.eq(runner.run & runner.enable)
        self._lights(m, console)
        return m

    def _hunt(self, m):
        """The Hunter works beside the Console, and loads the machine in its stead."""
        machine, runner, console, hunter = self.machine, self._runner, self._console, self._hunter
        m.submodules.hunter = hunter
        share(console, hunter=hunter.port)
        share(machine, load=hunter.load, schedule=hunter.schedule)
        share(hunter, source=console.load, status=console.status, quiet=runner.quiet, trace=machine.trace, run=runner.run,
              reset=runner.reset, end=console.hold)
        m.d.comb += [
            hunter.running.eq(runner.summary.running),
            hunter.runs.eq(runner.run & runner.enable),
            runner.go.eq(console.go | hunter.go),
            runner.last.eq(Mux(hunter.go, hunter.last, console.last)),
            runner.hold.eq(console.hold | hunter.hold),
        ]

    def _lights(self, m, console):
        tick_bits = ceil_log2(_PATIENCE * 10 * self._divisor)
        time = Signal(tick_bits + ceil_log2(_BEAT) + 1)
        m.d.sync += time.eq(time + 1)
        m.d.comb += [
            console.tick.eq(time[:tick_bits] == 0),
            self.heartbeat.eq(time[-1]),
            self.violation.eq(self._runner.summary.trapped | (0 if self._hunter is None else self._hunter.found)),
        ]
        # An interrupt is over before anybody sees it: it lights from one tick to the next.
        now = Cat(status.in_handler for status in self.machine.status)
        seen = Signal(len(now))
        m.d.sync += seen.eq(seen | now)
        with m.If(console.tick):
            m.d.sync += [self.in_handler.eq(seen), seen.eq(now)]
        return m
