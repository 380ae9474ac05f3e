"""The complete Board in simulation, with a model terminal at the other end of its serial line."""

import ctypes

from rtl.boards.board import Board
from sim.engines.compiled.alone import alone
from sim.engines.compiled.toolchain import load, uncollected
from sim.engines.compiled.translation import translated
from sim.engines.pysim import simulator

__all__ = ["DIVISOR", "CompiledBoard", "PySimBoard"]

#: Clocks per bit, as Board takes it: the minimum.
DIVISOR = 2
#: The most octets that wait for the line, in either direction.
_QUEUE = 1 << 16

#: What sends octets to the board and takes those that it sends, a bit at a time, and what is seen of its lights.
_TERMINAL = """
typedef struct { uint16_t bits; int left, wait; } Line;
typedef struct { Board board; Line sent, taken; uint8_t line; } Desk;

size_t desk_size(void) { return sizeof(Desk); }

void desk_start(Desk *d) {
  memset(d, 0, sizeof *d);
  d->line = 1;
  Board_start(&d->board);
}

/* Runs so many clocks, or until a queue is full. Gives the octets that have been sent to the board; *got counts those from it. */
int64_t desk_run(Desk *d, int64_t clocks, const uint8_t *to, int64_t count, uint8_t *from, int64_t room, int64_t *got,
                 uint64_t *lights) {
  int64_t sent = 0;
  for (*got = 0; clocks-- && *got < room;) {
    uint64_t in[1], out[OUTPUTS];
    if (d->sent.wait) d->sent.wait--;
    else {
      if (!d->sent.left && sent < count) d->sent = (Line){to[sent++] << 1 | 1 << 9, 10, 0};
      if (d->sent.left) {
        d->sent.left--;
        d->sent.wait = DIVISOR - 1;
        d->line = d->sent.bits & 1;
        d->sent.bits >>= 1;
      }
    }
    in[0] = d->line;
    Board_step(&d->board, in, out);
    if (!d->taken.left) {
      if (!out[TX]) d->taken = (Line){0, 9, DIVISOR + DIVISOR / 2 - 1};
    } else if (!d->taken.wait--) {
      d->taken.wait = DIVISOR - 1;
      if (--d->taken.left) d->taken.bits = d->taken.bits >> 1 | (out[TX] & 1) << 7;
      else if (out[TX]) from[(*got)++] = d->taken.bits;
    }
    memcpy(lights, out, sizeof out);
  }
  return sent;
}
"""


class CompiledBoard:
    """A Board as scalar C, flat. Raises MissingToolError if there is no C compiler.

    Parameters
    ----------
    config : MachineConfig.  options : of Board.
    """

    def __init__(self, config, **options):
        board = translated(("board", config, DIVISOR, sorted(options.items())), lambda: _translate(config, options))[0]
        self._names = [name for name, _ in board.outputs]
        defines = {"OUTPUTS": len(self._names), "TX": self._names.index("tx"), "DIVISOR": DIVISOR}
        text = "".join(f"#define {name} {value}\n" for name, value in defines.items())
        self._library = load(board.text + text + _TERMINAL, options=("-O1",))
        self._library.desk_size.restype = ctypes.c_size_t
        self._library.desk_run.restype = ctypes.c_int64
        self._state = ctypes.create_string_buffer(self._library.desk_size())
        self._library.desk_start(self._state)
        self._lights = (ctypes.c_uint64 * len(self._names))()

    def run(self, octets, clocks):
        """Send octets, and run this many clocks. Returns (how many octets were sent, the received octets)."""
        octets = bytes(octets[:_QUEUE])
        came, count = ctypes.create_string_buffer(_QUEUE), ctypes.c_int64()
        sent = self._library.desk_run(self._state, ctypes.c_int64(clocks), octets, ctypes.c_int64(len(octets)), came,
                                      ctypes.c_int64(_QUEUE), ctypes.byref(count), self._lights)
        return sent, came.raw[:count.value]

    @property
    def lights(self):
        """Light -> its value in the last clock."""
        return {name: self._lights[number] for number, name in enumerate(self._names) if name != "tx"}


def _translate(config, options):
    with uncollected():
        return alone(Board(config, divisor=DIVISOR, **options), "Board")


class PySimBoard:
    """The same in PySim, the reference; slow."""

    def __init__(self, config, **options):
        self._board = Board(config, divisor=DIVISOR, **options)
        self._simulator = simulator(self._board)
        self._simulator.add_clock(1e-8)
        self._simulator.add_testbench(self._desk)
        self._to, self._came, self._sent = [], bytearray(), 0
        self._clock = self._until = 0
        self.lights = {}

    def run(self, octets, clocks):
        self._to, self._sent = list(octets), 0
        self._came.clear()
        self._until = self._clock + clocks
        while self._clock < self._until:
            self._simulator.advance()
        return self._sent, bytes(self._came)

    async def _desk(self, ctx):
        board = self._board
        lights = [board.in_handler, board.heartbeat, board.violation]
        sending, taking = [], None
        async for _, _, tx, *seen in ctx.tick().sample(board.tx, *lights):
            self.lights = dict(zip(("in_handler", "heartbeat", "violation"), seen, strict=True))
            if taking is None:
                taking = None if tx else (self._clock, [])
            elif self._clock - taking[0] in range(DIVISOR + DIVISOR // 2, 9 * DIVISOR + 1, DIVISOR):
                taking[1].append(tx)
            elif self._clock - taking[0] == 9 * DIVISOR + DIVISOR // 2:
                if tx:
                    self._came.append(sum(bit << number for number, bit in enumerate(taking[1])))
                taking = None
            if self._clock % DIVISOR == 0:
                if not sending and self._sent < len(self._to):
                    octet = self._to[self._sent]
                    self._sent += 1
                    sending = [0, *(octet >> number & 1 for number in range(8)), 1]
                ctx.set(board.rx, sending.pop(0) if sending else 1)
            self._clock += 1
