"""How many bits a test needs.

A word of the machine holds a location or a register, whatever its size; sums and differences are modulo ``2**xlen``. So the machine
must have the test's width where a value may overflow, and may have another where none does. Variables between which values move
form one *family*, and are judged together: by the largest number written there, doubled for each sum and difference.
"""

from .instructions import Need
from .text import Refusal

__all__ = ["WIDTHS", "Use", "Widths", "fits", "signed"]

#: The possible values of ``xlen``.
WIDTHS = (16, 32, 64)
_SUMS = ("ADD", "SUB", "INC", "DEC", "NEG", "XADD", "CMP", "CMPXCHG")
_LOWER = ("SUB", "DEC", "NEG", "NOT")


def signed(value, bits):
    """The number, from ``-2**(bits-1)`` up, that is equal modulo ``2**bits``."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> bits - 1 else value


def fits(value, bits):
    """Whether this number fits ``bits`` bits, signed or unsigned."""
    return -(1 << bits - 1) <= value < 1 << bits


class Use:
    """An instruction, as far as widths matter.

    op : of it.  token : its place.  thread : that has it.  bits : how many it moves; None: not explicit.
    memory : locations that it may access.  registers : (column, name, bits or None) that it reads or writes, except for addresses.
    constants : Tokens -> values.
    """

    def __init__(self, op, token, thread, bits, memory, registers, constants):
        self.op = op
        self.token = token
        self.thread = thread
        self.bits = bits
        self.memory = memory
        self.registers = registers
        self.constants = constants

    @property
    def variables(self):
        return [*self.memory, *((column, name) for column, name, _ in self.registers)]


class Widths:
    """The sizes of all variables of a test. A variable is the name of a location, or (column, name) of a register.

    Parameters
    ----------
    uses : of all instructions.  declared : variable -> bits.  default : bits of variables without a size.
    loops : columns with a backward jump.

    Raises Refusal if a location is accessed in two sizes, or a value may overflow where the machine would not.
    """

    def __init__(self, uses, declared, default, loops):
        self._uses = uses
        self._default = default
        self._loops = loops
        self._bits = self._locations(declared)
        self._registers(declared)
        self._parents = {}
        for use in uses:
            for variable in use.variables[1:]:
                self.join(use.variables[0], variable)

    def bits(self, variable):
        return self._bits.get(variable, self._default)

    def of(self, use):
        """How many bits an instruction moves."""
        return use.bits or next((self.bits(name) for name in use.memory), None) or max(
            (bits or self.bits((column, name)) for column, name, bits in use.registers), default=self._default)

    def join(self, one, other):
        """Values move between two variables."""
        self._parents[self.family(one)] = self.family(other)

    def family(self, variable):
        while variable in self._parents and self._parents[variable] != variable:
            variable = self._parents[variable]
        return variable

    def _locations(self, declared):
        bits, shown = {}, {}
        for name, width in declared.items():
            if isinstance(name, str):
                bits[name] = width
        for use in self._uses:
            for name in use.memory if use.bits else ():
                if bits.setdefault(name, use.bits) != use.bits:
                    said = f"declared with {bits[name]} bits" if name not in shown else f"accessed with {bits[name]} bits before"
                    raise Refusal(f"mixed sizes are not supported: {name} is {said}, and with {use.bits} here", use.token)
                if name not in declared:
                    shown[name] = use.token
        return bits

    def _registers(self, declared):
        """A register is as wide as the widest access to it: in a mixed family (see ``xlen``) a narrower instruction leaves no other
        bits."""
        for use in self._uses:
            for column, name, bits in use.registers:
                bits = bits or use.bits or next((self.bits(place) for place in use.memory), None)
                if bits:
                    self._bits[column, name] = max(bits, self._bits.get((column, name), 0))
        for variable, width in declared.items():
            self._bits.setdefault(variable, width)

    def xlen(self, values, conditions):
        """The width that the machine needs.

        values : (variable, value, Token) of start values and of comparisons in conditions.
        conditions : (column, Need, Token) of jumps and the like.
        """
        families = {}
        for use in self._uses:
            if use.variables:
                self._member(families, use.variables[0]).add(use, self)
        for variable, value, token in values:
            self._member(families, variable).value(value, self.bits(variable), token)
        for column, need, token in conditions:
            if any(not family.answers(need) for family in families.values() if column in family.columns):
                raise Refusal(f"{token} is not supported here: numbers in {column} may overflow, or be negative", token)
        needs = [family.need() for family in families.values()]
        xlen = max((bits for bits, _ in needs), default=WIDTHS[0])
        for (bits, exact), family in zip(needs, families.values(), strict=True):
            if exact and bits != xlen:
                raise Refusal(f"a value of {bits} bits may overflow here, and another needs {xlen}: the machine has one width",
                              family.token)
        return xlen

    def _member(self, families, variable):
        return families.setdefault(self.family(variable), _Family(self._loops))


class _Family:
    """Variables between which values move."""

    def __init__(self, loops):
        self._loops = loops
        self._largest = 1
        self._sums = 0
        self._endless = False
        self._negative = False
        self._widths = set()
        self.columns = set()
        self.token = None

    def add(self, use, widths):
        self.token = self.token or use.token
        self.columns.add(use.thread)
        self._widths |= {widths.of(use), *(bits for _, _, bits in use.registers if bits)}
        for value in use.constants:
            self._number(signed(value, widths.of(use)))
        if use.op in _SUMS:
            self._sums += 1
            # The result of a comparison stays in the flags.
            self._endless |= use.thread in self._loops and use.op not in ("CMP", "CMPXCHG")
        self._negative |= use.op in _LOWER

    def value(self, value, bits, token):
        self.token = self.token or token
        self._widths.add(bits)
        self._number(value)

    def _number(self, value):
        self._largest = max(self._largest, abs(value))
        self._negative |= value < 0

    def _small(self, bits):
        """Whether no value overflows this many bits."""
        return not self._endless and self._largest << self._sums < 1 << bits - 1

    def answers(self, need):
        return need is Need.NOTHING or self._small(min(self._widths)) and not (need is Need.NO_SIGN and self._negative)

    def need(self):
        """(the least width, whether it must be exactly that)."""
        narrowest, *wider = sorted(self._widths)
        if not self._small(narrowest) or wider and self._negative:
            if wider:
                raise Refusal(f"mixed sizes are not supported: numbers of {narrowest} and of {wider[-1]} bits move between "
                              "registers, and some may be negative or large", self.token)
            if narrowest not in WIDTHS:
                raise Refusal(f"a number may overflow its {narrowest} bits here, and a word of the machine has more", self.token)
            return narrowest, True
        return next(bits for bits in WIDTHS if self._small(bits)), False
