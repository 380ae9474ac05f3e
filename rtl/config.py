"""MachineConfig: the structure. Straps: inputs that are constant during a run. Everything else is contents of memories.

Two machines with equal MachineConfig are the same circuit, whatever protocol and scenario they run.
"""

from dataclasses import dataclass, field, fields, replace

from amaranth.lib import data
from amaranth.utils import ceil_log2, exact_log2

__all__ = ["FABRICS", "FULL", "PRESETS", "MachineConfig", "Straps", "lacking", "straps_layout"]


#: The available fabrics; ``rtl.shared.FABRICS`` has their components.
FABRICS = ("crossbar",)


def _check(name, value, expectation, ok):
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an integer, not {value!r}")
    if not ok(value):
        raise ValueError(f"{name} must be {expectation}, not {value}")


def _power_of_two(value):
    return value > 0 and value & (value - 1) == 0


@dataclass(frozen=True, kw_only=True)
class MachineConfig:
    """The structure of one machine.

    Parameters
    ----------
    n_cores : 1 to 64. A cpumask is one word, so ``n_cores <= xlen``.
    xlen : 16, 32 or 64. Bits of a register, of an arena word and of an address.
    microcode_depth : words of each core's microcode store; a power of two, 64 to 2048 (the microword has 11 bits of target).
    stack_depth : words of each core's private stack (return addresses, saved registers); a power of two, 16 to 1024.
    arena_depth : words of the shared arena, all banks together; a power of two, 64 to 32768. The addresses from
        ``arena_depth`` up are never memory: an access there is a fault. (Half of the addresses that an immediate can name must
        fault.)
    store_buffer_depth : executed stores of a core that no other core sees yet; 0 to 8. With 0 every memory model is SC.
    n_banks : banks of the arena, interleaved by the low address bits; a power of two, 1 to 16.
    n_vectors : interrupt vectors that exist, counted down from 0xff (16: 0xf0-0xff); a power of two, 16 to 256.
    fabric : how interrupt messages travel: one of FABRICS.

    Parts that a small board may leave out. Each is 1 or 0; by default a machine has all of them (FULL).

    pso : the store buffers can reorder; without it, the memory model is SC or TSO.
    x2apic_mode : a local APIC can be an x2APIC, whose ICR has 64 bits; without it, it is an xAPIC.
    task_priority : a local APIC has TPR; without it, TPR reads 0 and ignores writes.
    error_status : the same for ESR.
    register_reads : the registers of a local APIC can be read; without it, only the delivery status in ICR: all else reads 0.
    delay_bits : not 1 or 0, but 1 to 8: bits of the counter for the clocks of ``interrupt_entry`` and ``interrupt_return``.
    """

    n_cores: int = 4
    xlen: int = 16
    microcode_depth: int = 1024
    stack_depth: int = 256
    arena_depth: int = 1024
    store_buffer_depth: int = 4
    n_banks: int = 1
    n_vectors: int = 16
    fabric: str = "crossbar"
    pso: int = 1
    x2apic_mode: int = 1
    task_priority: int = 1
    error_status: int = 1
    register_reads: int = 1
    delay_bits: int = 8

    #: A cpumask is one word. More cores need masks of several words: the sources then walk them, and records carry one at a time.
    MAX_CORES = 64
    #: The largest ``arena_depth``.
    MAX_ARENA = 1 << 15
    #: Words at the bottom of the arena that fault when accessed, so that a field of a NULL pointer is caught.
    NULL_WORDS = 16

    def __post_init__(self):
        _check("n_cores", self.n_cores, f"from 1 to {self.MAX_CORES}", lambda v: 1 <= v <= self.MAX_CORES)
        _check("xlen", self.xlen, "16, 32 or 64", lambda v: v in (16, 32, 64))
        _check("microcode_depth", self.microcode_depth, "a power of two from 64 to 2048",
               lambda v: _power_of_two(v) and 64 <= v <= 2048)
        _check("stack_depth", self.stack_depth, "a power of two from 16 to 1024",
               lambda v: _power_of_two(v) and 16 <= v <= 1024)
        _check("arena_depth", self.arena_depth, "a power of two from 64 to 32768",
               lambda v: _power_of_two(v) and 64 <= v <= self.MAX_ARENA)
        _check("store_buffer_depth", self.store_buffer_depth, "from 0 to 8", lambda v: 0 <= v <= 8)
        _check("n_banks", self.n_banks, "a power of two from 1 to 16", lambda v: _power_of_two(v) and v <= 16)
        _check("n_vectors", self.n_vectors, "a power of two from 16 to 256",
               lambda v: _power_of_two(v) and 16 <= v <= 256)
        for name in ("pso", "x2apic_mode", "task_priority", "error_status", "register_reads"):
            _check(name, getattr(self, name), "0 or 1", lambda v: v in (0, 1))
        _check("delay_bits", self.delay_bits, "from 1 to 8", lambda v: 1 <= v <= 8)
        if self.fabric not in FABRICS:
            raise ValueError(f"fabric must be one of {', '.join(FABRICS)}, not {self.fabric!r}")
        if self.n_cores > self.xlen:
            raise ValueError(f"n_cores must be at most xlen, because a cpumask is one word: "
                             f"{self.n_cores} cores do not fit {self.xlen} bits")

    @property
    def core_bits(self) -> int:
        """Bits of a core number, at least 1."""
        return max(1, ceil_log2(self.n_cores))

    @property
    def pc_bits(self) -> int:
        return exact_log2(self.microcode_depth)

    @property
    def stack_bits(self) -> int:
        return exact_log2(self.stack_depth)

    @property
    def address_bits(self) -> int:
        """Bits of an arena address that does not fault."""
        return exact_log2(self.arena_depth)

    @property
    def bank_bits(self) -> int:
        return exact_log2(self.n_banks)

    @property
    def first_vector(self) -> int:
        return 256 - self.n_vectors

    def with_cores(self, n_cores: int) -> "MachineConfig":
        """The same machine with another number of cores: the narrowest ``xlen`` that holds its cpumask, but no narrower
        than now, and an arena of at least 256 words a core, and 16 for each pair of cores: some protocols have a csd for each."""
        _check("n_cores", n_cores, f"from 1 to {self.MAX_CORES}", lambda v: 1 <= v <= self.MAX_CORES)
        xlen = next(width for width in (16, 32, 64) if width >= max(n_cores, self.xlen))
        depth = min(1 << ceil_log2(n_cores * max(256, 16 * n_cores)), self.MAX_ARENA)
        return replace(self, n_cores=n_cores, xlen=xlen, arena_depth=max(self.arena_depth, depth))


#: The defaults of the parts that a small board may leave out: all of them.
FULL = {name: getattr(MachineConfig, name)
        for name in ("pso", "x2apic_mode", "task_priority", "error_status", "register_reads", "delay_bits")}

#: Named machines. ``tiny`` is for looking at every clock of one call, ``wide`` for growth laws.
PRESETS = {
    "tiny": MachineConfig(n_cores=2, arena_depth=512),
    "default": MachineConfig(),
    "wide": MachineConfig().with_cores(32),
}


def _strap(default, width, doc, *, limit=255):
    return field(default=default, metadata={"width": width, "doc": doc, "limit": limit})


@dataclass(frozen=True, kw_only=True)
class Straps:
    """Inputs of a Machine that are constant during a run. Experiments sweep them without a new elaboration. Latencies in clocks."""

    memory_model: int = _strap(0, 2, "0 SC, 1 TSO, 2 PSO: what the store buffers do", limit=2)
    x2apic: int = _strap(0, 1, "0: accesses to the local APIC wait until earlier stores are visible (xAPIC); 1: they do not")

    fabric_latency: int = _strap(8, 8, "clocks a message travels before it may be delivered")
    arena_latency: int = _strap(0, 8, "extra clocks a memory request travels before it may be granted")
    interrupt_entry: int = _strap(8, 8, "extra clocks from accepting an interrupt to its first microinstruction")
    interrupt_return: int = _strap(4, 8, "extra clocks from IRET to the interrupted microinstruction")

    def __post_init__(self):
        for item in fields(self):
            limit = (1 << item.metadata["width"]) - 1
            limit = min(limit, item.metadata["limit"])
            _check(item.name, getattr(self, item.name), f"from 0 to {limit}", lambda v, limit=limit: 0 <= v <= limit)

    def as_const(self) -> dict[str, int]:
        """The value of the ``straps`` port, as ``data.Layout.const`` takes it."""
        return {item.name: getattr(self, item.name) for item in fields(self)}


def lacking(config, straps):
    """What a machine needs for these straps but lacks: [(name of the strap, field of MachineConfig, sentence), ...]."""
    needs = [
        ("memory_model", "pso", 1, straps.memory_model != 2 or config.pso),
        ("x2apic", "x2apic_mode", 1, not straps.x2apic or config.x2apic_mode),
        *((strap, "delay_bits", getattr(straps, strap).bit_length(), not getattr(straps, strap) >> config.delay_bits)
          for strap in ("interrupt_entry", "interrupt_return")),
    ]
    return [(strap, field, f"{strap}={getattr(straps, strap)} needs {field}={need}, but this machine has {field}={has}")
            for strap, field, need, suffices in needs if not suffices for has in [getattr(config, field)]]


#: Layout of the ``straps`` port of a Machine and of each of its parts.
straps_layout = data.StructLayout({item.name: item.metadata["width"] for item in fields(Straps)})
