"""The mutants of an assembled protocol: the same image with one fault in one place, which has a name."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from rtl.core.microword import CONDITIONAL_OPS, ENTRY_INTERRUPT, ENTRY_RESET, IMMEDIATE_BITS, TARGET_BITS, Op
from rtl.events import Event
from sim.microcode.assembler import forms
from sim.microcode.image import Image
from sim.microcode.knockout import knock_out
from sim.microcode.listing import disassemble, place_of, written_form
from sim.microcode.names import FENCES, REGISTERS

from .words import changed, dead_register, fresh, matters_in_order, reached, word_of

__all__ = ["WITNESSES", "Mutant", "mutants_of"]

#: The sources that get no faults: a run is judged by what the functions see and by what the command loop requests and gets.
WITNESSES = ("program.uasm", "rendezvous.uasm", "calling.uasm", "scftorture.uasm", "ipibench.uasm", "guarded.uasm")

_IMMEDIATE = (1 << IMMEDIATE_BITS) - 1

#: The operations whose immediate is a set of bits, so that another bit is the likely mistake.
_BITWISE = frozenset({Op.AND, Op.OR, Op.XOR, Op.ANDN, Op.BTS, Op.BTC})
_INVERSE = {Op.BEQ: Op.BNE, Op.BLT: Op.BGE, Op.BTS: Op.BTC, Op.LDZ: Op.LDNZ}
_INVERSE |= {value: key for key, value in _INVERSE.items()}
#: The fields of a conditional branch besides branching.
_STAYS = {Op.LDZ: {"op": Op.LD}, Op.LDNZ: {"op": Op.LD}, Op.LOOP: {"op": Op.SUB, "use_imm": 1, "imm": 1}}
#: Without these the private stack would be out of balance, which every run shows at once; they have faults of their own.
_BALANCE = frozenset({Op.PUSH, Op.POP, Op.PUSHA, Op.POPA, Op.IRQSAVE, Op.IRQRESTORE})
#: The next word does not run after these.
_LEAVES = frozenset({*CONDITIONAL_OPS, Op.JMP, Op.RET, Op.IRET, Op.PAUSE, Op.HALT, Op.PANIC})
#: The field that a kind of operand fills, where that is a register.
_REGISTER_OF = {"d": "rd", "c": "rd", "a": "ra", "r": "rb", "b": "rb", "m": "ra"}
_WEAKER = {"FULL": ("WRITE", "READ"), "WRITE": ("READ",), "READ": ()}
#: The name of a fault that jumps over an operation; if that is a fence, the fault concerns that fence.
_SKIPS = "target + 1"
_FENCE_NAMES = {value: name for name, value in FENCES.items()}


@dataclass(frozen=True)
class Mutant:
    """One fault.

    file : the source.  place : the line, as the listing shows it: ``v4.uasm:131``, in a macro ``machine.uasm:67 < v4.uasm:325``.
    what : the change. The same place and the same change are the same fault, for whatever number of cores the protocol was
        assembled.
    text : the source line, without its comment.  routine : the label before it.
    nth : which of the lines with this text after this label it is, from 1.
    words : microcode address -> the word there; addresses behind the image's own are added.
    fences : it concerns a fence, so it matters only where stores are buffered.
    image : the Image that it is made from.
    """

    file: str
    place: str
    what: str
    text: str
    routine: str | None
    nth: int
    words: Mapping[int, int]
    fences: bool
    image: Image = field(repr=False)

    @property
    def id(self):
        return f"{self.place} {self.what}"

    @property
    def microcode(self):
        """All words with the fault."""
        words = [*self.image.words, *[0] * (1 + max(self.words) - len(self.image.words))]
        for address, word in self.words.items():
            words[address] = word
        return tuple(words)

    def applied(self):
        """The image with the fault."""
        return replace(self.image, words=self.microcode)

    @property
    def sentence(self):
        """The words before and after."""
        then = self.applied()
        before = "; ".join(disassemble(at, self.image) for at in self.words if at < len(self.image.words))
        after = "; ".join(disassemble(at, then) for at in self.words)
        return f"`{_plain(before)}` becomes `{_plain(after)}`"


def mutants_of(image, *, room=1 << TARGET_BITS):
    """All mutants of an image, in the order of the program: those with equal words once, and none equal to the image itself. A word
    that no core can reach has none: not every protocol uses all that it includes.

    room : words of microcode in the machine; some faults take a few behind the image.
    """
    maker = _Maker(image, room)
    places = [(address, mutant) for address in sorted(image.lines) for mutant in maker.at(address)]
    places += map(maker.without, image.names)
    result, seen = [], {image.words}
    for _, mutant in sorted(places, key=lambda item: item[0]):
        if mutant.microcode not in seen:
            seen.add(mutant.microcode)
            result.append(mutant)
    return result


class _Maker:
    def __init__(self, image, room):
        self._image = image
        self._room = min(room, 1 << TARGET_BITS)
        self._nth, count = {}, Counter()
        for address in sorted(image.lines):
            count[self._where(address)] += 1
            self._nth[address] = count[self._where(address)]
        self._reached = reached(image.words, (ENTRY_RESET, ENTRY_INTERRUPT))
        self._targets = set(image.symbols.values()) | {
            word_of(raw).target for raw in image.words if "t" in forms(word_of(raw).op)[0]}

    def at(self, address):
        """The mutants of the word at an address."""
        if not self._may_change(address):
            return
        for faults in (self._left_out, self._branch, self._target, self._constants, self._registers, self._interrupts,
                       self._exchanged):
            for what, words in faults(address, self._image.words[address], word_of(self._image.words[address])):
                yield self._mutant(address, what, words)

    def without(self, name):
        """(its place in the program, the mutant) that leaves out all words of one name, as ``--without`` does."""
        image = self._image
        words = knock_out(image, [name]).words
        own = [address for address in image.names[name] if image.lines[address].file == image.path.name]
        address = (own or image.names[name])[0]
        return address, self._mutant(address, f"without {name}", {at: words[at] for at in image.names[name]})

    def _may_change(self, address):
        return address in self._reached and address in self._image.lines and self._image.lines[address].file not in WITNESSES

    def _mutant(self, address, what, words):
        image = self._image
        line = image.lines[address]
        raws = [*words.values(), *(image.words[at] for at in words if at < len(image.words))]
        if what == _SKIPS:
            raws.append(image.words[word_of(words[address]).target - 1])
        return Mutant(line.file, place_of(line), what, *self._where(address), self._nth[address], words,
                      any(word_of(raw).op is Op.FENCE for raw in raws), image)

    def _where(self, address):
        """(text, routine) of a word."""
        return _plain(self._image.lines[address].text.partition(";")[0]), self._image.routine(address)

    # --- the kinds of faults: each yields (what, {address: word}) of one word ---------------------------------------------

    def _left_out(self, address, raw, word):
        if word.op not in _BALANCE and word.op is not Op.NOP and word.op not in CONDITIONAL_OPS:
            # Other words of this line switch the interrupts.
            event = {"event": word.event, "ra": word.ra, "rb": word.rb} if word.op in (Op.CLI, Op.STI) else {}
            yield "left out", {address: fresh(raw, op=Op.NOP, **event)}

    def _branch(self, address, raw, word):
        if word.op not in CONDITIONAL_OPS:
            return
        if word.op in _INVERSE:
            yield "branch inverted", {address: changed(raw, op=_INVERSE[word.op])}
        # As ``rd = [rd]``: only the jump. The event is emitted as if the condition had held.
        yield "branch always taken", {address: changed(raw, op=Op.JMP, rd=word.ra, use_imm=0, imm=0)}
        stays = _STAYS.get(word.op)
        yield "branch never taken", {address: changed(raw, target=0, event=Event.NONE, **stays) if stays
                                     else fresh(raw, op=Op.NOP)}

    def _target(self, address, raw, word):
        """Skip the first operation behind the target."""
        words = self._image.words
        if "t" in written_form(word):
            skipped = next((at for at in range(word.target, len(words)) if word_of(words[at]).op is not Op.NOP), len(words))
            if skipped + 1 < len(words):
                yield _SKIPS, {address: changed(raw, target=skipped + 1)}

    def _constants(self, address, raw, word):
        for kind in written_form(word):
            if kind == "k":
                value = word.rd * len(REGISTERS) + word.rb
                for bits in (1, 2):
                    high, low = divmod(value ^ bits, len(REGISTERS))
                    yield f"constant ^ {bits}", {address: changed(raw, rd=high, rb=low)}
            elif kind == "b" and word.use_imm and word.op in _BITWISE:
                for bits in (1, 2, 3):
                    yield f"constant ^ {bits}", {address: changed(raw, imm=word.imm ^ bits)}
            elif kind == "i" and word.op is Op.FENCE:
                for name in _WEAKER[_FENCE_NAMES[word.imm]]:
                    yield f"fence {name}", {address: changed(raw, imm=FENCES[name])}
            elif kind in "im" or kind == "b" and word.use_imm:
                name = "offset" if kind == "m" else "constant"
                yield f"{name} + 1", {address: changed(raw, imm=word.imm + 1 & _IMMEDIATE)}
                # Among the fields of a struct one neighbour is as good as the other.
                if word.imm and (kind != "m" or word.use_imm):
                    yield f"{name} - 1", {address: changed(raw, imm=word.imm - 1)}

    def _registers(self, address, raw, word):
        for kind in written_form(word):
            field = _REGISTER_OF.get(kind)
            if field is None or kind in "bm" and word.use_imm:
                continue
            other = getattr(word, field) ^ 1
            yield f"r{other} as {field}", {address: changed(raw, **{field: other})}

    def _interrupts(self, address, raw, word):
        """Saved and restored on the private stack, but not switched: in a few words behind the image."""
        if word.op is Op.IRQSAVE:
            register = dead_register(self._image.words, address + 1)
            if register is not None:
                yield from self._instead(address, raw, "interrupts stay on", {"op": Op.GETIF, "rd": register},
                                         {"op": Op.PUSH, "rb": register})
        elif word.op is Op.IRQRESTORE:
            yield from self._instead(address, raw, "interrupts stay off", {"op": Op.IRQRESTORE}, {"op": Op.CLI})

    def _instead(self, address, raw, what, *fields):
        """A jump to other words, and from there back. The first of them emits the event of the original word."""
        stub = len(self._image.words)
        words = [*fields, {"op": Op.JMP, "target": address + 1}]
        if stub + len(words) <= self._room:
            word = word_of(raw)
            words[0] = {**words[0], "event": word.event, "ra": word.ra}
            yield what, {address: fresh(raw, op=Op.JMP, target=stub),
                         **{stub + at: fresh(0, **each) for at, each in enumerate(words)}}

    def _exchanged(self, address, raw, word):
        image = self._image
        after = address + 1
        if not self._may_change(after) or after in self._targets:
            return
        other = word_of(image.words[after])
        # A WARN is named by its address.
        if {word.op, other.op} & (_LEAVES | {Op.NOP}) or Event.WARN in (word.event, other.event):
            return
        if matters_in_order(raw, image.words[after]):
            yield "exchanged with the next", {address: changed(image.words[after], entry=word.entry), after: changed(raw, entry=0)}


def _plain(text):
    """With single spaces."""
    return " ".join(text.split())
