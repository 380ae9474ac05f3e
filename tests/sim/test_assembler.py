"""The assembler: every feature of the language in ``docs/microcode.md``, and every refusal with its whole message."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtl.config import MachineConfig
from rtl.core.microword import OPERATIONS, Fence, MicroWord, Op
from rtl.events import Event
from sim.errors import InputError
from sim.microcode import assembler
from sim.microcode.assembler import assemble
from sim.microcode.events import SIGNATURES
from sim.microcode.image import Field, Line, ObjectType, StoredObject


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Works in an empty directory, so that messages name files without one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def build(here):
    def build(text, *, n_cores=2, xlen=16, defines=None):
        Path("p.uasm").write_text(text)
        return assemble("p.uasm", n_cores=n_cores, xlen=xlen, defines=defines)

    return build


@pytest.fixture
def refusal(build):
    def refusal(text, **parameters):
        with pytest.raises(InputError) as caught:
            build(text, **parameters)
        return str(caught.value)

    return refusal


def word(op, **fields):
    return MicroWord.const({"op": op, **fields}).as_bits()


# --- operations -------------------------------------------------------------------------------------------------------

# One word of every operation, and of every kind of operand.
WORDS = [
    ("panic", word(Op.PANIC)),
    ("nop", word(Op.NOP)),
    ("iret", word(Op.IRET)),
    ("getif r3", word(Op.GETIF, rd=3)),
    ("pause 3", word(Op.PAUSE, target=3)),
    ("mov r1, r2", word(Op.MOV, rd=1, rb=2)),
    ("mov r1, 0xffff", word(Op.MOV, rd=1, use_imm=1, imm=0xFFFF)),
    ("mov r1, -1", word(Op.MOV, rd=1, use_imm=1, imm=0xFFFF)),
    ("add r1, r2, r3", word(Op.ADD, rd=1, ra=2, rb=3)),
    ("sub r1, r2, 0b11", word(Op.SUB, rd=1, ra=2, use_imm=1, imm=3)),
    ("ffs r7, r6", word(Op.FFS, rd=7, ra=6)),
    ("ld r1, [r2]", word(Op.LD, rd=1, ra=2)),
    ("ld r1, [r2 + 5]", word(Op.LD, rd=1, ra=2, imm=5)),
    ("ld r1, [5 + r2 - 1]", word(Op.LD, rd=1, ra=2, imm=4)),
    ("ld r1, [r2 - 2]", word(Op.LD, rd=1, ra=2, imm=0xFFFE)),
    ("ld r1, [r2 - (3 - 5)]", word(Op.LD, rd=1, ra=2, imm=2)),
    ("ld r1, [20]", word(Op.LD, rd=1, use_imm=1, imm=20)),
    ("st [r2 + 5], r3", word(Op.ST, ra=2, rb=3, imm=5)),
    ("st [20], r3", word(Op.ST, use_imm=1, rb=3, imm=20)),
    ("swap r1, [r2], r3", word(Op.SWAP, rd=1, ra=2, rb=3)),
    ("cas r1, [r2 + 1], r3", word(Op.CAS, rd=1, ra=2, rb=3, imm=1)),
    ("for r1, [20], r3", word(Op.FOR, rd=1, use_imm=1, rb=3, imm=20)),
    ("fence FULL", word(Op.FENCE, imm=Fence.FULL.value)),
    ("fence WRITE", word(Op.FENCE, imm=Fence.WRITE.value)),
    ("fence READ", word(Op.FENCE, imm=Fence.READ.value)),
    ("stc [r2 + 5], 42", word(Op.STC, ra=2, rb=2, rd=5, imm=5)),
    ("stc [20], 7", word(Op.STC, use_imm=1, rb=7, imm=20)),
    ("jmp 2047", word(Op.JMP, target=2047)),
    ("jmp 2047, r1, [r2 + 3]", word(Op.JMP, target=2047, rd=1, ra=2, imm=3)),
    ("call 5, r1, [r2 - 1]", word(Op.CALL, target=5, rd=1, ra=2, imm=0xFFFF)),
    ("call 5, r1, [3]", word(Op.CALL, target=5, rd=1, use_imm=1, imm=3)),
    ("icall r4", word(Op.ICALL, ra=4)),
    ("beq r1, r2, 7", word(Op.BEQ, ra=1, rb=2, target=7)),
    ("bts r1, 0x10, 7", word(Op.BTS, ra=1, use_imm=1, imm=16, target=7)),
    ("loop r1, r1, 7", word(Op.LOOP, rd=1, ra=1, target=7)),
    ("push r3", word(Op.PUSH, rb=3)),
    ("pop r3", word(Op.POP, rd=3)),
    ("apicrd r1, APIC_IRR + 7", word(Op.APICRD, rd=1, imm=0x27)),
    ("apicwr r1, APIC_ICR", word(Op.APICWR, rb=1, imm=0x30)),
    ("apicwrh r1", word(Op.APICWRH, rb=1)),
    # Events: where the operation leaves the fields alone, or uses them alike.
    ("nop @NOIPI", word(Op.NOP, event=Event.NOIPI)),
    ("nop @QUEUE(r2)", word(Op.NOP, event=Event.QUEUE, rb=2)),
    ("ret @RETURN(r1)", word(Op.RET, event=Event.RETURN, ra=1)),
    ("nop @NOTIFY(r1, r2)", word(Op.NOP, event=Event.NOTIFY, ra=1, rb=2)),
    ("nop @ONLINE(2)", word(Op.NOP, event=Event.ONLINE, use_imm=1, imm=2)),
    ("nop @NOTIFY(r1, 2)", word(Op.NOP, event=Event.NOTIFY, ra=1, use_imm=1, imm=2)),
    ("mov r1, 3 @CALL(r4)", word(Op.MOV, rd=1, use_imm=1, imm=3, event=Event.CALL, ra=4)),
    ("mov r1, 3 @CALL(r4, 3)", word(Op.MOV, rd=1, use_imm=1, imm=3, event=Event.CALL, ra=4)),
    ("ld r1, [r2 + 3] @CALL(r2, r5)", word(Op.LD, rd=1, ra=2, imm=3, event=Event.CALL, rb=5)),
    ("st [20], r1 @CALL(r2)", word(Op.ST, use_imm=1, imm=20, rb=1, event=Event.CALL, ra=2)),
    ("ld r1, [20] @CALL(r2, r3)", word(Op.LD, rd=1, use_imm=1, imm=20, event=Event.CALL, ra=2, rb=3)),
    # What a jump leaves out must still change no register.
    ("jmp 5 @CALL(r2, r3)", word(Op.JMP, target=5, rd=2, ra=2, rb=3, event=Event.CALL)),
    ("call 5, r1, [20] @CALL(r2)", word(Op.CALL, target=5, rd=1, use_imm=1, imm=20, event=Event.CALL, ra=2)),
    ("push r2 @CALL(r1, r2)", word(Op.PUSH, rb=2, event=Event.CALL, ra=1)),
]


@pytest.mark.parametrize(("text", "raw"), WORDS, ids=[text for text, _ in WORDS])
def test_word(build, text, raw):
    assert build(text).words == (raw,)


def test_every_event_has_a_signature_and_a_way_to_be_written(build):
    for event, signature in SIGNATURES.items():
        operands = ", ".join({"a": "r1", "b": "r2"}[name] for name in signature.operands)
        text = f"{'ld r3, [r1]' if signature.memory else 'nop'} @{event.name}" + (f"({operands})" if operands else "")
        if not signature.hardware:
            assert MicroWord.from_bits(build(text).words[0]).event is event


def test_tests_of_the_core_may_say_anything(here):
    for text in ("nop @CALL", "nop @PANIC", "nop @NOIPI(r1, r2)", "nop @LOCK_TRY", "nop @QUEUE(r1, r2)"):
        assert assemble("p.uasm", n_cores=1, xlen=16, text=text, any_events=True).words


def test_every_operation_can_be_written(build):
    sample = {"d": "r1", "a": "r2", "r": "r3", "b": "4", "m": "[r2 + 5]", "t": "6", "i": "1", "c": "r7", "k": "8"}
    forms = [(op, form) for op in OPERATIONS for form in assembler.forms(op)]
    source = "\n".join(f"{op.name.lower()} {', '.join(sample[kind] for kind in form)}" for op, form in forms)
    assert [MicroWord.from_bits(raw).op for raw in build(source).words] == [op for op, _ in forms]


def test_negative_immediates_wrap_only_where_they_fit(build, refusal):
    assert build("mov r1, -32768\nmov r1, 0 - 1").words == (
        word(Op.MOV, rd=1, use_imm=1, imm=0x8000), word(Op.MOV, rd=1, use_imm=1, imm=0xFFFF))
    assert refusal("ld r1, [r2 - 1]", xlen=32) == (
        "p.uasm:1:14: the immediate -1 does not fit: it must be from 0 to 65535 (it is not sign-extended to 32 bits: use `sub`)\n"
        "    ld r1, [r2 - 1]\n"
        "                 ^")
    assert refusal("mov r1, 65536", xlen=32) == (
        "p.uasm:1:9: the immediate 65536 does not fit: it must be from 0 to 65535\n"
        "    mov r1, 65536\n"
        "            ^")


# --- expressions and constants ----------------------------------------------------------------------------------------

@pytest.mark.parametrize(("text", "value"), [
    ("1 + 2 * 3", 7), ("(1 + 2) * 3", 9), ("10 - 3 - 2", 5), ("1 << 4 + 1", 32), ("1 | 6 & 3", 3), ("1 << 3 | 1", 9),
    ("-2 + 5", 3), ("- (2 - 5)", 3), ("2 * -1 + 9", 7), ("0x1F", 31), ("0b101", 5), ("007", 7),
    ("NR_CPUS", 2), ("XLEN", 16), ("ENTRY_RESET", 0), ("ENTRY_INTERRUPT", 1), ("MODE_STARTUP", 6), ("MODE_FIXED", 0),
    ("APIC_EOI", 0x0B), ("APIC_ICR2", 0x31), ("later * 2", 8), ("sizeof(word)", 1), ("sizeof(s)", 3), ("s.b[1]", 2),
])
def test_expression(build, text, value):
    image = build(f".const x = {text}\n.const later = 4\n.struct s\na\nb[2]\n.end")
    assert image.constants["x"] == value


_TERMS = st.recursive(
    st.integers(0, 999).map(str),
    lambda inner: st.tuples(inner, st.sampled_from(["+", "-", "*", "|", "&"]), inner).map(" ".join)
    | inner.map("({})".format) | inner.map("-{}".format),
    max_leaves=6)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("scratch") / "p.uasm"


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.lists(_TERMS, min_size=1, max_size=20))
def test_expressions_are_those_of_python(scratch, terms):
    scratch.write_text("\n".join(f".const x{number} = {term}" for number, term in enumerate(terms)))
    constants = assemble(scratch, n_cores=1, xlen=16).constants
    # A leading zero is decimal here, and an error in Python.
    assert [constants[f"x{number}"] for number in range(len(terms))] == [eval(term) for term in terms]


def test_default_constants(build, here):
    text = ".const KNOB ?= 3\nmov r1, KNOB"
    assert build(text).constants["KNOB"] == 3
    assert build(text, defines={"KNOB": 7}).words == (word(Op.MOV, rd=1, use_imm=1, imm=7),)
    assert build(f".const KNOB = 9\n{text}").constants["KNOB"] == 9
    assert build(f"{text}\n.const KNOB ?= 4").constants["KNOB"] == 3


def test_unknown_define(refusal):
    assert refusal(".const KNOB = 3", defines={"KNOB": 7}) == (
        "p.uasm: KNOB is defined from outside, but no `.const KNOB ?=` takes it")


@pytest.mark.parametrize(("condition", "holds"), [
    ("1", True), ("0", False), ("-1", True), ("1 == 1", True), ("1 != 1", False), ("1 < 2", True), ("2 <= 1", False),
    ("2 > 1", True), ("1 >= 2", False), ("1 << 2 == 4", True), ("here == 1", True),
])
def test_condition(build, condition, holds):
    image = build(f"nop\nhere:\n.if {condition}\nsti\n.if 0\n.else\nhalt\n.end\n.else\ncli\n.end")
    assert [MicroWord.from_bits(raw).op for raw in image.words] == [Op.NOP, *([Op.STI, Op.HALT] if holds else [Op.CLI])]


def test_what_is_not_assembled_is_not_declared(build):
    assert "x" not in build(".if 0\n.const x = 1\n.include \"lost.uasm\"\n.end").constants


# --- labels, registers, placement -------------------------------------------------------------------------------------

def test_labels(build):
    image = build("""
        jmp end              ; forward
    .end:                    ; called like a directive
    a:
    .again:
        jmp .again
    b:                       ; two labels at one address
    c:
    .again:
        jmp .again
        jmp a + 1
    end:
    """)
    assert [MicroWord.from_bits(raw).target for raw in image.words] == [4, 1, 2, 2]
    assert image.symbols == {"a": 1, "b": 2, "c": 2, "end": 4}
    assert [image.label(pc) for pc in range(5)] == [None, "a", "b", "b+1", None]


def test_entry_points(build):
    image = build("nop\n.entry f\nret\n.entry g\n.entry h\nret")
    assert image.entries == {"f", "g", "h"}
    assert [MicroWord.from_bits(raw).entry for raw in image.words] == [0, 1, 1]
    assert image.symbols == {"f": 1, "g": 2, "h": 2}


def test_org(build):
    image = build("nop\n.org 3\nx:\n halt")
    assert image.words == (word(Op.NOP), 0, 0, word(Op.HALT))
    assert image.symbols == {"x": 3}
    assert sorted(image.lines) == [0, 3]


def test_registers(build, refusal):
    image = build(".reg t = r1\n.reg u = t\nf:\n.reg v = r3\nmov u, v\n.x:\nmov v, t\ng:\n.reg v = r4\nmov v, u")
    assert image.words == (
        word(Op.MOV, rd=1, rb=3), word(Op.MOV, rd=3, rb=1), word(Op.MOV, rd=4, rb=1))
    assert refusal("f:\n.reg v = r3\ng:\nmov v, 1") == (
        "p.uasm:4:5: unknown register v\n"
        "    mov v, 1\n"
        "        ^")


def test_a_register_may_be_called_like_a_struct(build):
    image = build(".struct cfd\na\nb\n.end\n.reg cfd = r3\nld r1, [cfd + cfd.b]\nmov r2, cfd")
    assert image.words == (word(Op.LD, rd=1, ra=3, imm=1), word(Op.MOV, rd=2, rb=3))


# --- the arena --------------------------------------------------------------------------------------------------------

ARENA = """
.struct list_head
    next: -> list_head
    prev: -> list_head
.end
.struct csd
    list: list_head
    func
    list_of: -> cpumask[2]
    spare[2]
    links: list_head[2]
.end
.struct cpumask
    bits
.end
.percpu lock: word
.percpu stack: word[2]
.percpu csd_data: csd
.global queue: list_head = [queue, queue.prev]
.global pool: cpumask[NR_CPUS + 1] = [1, -1]
.global retries: word = 3
.global head: -> csd
"""


def test_structs(build):
    image = build(ARENA)
    assert list(image.structs) == ["list_head", "csd", "cpumask"]
    assert image.structs["csd"] == ObjectType("csd", 11, (
        Field("list.next", 0, "list_head"), Field("list.prev", 1, "list_head"), Field("func", 2),
        Field("list_of[0]", 3, "cpumask"), Field("list_of[1]", 4, "cpumask"), Field("spare[0]", 5), Field("spare[1]", 6),
        Field("links[0].next", 7, "list_head"), Field("links[0].prev", 8, "list_head"),
        Field("links[1].next", 9, "list_head"), Field("links[1].prev", 10, "list_head")),
        (("", "csd", 0), ("list", "list_head", 0), ("links[0]", "list_head", 7), ("links[1]", "list_head", 9)))


@pytest.mark.parametrize("n_cores", [1, 2, 3, 4, 8])
def test_layout(build, n_cores):
    image = build(ARENA, n_cores=n_cores)
    # 16 words of NULL, 2 of queue, the pool, retries and head; a block of 1 + 2 + 11 words takes 16.
    globals_end = 21 + n_cores
    base = -(-globals_end // 16) * 16
    assert (image.percpu_base, image.percpu_shift, image.heap) == (base, 4, base + 16 * n_cores)
    assert (image.constants["PERCPU_BASE"], image.constants["PERCPU_SHIFT"]) == (base, 4)
    assert [(item.name, item.address) for item in image.objects] == [
        ("queue", 16), *((f"pool[{index}]", 18 + index) for index in range(n_cores + 1)),
        ("retries", 19 + n_cores), ("head", 20 + n_cores),
        *((name.format(cpu), base + 16 * cpu + offset) for cpu in range(n_cores)
          for name, offset in (("lock[{}]", 0), ("stack[{}][0]", 1), ("stack[{}][1]", 2), ("csd_data[{}]", 3)))]


def test_objects(build):
    image = build(ARENA)
    by_name = {item.name: item for item in image.objects}
    single = ObjectType("word", 1, (Field("", 0),))
    assert by_name["stack[1][1]"] == StoredObject("stack[1][1]", "stack", single, 50, cpu=1, index=1)
    assert by_name["csd_data[1]"] == StoredObject("csd_data[1]", "csd_data", image.structs["csd"], 51, cpu=1)
    assert by_name["pool[1]"] == StoredObject("pool[1]", "pool", image.structs["cpumask"], 19, index=1)
    assert by_name["head"].type == ObjectType("word", 1, (Field("", 0, "csd"),))
    assert image.name_of(image.address_of("csd_data[1].links[1].prev")) == "csd_data[1].links[1].prev"


def test_start_values(build):
    assert build(ARENA).arena == {16: 16, 17: 17, 18: 1, 19: 0xFFFF, 21: 3}
    assert build(ARENA, xlen=64).arena[19] == (1 << 64) - 1


def test_addresses(build):
    image = build(ARENA + """
        .reg gs = r7
        mov r1, pool[1]
        ld  r1, [queue.prev]
        ld  r1, [gs + csd_data.links[1].next]
        st  [gs + stack[1]], r2
        mov r1, sizeof(csd)
        ld  r1, [r2 + csd.links[0 + 1]]
    """)
    assert image.words == (
        word(Op.MOV, rd=1, use_imm=1, imm=19), word(Op.LD, rd=1, use_imm=1, imm=17), word(Op.LD, rd=1, ra=7, imm=32 + 3 + 9),
        word(Op.ST, ra=7, rb=2, imm=32 + 2), word(Op.MOV, rd=1, use_imm=1, imm=11), word(Op.LD, rd=1, ra=2, imm=9))


def test_an_object_hides_the_struct_of_its_name(build):
    image = build(".struct s\na\nb\n.end\n.global s: s\nld r1, [s.b]\nmov r1, sizeof(s)")
    assert [MicroWord.from_bits(raw).imm for raw in image.words] == [17, 2]


def test_no_percpu_objects(build):
    image = build(".global a: word[3]")
    assert (image.percpu_base, image.percpu_shift, image.heap) == (19, 0, 19)


# --- macros -----------------------------------------------------------------------------------------------------------

def test_macros(build):
    image = build("""
    .macro spin_lock base, offset
    .reg tmp = r0
    .again:
        swap tmp, [base + offset], tmp
        bne  tmp, 0, .again
    .end
    .macro both base
        spin_lock base, 2 + 1
        .if NR_CPUS > 1
            spin_lock base + 4, 1
        .end
    .end
    .reg data = r4
    f:
    .again:
        both data
        both 20
        jmp .again
    """)
    words = [MicroWord.from_bits(raw) for raw in image.words]
    swaps = [(item.ra, item.use_imm, item.imm) for item in words if item.op is Op.SWAP]
    assert swaps == [(4, 0, 3), (4, 0, 5), (0, 1, 23), (0, 1, 25)]
    assert [item.target for item in words if item.op is Op.BNE] == [0, 2, 4, 6]
    assert words[-1].target == 0
    assert image.lines[2] == Line("p.uasm", 5, "swap tmp, [base + offset], tmp", (("p.uasm", 17), ("p.uasm", 11)))
    assert image.symbols == {"f": 0}


def test_a_label_can_be_an_argument(build):
    image = build(".macro unless r, where\nbeq r, 0, where\n.end\nf:\nnop\n.out:\nunless r1, .out\nunless r1, f")
    assert image.words[1:] == tuple(word(Op.BEQ, ra=1, use_imm=1, target=target) for target in (1, 0))


def test_a_parameter_hides_other_names_but_no_field(build):
    image = build(".struct csd\na\nb\n.end\n.const x = 9\n.macro m csd, x\nld r1, [csd + csd.b]\nmov r1, x\n.end\nm r5, 3")
    assert image.words == (word(Op.LD, rd=1, ra=5, imm=1), word(Op.MOV, rd=1, use_imm=1, imm=3))


# --- names ------------------------------------------------------------------------------------------------------------

def test_knock_out_names(build):
    image = build("""
    .macro lock
        mov r1, 1
        nop !inner @NOIPI
    .end
        fence WRITE !wmb
        lock !queue_lock
        fence WRITE !wmb !second
        lock
    """)
    assert image.names == {"wmb": (0, 3), "queue_lock": (1, 2), "inner": (2, 5), "second": (3,)}


def test_warnings(build):
    image = build('.warn first "a sentence"\nnop\nbeq r1, 2, 0 @WARN(second)\nnop @WARN(first)\n.warn second "another; one"')
    assert image.warnings == {1: ("second", "another; one"), 2: ("first", "a sentence")}
    assert "second" not in image.constants
    assert image.words[1:] == (word(Op.BEQ, ra=1, use_imm=1, imm=2, event=Event.WARN), word(Op.NOP, event=Event.WARN))


def test_title(build):
    assert build('.title "what it does"').title == "what it does"
    assert build("").title == "p"


# --- files ------------------------------------------------------------------------------------------------------------

def test_includes(build, here, monkeypatch):
    shipped = here / "shipped"
    monkeypatch.setattr(assembler, "SOURCES", shipped)
    for name, text in {
        "shipped/machine.uasm": '.title "machine"\n.reg t0 = r1\n.include "common.uasm"\n',
        "shipped/common.uasm": "common:\n.reg here = r2\n nop\n",
        "shipped/beside.uasm": "panic\n",
        "sub/beside.uasm": '.include "../top.uasm"\n.include "common.uasm"\n',
        "top.uasm": "mov t0, 3\n",
    }.items():
        (here / name).parent.mkdir(exist_ok=True)
        (here / name).write_text(text)
    image = build('.include "machine.uasm"\n.reg here = r3\n.include "sub/beside.uasm"\n.include "machine.uasm"\nmov here, 3\n')
    assert [(line.file, line.line) for line in image.lines.values()] == [("common.uasm", 3), ("top.uasm", 1), ("p.uasm", 5)]
    assert image.title == "p"
    assert image.words[2] == word(Op.MOV, rd=3, use_imm=1, imm=3)


def test_include_refusals(refusal, here):
    (here / "a.uasm").write_text('nop\n.include "b.uasm"\n')
    (here / "b.uasm").write_text('.include "a.uasm"\n')
    (here / "binary.uasm").write_bytes(b"\xff")
    (here / "bad.uasm").write_text("\n\tmov\tr1,\tr9 + 1\n")
    assert refusal('.include "a.uasm"') == (
        'b.uasm:1:10: "a.uasm" includes itself\n'
        '    .include "a.uasm"\n'
        '             ^')
    assert refusal('.include "lost.uasm"') == (
        'p.uasm:1:10: there is no file "lost.uasm", neither beside this one nor among the shipped sources\n'
        '    .include "lost.uasm"\n'
        '             ^')
    assert refusal('.include "binary.uasm"') == (
        'p.uasm:1:10: "binary.uasm" cannot be read: it is not UTF-8 text\n'
        '    .include "binary.uasm"\n'
        '             ^')
    assert refusal('.include "bad.uasm"') == (
        "bad.uasm:2:10: unknown name r9\n"
        "    \tmov\tr1,\tr9 + 1\n"
        "    \t   \t   \t^")
    with pytest.raises(InputError, match=r"^lost\.uasm: there is no such file$"):
        assemble("lost.uasm", n_cores=2, xlen=16)


def test_line_breaks_and_comments(here):
    Path("p.uasm").write_bytes(b"; one\r\n\tnop ; two\r\n\r\n \thalt;three")
    assert assemble("p.uasm", n_cores=1, xlen=16).words == (word(Op.NOP), word(Op.HALT))


# --- refusals ---------------------------------------------------------------------------------------------------------

# (program, place and message, notes)
REFUSALS = [
    ("frob r1", "1:1: unknown operation frob"),
    ("movv r1, 2", '1:1: unknown operation movv, did you mean "mov"?'),
    ("MOV r1, 2", '1:1: unknown operation MOV, did you mean "mov"?'),
    ("mov r1", "1:1: mov takes 2 operands (rd, b), not 1"),
    ("nop r1", "1:1: nop takes no operands, not 1"),
    ("cas r1, [r2]", "1:1: cas takes 3 operands (rd, [ra + imm], rb), not 2"),
    ("mov 3, r1", "1:5: expected a register"),
    ("mov [r1], r1", "1:6: expected a register, not a memory operand"),
    ("mov r8, 1", "1:5: unknown register r8"),
    ("st r1, r2", "1:4: expected a memory operand: [...]"),
    ("mov r1, [r2]", "1:10: expected an expression, not a memory operand"),
    ("push 3", "1:6: expected a register"),
    ("ld r1, [r2 + r3]", "1:9: an address has one register, which is added to"),
    ("ld r1, [3 - r2]", "1:9: an address has one register, which is added to"),
    ("ld r1, [r2 + 65536]", "1:14: the immediate 65536 does not fit: it must be from -32768 to 65535"),
    ("mov r1, 65536", "1:9: the immediate 65536 does not fit: it must be from -32768 to 65535"),
    ("mov r1, -32769", "1:9: the immediate -32769 does not fit: it must be from -32768 to 65535"),
    ("mov r1, 12ab", "1:9: 12ab is not a number"),
    ("mov r1, 0x", "1:9: 0x is not a number"),
    ("jmp nowhere", "1:5: unknown name nowhere"),
    ("jmp .nowhere", "1:5: unknown local label .nowhere"),
    ("jmp 2048", "1:5: the target 2048 does not fit: it must be from 0 to 2047"),
    ("jmp r1", "1:5: r1 is a register, but a number is needed here"),
    ("fence 3", "1:7: a fence is one of FULL, WRITE, READ, not 3"),
    ("apicrd r1, 256", "1:12: an APIC register is from 0 to 255, not 256"),
    ("mov r1, 1 << 64", "1:11: a shift must be from 0 to 63, not 64"),
    ("mov r1, 0x10000000000000000", "1:9: the value has more than 64 bits"),
    (".const a = 1 << 63\n.const b = a * a", "2:14: the value has more than 64 bits"),
    ("mov r1, r2 + 1", "1:9: r2 is a register, but a number is needed here"),
    ("nop @NOPE", '1:5: unknown event NOPE, did you mean "NOIPI"?'),
    ("nop @RETRN", '1:5: unknown event RETRN, did you mean "RETURN"?'),
    ("nop @NONE", '1:5: unknown event NONE, did you mean "ONLINE"?'),
    ("nop @CALL @RETURN", "1:11: a word emits only one event"),
    ("nop @CALL(3, r1)", "1:11: expected a register"),
    ("nop @CALL(r1, lost)", "1:15: unknown name lost"),
    ("beq r1, 0, 5 @ONLINE(3)", "1:14: @ONLINE cannot have this operand b: beq uses the field imm for another value"),
    # Each event has its operands.
    ("nop @PANIC", "1:5: @PANIC is emitted only by the hardware"),
    ("nop @FAULT", "1:5: @FAULT is emitted only by the hardware"),
    ("nop @CALL", "1:5: @CALL takes a: func, b: info: this word has no a and no b, so write @CALL(a, b)"),
    ("nop @CALL(r1)", "1:5: @CALL takes a: func, b: info: this word has no b, so write @CALL(a, b)"),
    ("st [20], r1 @COMPLETE", "1:13: @COMPLETE takes a: csd, b: flags stored: this word has no a, so write @COMPLETE(a, b)"),
    ("ld r1, [20] @REFS(r1)", "1:13: @REFS takes a: csd, b: refs: this word has no b, so write @REFS(a, b)"),
    ("nop @QUEUE", "1:5: @QUEUE takes b: csd: this word has no b, so write @QUEUE(b)"),
    ("nop @QUEUE(r1, r2)", "1:12: @QUEUE takes b: csd; a is a register, b a register or a number"),
    ("nop @WAIT(3)", "1:11: @WAIT takes a: csd; a is a register, b a register or a number"),
    ("nop @WAIT(r1, r2)", "1:11: @WAIT takes a: csd; a is a register, b a register or a number"),
    ("nop @NOIPI(r1)", "1:12: @NOIPI takes no operand"),
    ("nop @LOCK_TRY", "1:5: @LOCK_TRY belongs to the memory operation on the lock"),
    ("nop @WARN", "1:5: which warning? @WARN takes the name of a .warn"),
    ("nop @WARN(3)", "1:5: which warning? @WARN takes the name of a .warn"),
    ('.warn busy "x"\nnop @WARN(bussy)', '2:11: unknown warning bussy, did you mean "busy"?'),
    ("add r1, r2, r3 @CALL(r4)", "1:16: @CALL cannot have this operand a: add uses the field ra for another value"),
    ("mov r1, 3 @CALL(r4, 5)", "1:11: @CALL cannot have this operand b: mov uses the field imm for another value"),
    ("st [r1], r2 @CALL(r1, 5)", "1:23: expected a register"),
    ("st [r1], r2 @CALL(r1, r3)", "1:13: @CALL cannot have this operand b: st uses the field rb for another value"),
    ("stc [r1], 2 @CALL(r1, r2)", "1:23: operand b of this event is the stored constant"),
    ("stc [r1], 64", "1:11: the constant 64 does not fit: it must be from 0 to 63"),
    ("jmp 1 @CALL(r1, 5)", "1:7: @CALL cannot have this operand b: jmp uses the field use_imm for another value"),
    ("jmp 1, r2", "1:1: jmp takes 1 operand (t) or 3 operands (t, rd, [ra + imm]), not 2"),
    ("push r2 @CALL(r2, r3)", "1:9: @CALL cannot have this operand b: push uses the field rb for another value"),
    ("a:\na:", "2:1: a is a label already, at p.uasm:1"),
    ("a:\n.x:\n nop\n.x:", "4:1: .x is a label already here"),
    (".const a = 1\n.const a = 2", "2:8: a is a constant already, at p.uasm:1"),
    (".const a = 1\na:", "2:1: a is a constant already, at p.uasm:1"),
    (".global a: word\n.percpu a: word", "2:9: a is an object already, at p.uasm:1"),
    (".struct a\n x\n.end\n.struct a\n x\n.end", "4:9: a is a struct already, at p.uasm:1"),
    (".struct a\n x\n x\n.end", "3:2: a has a field x already"),
    (".struct a\n.end", "1:9: the struct a has no fields"),
    (".struct word\n x\n.end", "1:9: word is the type of a single word"),
    (".macro a\n.end\n.macro a\n.end", "3:8: a is a macro already, at p.uasm:1"),
    (".macro nop\n.end", "1:8: nop is an operation"),
    (".macro a x, x\n.end", "1:13: a has two parameters x"),
    ('.warn a "x"\n.warn a "y"', "2:7: a is a warning already, at p.uasm:1"),
    (".const NR_CPUS = 3", "1:8: NR_CPUS is a predefined constant already"),
    (".const r1 = 3", "1:8: r1 is a register"),
    ('.title "a"\n.title "b"', "2:8: a second .title"),
    (".reg a = r1\n.reg a = r2", "2:6: a is r1 already"),
    (".reg a = q", "1:10: unknown register q"),
    (".reg a = r1\n.const a = 3", "1:6: a is a constant too"),
    (".const a = b\n.const b = a\nmov r1, a", "2:12: a is defined in terms of itself"),
    ("mov r1, unknwon\n.const unknown = 3", '1:9: unknown name unknwon, did you mean "unknown"?'),
    (".struct s\n a\n.end\nmov r1, s", "4:9: s is a struct: write s.FIELD or sizeof(s)"),
    (".struct s\n flags\n.end\nmov r1, s.flag", '4:10: s has no field flag, did you mean "flags"?'),
    (".struct s\n flags\n.end\nmov r1, t.flags", "4:9: unknown name t"),
    (".struct s\n flags\n.end\nmov r1, s.flags.x", "4:16: s.flags is a word, and has no fields"),
    (".struct s\n p: -> s\n.end\nmov r1, s.p.p", "4:12: s.p is a pointer, and has no fields"),
    (".global a: word[3]\nmov r1, a[3]", "2:11: a has the elements 0 to 2, not 3"),
    (".global a: word\nmov r1, a[0]", "2:11: a is not an array"),
    (".struct s\n x\n.end\n.global a: s[2]\nmov r1, a.x", "5:10: a is an array: name an element, a[0].x"),
    (".const a = 3\nmov r1, a.x", "2:9: a is neither a struct nor an object, and has no fields"),
    ("mov r1, sizeof(x)", "1:16: unknown struct x"),
    (".global a: lost", "1:12: unknown struct lost"),
    (".struct s\n p: -> lost\n.end", "2:8: unknown struct lost"),
    (".struct a\n b: b\n.end\n.struct b\n a: a\n.end", "5:5: the struct a contains itself; a pointer would be `-> a`"),
    (".global a: word[0]", "1:17: an array has from 1 to 1048576 elements, not 0"),
    (".global a: word[n]\n.const n = 3", "1:17: unknown name n: .if, .org and array sizes see only names defined above them"),
    (".global a: word[1048576]", "1:9: with a the arena has more than 1048576 words"),
    (".percpu a: word[600000]", "1:9: with the objects of 2 cores the arena has more than 1048576 words"),
    (".struct s\n a[600000]\n b[600000]\n.end", "1:9: the struct s has 1200000 words, more than any arena"),
    (".global a: word = 65536", "1:19: 65536 does not fit: a word of 16 bits is from -32768 to 65535"),
    (".global a: word = [1, 2]", "1:23: a has 1 word, and this is one value too many"),
    (".if later\n.end\n.const later = 1", "1:5: unknown name later: .if, .org and array sizes see only names defined above them"),
    (".global a: word\n.if a\n.end", "2:5: a is not known yet: the arena is laid out at the end"),
    ("nop\n.org 0", "2:6: .org goes forward only: it must be from 1 to 2047, not 0"),
    (".org 2048", "1:6: .org goes forward only: it must be from 0 to 2047, not 2048"),
    (".org 2047\nnop\nnop", "3:1: the program has more than 2048 words"),
    (".entry a", "1:8: no word follows the entry point a"),
    (".macro m", "1:1: .macro is not closed by .end"),
    (".struct s", "1:1: .struct is not closed by .end"),
    (".if 1\nnop", "1:1: .if is not closed by .end"),
    (".if 1\n.else", "1:1: .if is not closed by .end"),
    (".end", "1:1: .end without a block to belong to"),
    (".else", "1:1: .else without a block to belong to"),
    (".foo", "1:1: unknown directive .foo"),
    (".con x = 3", '1:1: unknown directive .con, did you mean ".const"?'),
    ("a: nop", "1:4: expected the end of the line, not 'nop'"),
    ("a: !name", "1:4: expected the end of the line, not '!name'"),
    (".const a 3", "1:10: expected '=' or '?=', not '3'"),
    ("mov r1, $", "1:9: unexpected character '$'"),
    ('.title "a', '1:8: a text must be closed by " on its line'),
    ("mov r1, r2, ", "1:13: expected an expression or '[', not the end of the line"),
    ("mov r1 r2", "1:8: expected an operator, ',', an @event, a !name or the end of the line, not 'r2'"),
    ("mov r1, (2", "1:11: expected an operator or ')', not the end of the line"),
    (".macro m\n.const a = 3\n.end", "2:1: expected an operation, a macro, a local label, .reg, .if or .end, not '.const'"),
    (".struct s\n a: \n.end", "2:5: expected a name or '->', not the end of the line"),
    (".macro m a, b\n mov a, b\n.end\nm r1", "4:1: m takes 2 arguments (a, b), not 1"),
    (".macro m\n nop\n.end\nm @CALL", "4:3: an event belongs to a word, not to a use of a macro"),
    (".macro m a\n mov a, 3\n.end\nm [r1]",
     "4:4: the argument of a macro is a register or an expression, not a memory operand"),
    (".macro m\n m\n.end\nm", "2:2: m calls itself", "in the expansion of m at p.uasm:4"),
    (".macro m\n n\n.end\n.macro n\n m\n.end\nm",
     "5:2: m calls itself",
     "in the expansion of n at p.uasm:2",
     "in the expansion of m at p.uasm:7"),
    (".macro inner a\n mov a, 70000\n.end\n.macro outer a\n inner a\n.end\n nop\n outer r1",
     "2:9: the immediate 70000 does not fit: it must be from -32768 to 65535",
     "in the expansion of inner at p.uasm:5",
     "in the expansion of outer at p.uasm:8"),
    (".macro inner a\n mov r1, a\n.end\n.macro outer a\n inner a + 1\n.end\n outer 70000",
     "2:10: the immediate 70001 does not fit: it must be from -32768 to 65535",
     "in the expansion of inner at p.uasm:5",
     "in the expansion of outer at p.uasm:7"),
    (".macro m a\n.reg a = r3\n.end\n m 1", "2:6: a is a parameter of the macro", "in the expansion of m at p.uasm:4"),
    (".macro m a\n mov a, 1\n.end\n m lost",
     "4:4: unknown register lost", "in the expansion of m at p.uasm:4"),
    (".macro m a\n mov a, 1\n.end\n m 3", "4:4: expected a register", "in the expansion of m at p.uasm:4"),
    (".macro m a\n ld r1, [a + r2]\n.end\n m r1 + 3",
     "2:10: an address has one register, which is added to",
     "in the expansion of m at p.uasm:4"),
]


@pytest.mark.parametrize(("text", "message", "notes"), [(text, message, notes) for text, message, *notes in REFUSALS],
                         ids=[text.replace("\n", " / ") for text, *_ in REFUSALS])
def test_refusal(refusal, text, message, notes):
    line, column, _ = message.split(":", 2)
    shown = [f"    {text.splitlines()[int(line) - 1]}", " " * (int(column) + 3) + "^"]
    assert refusal(text) == "\n".join([f"p.uasm:{message}", *shown, *notes])


def test_deep_nesting_is_refused(refusal):
    """The statement is named in which it is."""
    assert refusal(f"nop\nmov r1, {'-' * 5000}1").startswith("p.uasm:2:1: nested too deeply\n    mov r1, ---")
    assert refusal(f"nop\nmov r1, {'(' * 5000}1{')' * 5000} + x").startswith("p.uasm:2:10013: unknown name x")
    assert refusal(".if 1\n" * 2000 + "nop\n" + ".end\n" * 2000).split(": ")[1].startswith("nested too deeply")
    macros = "".join(f".macro m{number}\nm{number - 1}\n.end\n" for number in range(1, 2000))
    assert "nested too deeply" in refusal(f".macro m0\n.end\n{macros}m1999")


def test_what_doubles_is_refused_by_name(refusal):
    macros = "".join(f".macro m{number}\nm{number - 1}\nm{number - 1}\n.end\n" for number in range(1, 40))
    assert "macros expand to more than 100000 statements\n    m0\n" in refusal(f".macro m0\n.end\n{macros}m39")
    macros = "".join(f".macro m{number} a\nm{number - 1} a + a\n.end\n" for number in range(1, 40))
    assert "the expressions of this program are too large" in refusal(f".macro m0 a\nmov r1, a\n.end\n{macros}m39 0")
    assert "this address is too large" in refusal(f".macro m0 a\nld r1, [a]\n.end\n{macros}m39 0")
    structs = "".join(f".struct s{number}\na: s{number - 1}[2]\n.end\n" for number in range(1, 40))
    assert refusal(f".struct s0\na\n.end\n{structs}").startswith(
        "p.uasm:52:9: with s17 the structs have more than 131072 words together")
    assert refusal(".global a: word[200000]").startswith("p.uasm:1:9: with a the arena has more than 131072 objects")


def test_long_numbers(refusal):
    for digits in ("9" * 5000, "0x" + "f" * 5000, "9" * 100):
        message = refusal(f"mov r1, {digits}")
        assert message.startswith("p.uasm:1:9: ") and max(map(len, message.splitlines())) < 200

# Lines of a program, whole and in pieces: whatever is put together is assembled or refused, and never anything else.
_PIECES = st.sampled_from([
    "mov", "ld", "nop", "r1", "t0", "[r2 + 3]", "[", "]", ",", "(", ")", "+", "-", "<<", "3", "0x", "label:", ".local:",
    ".local", ".if", ".else", ".end", ".macro", "m", ".struct", "s", ".percpu", ".global", "=", "?=", "x", ":", "word", "->",
    ".const", "@CALL", "!name", ".reg", ".org", ".entry", ".warn", '"text"', ".title", ".include", "sizeof", ".", "$",
    "\n", "\n", "\n",
])


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.lists(_PIECES, max_size=25).map(" ".join))
def test_no_text_gives_a_traceback(scratch, text):
    scratch.write_text(text)
    try:
        assemble(scratch, n_cores=2, xlen=16)
    except InputError as error:
        assert str(error).startswith(str(scratch))


# --- the image as a whole ---------------------------------------------------------------------------------------------

def test_check_fits(build):
    image = build(".global a: word[2000]\n.org 99\nnop", n_cores=2)
    config = MachineConfig(n_cores=2, microcode_depth=128, arena_depth=2048)
    image.check_fits(config)
    for parameters, message in (
        ({"n_cores": 3}, "p.uasm: assembled for 2 cores (n_cores), but the machine has 3"),
        ({"xlen": 32}, "p.uasm: assembled for 16 bits (xlen), but the machine has 32"),
        ({"microcode_depth": 64}, "p.uasm: needs 100 words of microcode (microcode_depth), but the machine has 64"),
        ({"arena_depth": 1024}, "p.uasm: needs 2016 words of arena (arena_depth), but the machine has 1024"),
    ):
        with pytest.raises(InputError) as caught:
            image.check_fits(MachineConfig(**{"n_cores": 2, "microcode_depth": 128, "arena_depth": 2048, **parameters}))
        assert str(caught.value) == message


@pytest.mark.parametrize("word, field", [
    ("apicwr r0, APIC_TPR", "task_priority"), ("apicrd r0, APIC_TPR", "task_priority"), ("apicrdh r0, APIC_ESR", "error_status"),
])
def test_a_machine_without_a_register_refuses_who_accesses_it(word, field, build):
    image = build(f"nop\nstart:\nnop\n{word}", n_cores=2)
    image.check_fits(MachineConfig(n_cores=2))
    with pytest.raises(InputError) as caught:
        image.check_fits(MachineConfig(n_cores=2, **{field: 0}))
    assert str(caught.value) == f"p.uasm: accesses {word.split()[-1]} at start+1, but this machine has none ({field}=0)"


@pytest.mark.parametrize("word", ["apicrd r0, APIC_IRR", "apicrdh r0, APIC_ICR"])
def test_a_machine_without_register_reads_refuses_who_reads_more_than_the_delivery_status(word, build):
    image = build(f"start:\nnop\n{word}", n_cores=2)
    image.check_fits(MachineConfig(n_cores=2))
    with pytest.raises(InputError) as caught:
        image.check_fits(MachineConfig(n_cores=2, register_reads=0))
    assert str(caught.value) == ("p.uasm: reads an APIC register other than the low half of ICR at start+1, but this machine "
                                 "cannot (register_reads=0)")
    build("apicrd r0, APIC_ICR", n_cores=2).check_fits(MachineConfig(n_cores=2, register_reads=0))


def test_parameters_are_those_of_a_machine(build):
    with pytest.raises(ValueError, match="^xlen must be 16, 32 or 64, not 8$"):
        build("nop", xlen=8)


def test_does_not_depend_on_the_hash_seed(here):
    Path("p.uasm").write_text(ARENA + "f:\n mov r1, pool[1] !a !b\n.entry g\n jmp f @WAIT(r1)\n")
    program = "from sim.microcode.assembler import assemble; print(vars(assemble('p.uasm', n_cores=3, xlen=16)))"
    root = str(Path(__file__).parents[2])
    printed = {
        subprocess.run([sys.executable, "-c", program], env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": root},
                       capture_output=True, text=True, check=True).stdout
        for seed in ("1", "2", "3")
    }
    assert len(printed) == 1


def test_a_full_program_is_quick(build):
    text = ARENA + "f:\n" + "    ld r1, [r2 + csd.links[1].next] @CALL(r2, r3) ; a comment\n" * 500
    start = time.process_time()
    assert len(build(text).words) == 500
    assert time.process_time() - start < 1
