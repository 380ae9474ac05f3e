"""What goes over the wire between a board and the host: operations, frames, words. ``docs/fpga.md`` has it for people.

Whatever has several octets goes highest first.

A request is SYNC, operation, tag, address (2), count (2), CRC (2). If it writes, ``count`` words follow, and their CRC (2).
A reply is SYNC, Reply, the tag of its request, if it is DONE and the request reads ``count`` words, and a CRC (2).
Each CRC is CRC-16/IBM-3740 of what comes before it, from behind SYNC, or of the words alone, which then starts from 0
(CRC-16/XMODEM). A request whose first CRC is wrong is not heard, and neither is one in whose middle nothing comes for a while.
"""

import hashlib
from dataclasses import dataclass, fields

from amaranth.lib import data, enum
from amaranth.lib.crc.catalog import CRC16_IBM_3740

from ..apic.faults import fault_layout
from ..check.room import Room
from ..config import FABRICS, MachineConfig, straps_layout
from ..core.microword import MicroWord, Op
from ..core.seen import status_layout
from ..events import Event
from ..monitor import FLAGS, profile_layout
from ..schedule import plan_layout

__all__ = [
    "CRC", "HUNT_BITS", "IDENTITY", "MAX_COUNT", "SYNC", "VERSION", "Identity", "Operation", "Reply", "hunt_layout", "octets_of",
    "orders_layout", "vocabulary", "word_octets",
]

#: The first octet of a frame.
SYNC = 0xCC
#: Of all that this file says. It is the first word of the identity, in all versions.
VERSION = 2
#: Words in a request.
MAX_COUNT = 255

CRC = CRC16_IBM_3740(data_width=8)


class Operation(enum.Enum, shape=4):
    """What a request asks for. ``address`` counts words, from 0 if nothing else is said. BUSY while the machine runs means: from
    the begin of a run or hunt until HOLD."""

    #: Reads words of the Identity.
    IDENTIFY = 0
    #: Reads: word 0 is a ``summary_layout``, word 1 + n the ``status_layout`` of core n, and the word
    #: behind the last core's is the digest, which is complete when the run stands.
    STATUS = 1
    #: Reads words of the arena. BUSY while the machine runs.
    READ_ARENA = 2
    #: Writes words of the arena. BUSY while the machine runs.
    WRITE_ARENA = 3
    #: Writes words of every core's microcode. BUSY while the machine runs.
    WRITE_MICROCODE = 4
    #: Writes one word, the straps. BUSY while the machine runs.
    WRITE_STRAPS = 5
    #: Writes one word: the number of the last clock to run. Begins a run from reset, or goes on with the one that has begun; one
    #: that is over stays as it is. So this can be repeated. BUSY during a hunt.
    RUN = 6
    #: Ends the run or hunt that has begun. ``count`` is 0.
    HOLD = 7
    #: Writes words of an ``orders_layout``, HUNT_BITS each, from its lowest bits on. BUSY while the machine runs.
    WRITE_ORDERS = 8
    #: Writes one word: the number of the last run to make. Begins a hunt with run 0, or goes on with the one that has begun; one
    #: that has found something stays as it is. So this can be repeated. BUSY during a run that is not of a hunt.
    HUNT = 9
    #: Reads what came of a hunt: word 0 is a ``hunt_layout``, word 1 the number of the run, word 2 + n the clock of flag number n.
    READ_HUNT = 10


class Reply(enum.Enum, shape=2):
    """What became of a request."""

    DONE = 0
    #: The words did not come as they were sent: nothing has been done, but for memories, which have to be written again.
    DAMAGED = 1
    #: Not while a run or hunt has begun; nothing has been done.
    BUSY = 2
    #: The board has no Hunter.
    ABSENT = 3


#: Word 0 of STATUS. It says of the last run what it says of one that goes on.
summary_layout = data.StructLayout({
    "begun": 1,           # a run has begun, and has not been ended by HOLD
    "running": 1,         # its clocks go on
    "quiet": 1,           # it came to rest: every core sleeps, nothing is under way
    "trapped": 1,         # a core has trapped
    "reserved": 4,
    "clock": 32,          # how many clocks have been run
})

#: Bits of a word of what concerns a hunt.
HUNT_BITS = 32

#: Word 0 of READ_HUNT.
hunt_layout = data.StructLayout({
    "begun": 1,           # a hunt has begun, and has not been ended by HOLD
    "going": 1,           # it makes runs; what is said of the run is not yet complete
    "found": 1,           # its last run has set a flag: the machine stands at the end of that run
    "reserved": 5,
    "hits": len(FLAGS),   # which, in the order of FLAGS
})


def orders_layout(config):
    """What a board must know to hunt: of a plan, all but its faults; and what the Monitor must know. Flags that are not judged are
    not set."""
    return data.StructLayout({
        **{name: field.shape for name, field in plan_layout if name not in fault_layout.members},
        "last": 32,           # the number of the last clock of a run
        "patience": 32,
        "profile": profile_layout(config),
    })


def octets_of(width):
    """Octets of a number of so many bits."""
    return -(-width // 8)


def word_octets(config):
    """Operation -> octets of each of its words."""
    return {
        Operation.IDENTIFY: 2,
        Operation.STATUS: octets_of(max(summary_layout.size, status_layout.size)),
        Operation.READ_ARENA: octets_of(config.xlen),
        Operation.WRITE_ARENA: octets_of(config.xlen),
        Operation.WRITE_MICROCODE: octets_of(MicroWord.as_shape().size),
        Operation.WRITE_STRAPS: octets_of(straps_layout.size),
        Operation.RUN: 4,
        Operation.HOLD: 0,
        Operation.WRITE_ORDERS: octets_of(HUNT_BITS),
        Operation.HUNT: octets_of(HUNT_BITS),
        Operation.READ_HUNT: octets_of(HUNT_BITS),
    }


def vocabulary():
    """16 bits that tell one version of microword, events, straps, orders and MachineConfig from another. Where they differ, neither
    contents nor Identity mean the same."""
    said = [[item.name for item in fields(kind)] for kind in (MachineConfig, Room)] + [FABRICS, list(FLAGS)]
    layouts = (MicroWord.as_shape(), straps_layout, orders_layout(MachineConfig()))
    said += [[(name, shape.offset, shape.width) for name, shape in layout] for layout in layouts]
    said += [[(item.name, item.value) for item in kind] for kind in (Op, Event)]
    return int.from_bytes(hashlib.sha256(repr(said).encode()).digest()[:2], "big")


@dataclass(frozen=True)
class Identity:
    """What a bitstream says it was built from.

    config : MachineConfig.  image : 32 bits of the digest of the contents that it brings along; 0: it brings none.
    clock_khz : of the machine.  room : of its Monitor; None: it has no Hunter.
    digest : it has a Digest.
    """

    config: MachineConfig
    image: int = 0
    clock_khz: int = 0
    room: Room | None = None
    digest: bool = False

    def words(self):
        """As 16-bit words: version, vocabulary, then the fields."""
        values = [getattr(self.config, item.name) for item in fields(MachineConfig)]
        values = [FABRICS.index(value) if isinstance(value, str) else int(value) for value in values]
        room = [0 if self.room is None else getattr(self.room, item.name) for item in fields(Room)]
        return [VERSION, vocabulary(), self.image >> 16, self.image & 0xFFFF, self.clock_khz >> 16, self.clock_khz & 0xFFFF,
                int(self.digest), *room, *values]

    @classmethod
    def of(cls, words):
        """The Identity of words of the same version and vocabulary."""
        _, _, image, more_image, clock, more_clock, digest, *values = words
        room, values = values[:len(fields(Room))], values[len(fields(Room)):]
        texts = {item.name for item in fields(MachineConfig) if isinstance(item.default, str)}
        named = {item.name: FABRICS[value] if item.name in texts else value
                 for item, value in zip(fields(MachineConfig), values, strict=True)}
        return cls(MachineConfig(**named), image << 16 | more_image, clock << 16 | more_clock, Room(*room) if any(room) else None,
                   bool(digest))


#: Words of an Identity.
IDENTITY = len(Identity(MachineConfig()).words())
