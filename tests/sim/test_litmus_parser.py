"""Litmus tests as text: what is read, and what is refused in which words."""

import pytest

from sim.errors import InputError
from sim.litmus.command import SHIPPED
from sim.litmus.parser import parse, read_test
from sim.litmus.syntax import Constant, Core, Instruction, Location, Mode, Quantifier, Register

from .litmus_samples import litmus_test

EVERYTHING = '''\
X86 one/two (One) "a title"
"a cycle"
(* a comment { *)
Cycle=Rfe Fre
{ x=1; int y = 0x2; P1:EAX = -1; 0:EBX=3; z }
 P0              | P1             ;
 MOV [x],$1      | mov eax , y    ;
                 |                ;
 loop: LOCK XADD DWORD PTR [y],EBX | MFENCE ;
 JNE loop ;
locations [x; 1:EAX;]
filter ~x=5
final (P0:EBX = 3 /\\ (1:EAX=0 \\/ [z]=1 \\/ not (y=1 /\\ true)));
with
tso: ~exists;
default: exists;
<<
show 0
>>
'''


def test_everything_at_once():
    test = parse(EVERYTHING, "folder/name.litmus")
    assert (test.name, test.title) == ("name", "one/two")
    assert test.memory == {"x": 1, "y": 2, "z": 0}
    assert test.registers == {"P0": {"EBX": 3}, "P1": {"EAX": 0xFFFF}}
    p0, p1 = test.threads
    assert p0.instructions == (
        Instruction("MOV", (Location("x"), Constant(1)), False, "MOV [x], $1"),
        Instruction("XADD", (Location("y"), Register("EBX")), True, "LOCK XADD [y], EBX"),
        Instruction("JNE", (("loop",),), False, "JNE loop"),
    )
    assert p0.labels == {"loop": 1}
    assert [item.op for item in p1.instructions] == ["MOV", "MFENCE"]
    assert p1.instructions[0].operands == (Register("EAX"), Location("y"))
    assert test.observed == ("x", "1:EAX", "0:EBX", "z", "y")
    assert test.quantifier is Quantifier.EXISTS
    assert test.asked((1, 0, 3, 0, 1))
    assert not test.asked((1, 0, 2, 0, 0))
    assert not test.asked((1, 2, 3, 0, 1))
    assert not test.counts((5, 0, 0, 0, 0))


@pytest.mark.parametrize("written, quantifier, truth", [
    ("exists", Quantifier.EXISTS, (False, True)),
    ("~exists", Quantifier.NOT_EXISTS, (True, False)),
    ("~ exists", Quantifier.NOT_EXISTS, (True, False)),
    ("not exists", Quantifier.NOT_EXISTS, (True, False)),
    ("forall", Quantifier.FORALL, (False, False)),
])
def test_sentences(written, quantifier, truth):
    """Whether the sentence is true if x is 0 or 1, and if it is 0, 1 or 2."""
    test = litmus_test(f"{{}}\n P0 ;\n{written} (x=2)")
    assert test.quantifier is quantifier
    assert tuple(test.proposition([(value,) for value in range(count)]) for count in (2, 3)) == truth


def test_sizes_and_names_of_registers():
    test = litmus_test("{}\n P0 ;\n MOVQ RAX,[x] ;\n movl [x],r8d ;\n XCHG r15, edi ;\nexists (0:EAX=0 /\\ 0:R8=0)")
    assert [item.op for item in test.threads[0].instructions] == ["MOV", "MOV", "XCHG"]
    assert list(test.registers["P0"]) == ["EAX", "R8", "R15", "EDI"]


def test_interrupts():
    test = litmus_test("Mode = xapic\n{ 1:IF=0; H1:EAX=2; }\n P0 | P1 | H1 ;\n IPI P1 | STI | MOV EAX,[x] ;\n | HLT ;\n"
                       "exists (H1:EAX=2)")
    assert test.n_cores == 2
    assert test.threads[2].is_handler and test.threads[2].core == 1
    assert test.threads[0].instructions[0].operands == (Core(1),)
    assert test.interrupts_off == {1}
    assert test.registers["H1"] == {"EAX": 2}
    assert test.modes == (Mode.XAPIC,)


@pytest.mark.parametrize("header, modes", [
    ("", (Mode.XAPIC, Mode.X2APIC)), ("Mode=both\n", (Mode.XAPIC, Mode.X2APIC)), ("Mode=x2apic\n", (Mode.X2APIC,)),
])
def test_modes(header, modes):
    assert litmus_test(header + "{}\n P0 | H0 ;\n IPI P0 | NOP ;\nexists (x=0)").modes == modes


def test_a_test_without_interrupts_has_no_mode():
    assert litmus_test("{}\n P0 ;\n NOP ;\nexists (x=0)").modes == ()


BODY = "{{ }}\n P0 | P1 ;\n {} | NOP ;\nexists (x=0)"


@pytest.mark.parametrize("text, line, column, message", [
    ("", 1, 1, 'expected a line "X86 NAME", not the end of the file'),
    ("X86\n{}\n P0 ;\nexists (x=0)", 1, 1, 'expected a line "X86 NAME": only 32-bit x86 is known'),
    ("PPC SB\n{}\n P0 ;\nexists (x=0)", 1, 1, 'expected a line "X86 NAME": only 32-bit x86 is known'),
    ("X86 a\n{ x=1", 2, 6, "expected '}' or ';', not the end of the file"),
    ("X86 a\n{ x=1 }\n P0 ;\n MOV [x],$1 ;\n", 5, 1, None),
    ("X86 a\n{ x=1 y=2 }\n P0 ;\nexists (x=0)", 2, 7, None),
    ("X86 a\n" + BODY.format("MOV x"), 4, 6,
     "MOV takes register, constant or register, register or register, memory or memory, constant or memory, register"),
    ("X86 a\n" + BODY.format("MOV [x],[y]"), 4, 7, None),
    ("X86 a\n" + BODY.format("MOVE EAX,[y]"), 4, 2, 'unknown instruction MOVE, did you mean "MOV"?'),
    ("X86 a\n" + BODY.format("MOVB [x],$1"), 4, 2, "MOVB is about a part of a word: only whole words are known"),
    ("X86 a\n" + BODY.format("MOV AL,[x]"), 4, 6, "AL is a part of a register: only whole ones are known"),
    ("X86 a\n" + BODY.format("MOV EAX,[EBX]"), 4, 11, "an address in a register is not known: name the location"),
    ("X86 a\n" + BODY.format("MOV BYTE PTR [x],$1"), 4, 6, "only whole words: dword or qword"),
    ("X86 a\n" + BODY.format("MOV [x],$70000"), 4, 10, "$70000 does not fit a word of 16 bits"),
    ("X86 a\n" + BODY.format("MOV [x],$abc"), 4, 10, "$abc is not a number"),
    ("X86 a\n" + BODY.format("LOCK MOV [x],$1"), 4, 2,
     "LOCK cannot stand before this MOV: it stands before ADD, SUB, AND, OR, INC, DEC, XADD, CMPXCHG, XCHG to memory"),
    ("X86 a\n" + BODY.format("XADD [x],EAX"), 4, 2, "XADD without LOCK is not known"),
    ("X86 a\n" + BODY.format("JMP away"), 4, 6, "there is no label away in P0"),
    ("X86 a\n" + BODY.format("a: a: NOP"), 4, 5, "a is a label already in P0"),
    ("X86 a\n" + BODY.format("IPI P7"), 4, 6, "there is no thread P7"),
    ("X86 a\n" + BODY.format("IPI P1"), 4, 6, "P1 has no handler: a column H1"),
    ("X86 a\n" + BODY.format("TPR $16"), 4, 6, "TPR takes a class from 0 to 15"),
    ("X86 a\n" + BODY.format("MOV EAX,$1 | NOP | NOP"), 4, 21, "a row of 4 cells, but there are 2 threads"),
    ("X86 a\n{ 4:EAX=1 }\n P0 ;\nexists (x=0)", 2, 3, "there is no P4"),
    ("X86 a\n{ 0:IF=2 }\n P0 ;\nexists (x=0)", 2, 3, "IF is a thread's interrupt flag: 0 or 1"),
    ("X86 a\n{}\n P0 ;\nexists (0:ZAX=0)", 4, 9, "ZAX is not a register of 32 bits"),
    ("X86 a\n{}\n P1 ;\nexists (x=0)", 3, 2, "expected P0: threads are numbered from 0, handlers (H0) stand behind them"),
    ("X86 a\n{}\n P0 | H1 ;\nexists (x=0)", 3, 7, "a handler needs a thread of its own: H0 is the handler of P0"),
    ("X86 a\n{}\n P0 | H0 ;\n | STI ;\nexists (x=0)", 4, 4,
     "STI cannot stand in a handler: it runs with interrupts off to its end"),
    ("X86 a\nMode=pic\n{}\n P0 ;\nexists (x=0)", 2, 1, "Mode is xapic, x2apic or both"),
    ("X86 a\n{}\n P0 ;\nexists (0:EAX=0 /\\ 0:EBX=0 /\\ 0:ECX=0 /\\ 0:EDX=0 /\\ 0:ESI=0 /\\ 0:EDI=0 /\\ 0:EBP=0)", 3, 2,
     "P0 and its handler use 7 registers: a core has 6 for them"),
    ("X86 a\n{}\n P0 ;\nexists (x=0 /\\ )", 4, 16, None),
    ("X86 a\n{}\n P0 ;\nforall x=0 \\/ #", 4, 15, None),
])
def test_refusals(text, line, column, message):
    with pytest.raises(InputError) as refusal:
        parse(text, "bad.litmus")
    error = refusal.value
    assert (str(error.file), error.line, error.column) == ("bad.litmus", line, column)
    shown = (text.split("\n") + [""])[line - 1]
    assert str(error) == f"bad.litmus:{line}:{column}: {error.message}\n    {shown}\n    {' ' * (column - 1)}^"
    if message is not None:
        assert error.message == message


def test_a_condition_without_end_is_refused():
    with pytest.raises(InputError, match="deep.litmus: nested too deeply"):
        parse(f"X86 a\n{{}}\n P0 ;\nexists {'(' * 9999}x=0{')' * 9999}", "deep.litmus")


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_test(tmp_path / "none.litmus")
    (tmp_path / "binary.litmus").write_bytes(b"X86 \xff\n")
    with pytest.raises(InputError, match="it is not UTF-8 text"):
        read_test(tmp_path / "binary.litmus")


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.litmus")), ids=lambda path: path.stem)
def test_shipped_tests_are_read(path):
    test = read_test(path)
    assert test.title == test.name == path.stem
