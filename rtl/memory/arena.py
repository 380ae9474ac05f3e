"""The shared arena: banks, and the path of every core's request to its bank and back."""

from amaranth.hdl import Array, Cat, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..events import commit_record_layout
from ..travel import Travel
from .bank import Bank
from .port import MemoryPort, memory_request_layout

__all__ = ["Arena"]


class Arena(wiring.Component):
    """``arena_depth`` words behind ``n_cores`` ports, in ``n_banks`` banks, interleaved by the low address bits.

    A request whose ``valid`` rose in clock t may be picked by its bank from clock t + ``latency`` on and is done one clock
    after it is picked. Each bank picks one per clock, in turn among the ports. Every operation is visible, to all ports, at
    the end of the clock in which its record is valid.

    ``done`` and ``old`` are functions of state and memory outputs, except that the port's own address selects ``old``.

    Parameters
    ----------
    config : MachineConfig.

    Attributes
    ----------
    banks : the Banks; ``banks[b].data`` are their rows, for a simulation to fill. ``locate`` finds a word.

    Members
    -------
    latency : the strap ``arena_latency``, in clocks.
    ports : one MemoryPort per core.
    records : one commit record per bank.
    load_valid, load_address, load_data : writes a word at the end of the clock; only while no port is ``valid``.
    """

    def __init__(self, config):
        self._config = config
        self.banks = [Bank(config) for _ in range(config.n_banks)]
        super().__init__({
            "latency": In(8),
            "ports": In(MemoryPort(config)).array(config.n_cores),
            "records": Out(data.ArrayLayout(commit_record_layout(config), config.n_banks)),
            "load_valid": In(1),
            "load_address": In(config.address_bits),
            "load_data": In(config.xlen),
        })

    def locate(self, address):
        """The bank and the row in it that hold the word at ``address``."""
        return address % len(self.banks), address // len(self.banks)

    def elaborate(self, platform):
        m = Module()
        config = self._config
        m.submodules.travel = travel = Travel(config.n_cores)
        requests = Signal(data.ArrayLayout(memory_request_layout(config), config.n_cores))
        m.d.comb += [
            requests.eq(Cat(port.request for port in self.ports)),
            travel.latency.eq(self.latency),
            travel.valid.eq(Cat(port.valid for port in self.ports)),
            travel.done.eq(Cat(port.done for port in self.ports)),
        ]
        for number, bank in enumerate(self.banks):
            m.submodules[f"bank{number}"] = bank
            m.d.comb += [
                bank.requests.eq(requests),
                bank.valid.eq(travel.ready & Cat(port.request.address[:config.bank_bits] == number for port in self.ports)),
                bank.load_valid.eq(self.load_valid & (self.load_address[:config.bank_bits] == number)),
                bank.load_row.eq(self.load_address[config.bank_bits:]),
                bank.load_data.eq(self.load_data),
                self.records[number].eq(bank.record),
            ]
        old = Array(bank.old for bank in self.banks)
        for i, port in enumerate(self.ports):
            m.d.comb += [
                port.done.eq(Cat(bank.done[i] for bank in self.banks).any()),
                port.old.eq(old[port.request.address[:config.bank_bits]]),
            ]
        return m
