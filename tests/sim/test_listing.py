"""Listing and disassembly of an image, and the tables of the documentation."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtl.core.microword import IMMEDIATE_BITS, MEMORY_OPS, OPERATIONS, TARGET_BITS, Fence, MicroWord, Op
from rtl.events import Event
from sim.microcode import reference
from sim.microcode.assembler import assemble, forms
from sim.microcode.listing import disassemble, listing

PROGRAM = """\
.title "a demonstration"
.const FLAG = 0x10
.reg t0 = r0
.struct csd
    next: -> csd
    flags
.end
.global head: -> csd = 3
.global pool: csd[2]
.percpu slot: csd
.percpu stack: word[4]
.warn busy "the csd is busy"
.macro spin where
.again:
    swap t0, [where], t0
    bne  t0, 0, .again @WOKEN
.end
reset:
    jmp  main
.org 4
.entry func
main:
    mov  t0, FLAG                   ; step 1
    st   [r4 + csd.flags], t0 @CSD_UNLOCK
    spin slot.flags !lock
    fence WRITE !wmb
    apicwr t0, APIC_ICR
    beq  t0, 0, main @WARN(busy)
    ld   t0, [r4] @VISIT(r4, r5)
    jmp  .out
.out:
    ret
"""

# {4}: the raw word at address 4.
LISTING = """\
a demonstration
for 2 cores of 16 bits
needs 14 of 2048 words of microcode, 40 words of arena

reset:
  000  {0}  jmp     func                            ; p.uasm:19: jmp  main
  ...  PANIC
func:  ; entry point
main:
  004  {4}  mov     r0, 0x10                        ; p.uasm:23: mov  t0, FLAG                   ; step 1
  005  {5}  st      [r4 + 1], r0 @CSD_UNLOCK        ; p.uasm:24: st   [r4 + csd.flags], t0 @CSD_UNLOCK
  006  {6}  swap    r0, [0x19], r0                  ; p.uasm:15 < p.uasm:25: swap t0, [where], t0
  007  {7}  bne     r0, 0, func+2 @WOKEN            ; p.uasm:16 < p.uasm:25: bne  t0, 0, .again @WOKEN
  008  {8}  fence   WRITE                           ; p.uasm:26: fence WRITE !wmb
  009  {9}  apicwr  r0, APIC_ICR                    ; p.uasm:27: apicwr t0, APIC_ICR
  00a  {10}  beq     r0, 0, func @WARN(busy)         ; p.uasm:28: beq  t0, 0, main @WARN(busy)
  00b  {11}  ld      r0, [r4] @VISIT(r4, r5)         ; p.uasm:29: ld   t0, [r4] @VISIT(r4, r5)
  00c  {12}  jmp     func+9                          ; p.uasm:30: jmp  .out
  00d  {13}  ret                                     ; p.uasm:32: ret

labels
  000  reset
  004  func
  004  main

constants
  2     NR_CPUS
  0x10  XLEN
  0x18  PERCPU_BASE
  3     PERCPU_SHIFT
  0x10  FLAG

arena: address, object, type, words
  0x0010                head      word  1
  0x0011                pool[2]   csd   4
  0x0018 + (core << 3)  slot      csd   2
  0x001a + (core << 3)  stack[4]  word  4

start values
  head  3

structs: words, offsets
  csd: 2
       0  next -> csd
       1  flags

warnings
  00a  busy  the csd is busy

names for --without
  lock  006 007
  wmb   008
"""


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "p.uasm"
    path.write_text(PROGRAM)
    return assemble(path, n_cores=2, xlen=16, any_events=True)


def test_listing(image):
    assert listing(image) == LISTING.format(*(f"{raw:013x}" for raw in image.words))


def test_an_empty_program_has_a_listing(tmp_path):
    path = tmp_path / "p.uasm"
    path.write_text("")
    assert listing(assemble(path, n_cores=1, xlen=16, any_events=True)) == (
        "p\nfor 1 core of 16 bits\nneeds 0 of 2048 words of microcode, 16 words of arena\n\n"
        "\nconstants\n  1     NR_CPUS\n  0x10  XLEN\n  0x10  PERCPU_BASE\n  0     PERCPU_SHIFT\n")


def _source(image):
    """The program that an image's disassembly is, with its labels in their places."""
    lines = [f'.warn {name} "{sentence}"' for name, sentence in dict.fromkeys(image.warnings.values())]
    for address in range(len(image.words)):
        lines += [f".entry {name}" if name in image.entries else f"{name}:"
                  for name, place in image.symbols.items() if place == address]
        lines.append(disassemble(address, image))
    return "\n".join(lines)


def test_a_disassembled_program_is_the_same_program(image, tmp_path):
    again = tmp_path / "again.uasm"
    again.write_text(_source(image))
    assert assemble(again, n_cores=2, xlen=16, any_events=True).words == image.words


_REGISTER = st.integers(0, 7)
_IMMEDIATE = st.integers(0, (1 << IMMEDIATE_BITS) - 1)


@st.composite
def _words(draw):
    """A raw word that a program can have: fields that neither operation nor event uses are 0."""
    op = draw(st.sampled_from(list(OPERATIONS)))
    kinds = draw(st.sampled_from(forms(op)))
    fields = {}
    if "d" in kinds or "c" in kinds:
        fields["rd"] = draw(_REGISTER)
    if "a" in kinds:
        fields["ra"] = draw(_REGISTER)
    if "r" in kinds:
        fields.update(rb=draw(_REGISTER), use_imm=0)
    if "b" in kinds:
        fields.update(draw(st.one_of(st.builds(lambda rb: {"rb": rb, "use_imm": 0}, _REGISTER),
                                     st.builds(lambda imm: {"imm": imm, "use_imm": 1}, _IMMEDIATE))))
    if "k" in kinds:
        fields.update(rd=draw(_REGISTER), rb=draw(_REGISTER))
    if "m" in kinds:
        fields.update(draw(st.one_of(st.builds(lambda ra, imm: {"ra": ra, "imm": imm, "use_imm": 0}, _REGISTER, _IMMEDIATE),
                                     st.builds(lambda imm: {"imm": imm, "use_imm": 1}, _IMMEDIATE))))
    if "i" in kinds:
        fields["imm"] = draw(st.sampled_from([item.value for item in Fence]) if op is Op.FENCE else st.integers(0, 255))
    if "t" in kinds:
        fields["target"] = draw(st.integers(0, (1 << TARGET_BITS) - 1))
    left_out = kinds != forms(op)[-1]
    if left_out:
        fields.update(use_imm=0, imm=0)
    fields["event"] = draw(st.sampled_from(list(Event)))
    if fields["event"] not in (Event.NONE, Event.WARN):
        fields.setdefault("ra", draw(_REGISTER))
        if op in MEMORY_OPS:
            fields.setdefault("rb", draw(_REGISTER))
        elif draw(st.booleans()):
            fields.setdefault("use_imm", 0)
            if not fields["use_imm"]:
                fields.setdefault("rb", draw(_REGISTER))
        elif fields.setdefault("use_imm", 1):
            fields.setdefault("imm", draw(_IMMEDIATE))
    if left_out:
        fields["rd"] = fields.get("ra", 0)
    fields["entry"] = draw(st.integers(0, 1))
    return MicroWord.const({"op": op, **fields}).as_bits()


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("scratch") / "p.uasm"


@settings(derandomize=True, deadline=None, max_examples=150)
@given(words=st.lists(_words(), min_size=1, max_size=30), xlen=st.sampled_from([16, 32, 64]))
def test_disassembly_assembles_to_the_same_words(scratch, words, xlen):
    scratch.write_text("nop")
    words_of = [MicroWord.from_bits(raw) for raw in words]
    plain = replace(
        assemble(scratch, n_cores=1, xlen=xlen, any_events=True), words=tuple(words),
        symbols={f"entry_{address}": address for address, word in enumerate(words_of) if word.entry},
        entries=frozenset(f"entry_{address}" for address, word in enumerate(words_of) if word.entry),
        warnings={address: ("busy", "x") for address, word in enumerate(words_of) if word.event is Event.WARN})
    scratch.write_text(_source(plain))
    again = assemble(scratch, n_cores=1, xlen=xlen, any_events=True)
    assert again.words == tuple(words)
    # And with labels in the place of numbers.
    scratch.write_text(_source(again))
    assert assemble(scratch, n_cores=1, xlen=xlen, any_events=True).words == tuple(words)


# --- tables of the documentation --------------------------------------------------------------------------------------

def test_the_tables_are_up_to_date():
    texts = [document.read_text(encoding="utf-8") for document in reference.DOCUMENTS]
    assert [reference.update(text) for text in texts] == texts
    assert re.findall(r"<!-- table: (\w+) -->", "".join(texts)) == ["fields", "operations", "events", "roles", "emitted"]


def test_every_event_is_described():
    assert list(reference.comments(Event)) == [event.name for event in Event]


def test_command(tmp_path, monkeypatch, capsys):
    document = tmp_path / "microcode.md"
    document.write_text("before\n<!-- table: fields -->\nold\n<!-- end -->\nafter\n")
    monkeypatch.setattr(reference, "DOCUMENTS", [document])
    assert reference.main([]) == 1
    assert capsys.readouterr().err == "not up to date: microcode.md; run python -m sim.microcode.reference --write\n"
    assert "old" in document.read_text()
    assert reference.main(["--write"]) == 0
    assert reference.main([]) == 0
    kept = document.read_text()
    assert kept.endswith("| `event` | 50:44 | The event that a microword emits when it completes. |\n<!-- end -->\nafter\n")


def test_the_example_of_the_documentation_assembles(tmp_path):
    example = Path(reference.DOCUMENTS[0]).read_text(encoding="utf-8").split("```")[1]
    (tmp_path / "machine.uasm").write_text("""
        .reg t0 = r0
        .reg t1 = r1
        .reg gs = r7
        .struct list_head
            next
            prev
        .end
        .struct info
            word
        .end
        .struct cpumask
            bits
        .end
        .struct cfd
            lock
        .end
        .struct call_function
            lock
        .end
        .percpu csd_data: csd
    """)
    path = tmp_path / "p.uasm"
    # The last line goes back to a used address: in the example it stands for itself.
    path.write_text(example.replace(".org 1 ", ".org 100 "))
    assert assemble(path, n_cores=4, xlen=16).symbols == {"func_nop": 0, "smp_call_function_many": 1}
