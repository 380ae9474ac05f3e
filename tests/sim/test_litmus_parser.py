"""Litmus tests as text: what is read, and what is refused in which words. Each test names the rule of herd7's grammar that it
holds, or says that the rule is our own."""

import pytest

from sim.errors import InputError
from sim.litmus.command import SHIPPED
from sim.litmus.parser import parse, read_test
from sim.litmus.syntax import Constant, Core, Indirect, Label, Location, Mode, Quantifier, Register

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
 JNE loop        |                ;
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


def first(test, column=0, number=0):
    return test.threads[column].instructions[number]


def body(instruction, init="x=0; y=0", architecture="X86"):
    return parse(f"{architecture} t\n{{ {init} }}\n P0 ;\n {instruction} ;\nexists (true)", "t.litmus")


def test_everything_at_once():
    test = parse(EVERYTHING, "folder/name.litmus")
    assert (test.name, test.title) == ("name", "one/two")
    assert test.memory == {"x": 1, "y": 2, "z": 0}
    assert test.registers == {"P0": {"EBX": 3}, "P1": {"EAX": -1}}
    p0, p1 = test.threads
    assert p0.instructions == (
        ("MOV", (Location("x"), Constant(1)), False, "MOV [x],$1"),
        ("XADD", (Location("y"), Register("EBX")), True, "LOCK XADD DWORD PTR [y],EBX"),
        ("JNE", (Label("loop"),), False, "JNE loop"),
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


# --- the file ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [
    "X86_64 t\n{}\n P0 ;\n movq $1,(x) ;\nexists (x=1)",                              # the first line names the architecture
    "\ufeffX86_64 t\r\n{}\r\n P0 ;\r\n movq $1,(x) ;\r\nexists (x=1)\r\n",            # a mark and line ends of Windows are skipped
    "X86_64 t (* a (* nested *) one *)\n{ (* { *) }\n P0 ; (* | *)\n movq $1,(x) ;\nexists (* ( *) (x=1)",  # comments nest
    'X86_64 t "text"\n"(* no comment"\nKey = Value\n{}\n P0 ;\n movq $1,(x) ;\n(x=1)',              # nor begin in quotes
    "X86_64 t\nany other line\n{}\n P0 ;\n movq $1,(x) ;\nexists (x=1)\n<<\nrest { (* \n>>\n",   # what other tools want to know
])
def test_what_stands_around_a_test(text):
    test = parse(text, "t.litmus")
    assert first(test).operands == (Location("x"), Constant(1)) and test.quantifier is Quantifier.EXISTS and test.asked((1,))


@pytest.mark.parametrize("written, quantifier, truth", [
    ("exists (x=2)", Quantifier.EXISTS, (False, True)),
    ("final (x=2)", Quantifier.EXISTS, (False, True)),
    ("(x=2)", Quantifier.EXISTS, (False, True)),                     # parentheses alone are exists
    ("observed x=2; and x=7;", Quantifier.EXISTS, (False, True)),
    ("~exists (x=2)", Quantifier.NOT_EXISTS, (True, False)),
    ("~ exists (x=2)", Quantifier.NOT_EXISTS, (True, False)),
    ("not exists (x=2)", Quantifier.NOT_EXISTS, (True, False)),
    ("forall (x=2)", Quantifier.FORALL, (False, False)),
    ("", Quantifier.NOTHING, (True, True)),                          # no sentence is always true
    ("locations [x;]", Quantifier.NOTHING, (True, True)),
])
def test_sentences(written, quantifier, truth):
    """Whether the sentence is true if x is 0 or 1, and if it is 0, 1 or 2."""
    test = litmus_test(f"{{ x=0; }}\n P0 ;\n NOP ;\n{written}")
    assert test.quantifier is quantifier and test.observed == ("x",)
    assert tuple(test.proposition([(value,) for value in range(count)]) for count in (2, 3)) == truth


@pytest.mark.parametrize("condition, true_for", [
    ("x=1", {(1, 0), (1, 1), (1, 2)}), ("[x]=1", {(1, 0), (1, 1), (1, 2)}), ("x == 0x1", {(1, 0), (1, 1), (1, 2)}),
    ("x<>1", {(0, 0), (0, 1), (0, 2)}), ("x != 1", {(0, 0), (0, 1), (0, 2)}),
    ("x=1 => y=2", {(0, 0), (0, 1), (0, 2), (1, 2)}),
    # => is tighter than /\, which is tighter than \/; ~ is the tightest.
    (r"y=2 /\ x=1 => y=2", {(0, 2), (1, 2)}), (r"x=0 \/ x=1 /\ y=2", {(0, 0), (0, 1), (0, 2), (1, 2)}),
    ("~x=1 => y=2", {(0, 2), (1, 0), (1, 1), (1, 2)}), ("x=1 => y=1 => false", {(0, 0), (0, 1), (0, 2), (1, 0), (1, 2)}),
    ("x=y", {(0, 0), (1, 1)}), ("[x]=[y]", {(0, 0), (1, 1)}), ("x=*y", {(0, 0), (1, 1)}), ("x<>y", {(0, 1), (0, 2), (1, 0),
    (1, 2)}),
    ("not (x=1)", {(0, 0), (0, 1), (0, 2)}), ("true", {(x, y) for x in range(2) for y in range(3)}), ("false", set()),
])
def test_conditions(condition, true_for):
    test = litmus_test(f"{{ x=0; y=0; }}\n P0 ;\n NOP ;\nlocations [x; y;]\nexists ({condition})")
    assert {(x, y) for x in range(2) for y in range(3) if test.asked((x, y))} == true_for


def test_registers_are_compared():
    test = litmus_test("{}\n P0 | P1 ;\n MOV EAX,[x] | MOV EBX,[x] ;\nexists (0:EAX=P1:EBX)")
    assert test.observed == ("0:EAX", "1:EBX") and test.asked((3, 3)) and not test.asked((3, 4))


def test_locations_may_have_types():
    test = litmus_test("{ x=0; y=0; int *p; int t[2]; }\n P0 ;\n MOV EAX,[x] ;\n"
                       "locations [x; y int; p*; 0:EAX int; [x]; t; p int*]")
    assert test.observed == ("x", "y", "p", "0:EAX", "t[0]", "t[1]")


# --- start values -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("init, memory, registers", [
    ("x=1; [y]=2", {"x": 1, "y": 2}, {}), ("int x=1; uint64_t y", {"x": 1, "y": 0}, {}), ("x; y;", {"x": 0, "y": 0}, {}),
    (";", {}, {}), ("_Atomic int x=3; volatile unsigned int y=4", {"x": 3, "y": 4}, {}), ("x=-1; y=0xff", {"x": -1, "y": 255}, {}),
    ("uint64_t 0:rax; 0:rbx=5; int64_t P0:rcx=-6", {}, {"RAX": 0, "RBX": 5, "RCX": -6}),
    ("int t[3]={1,2,3}; u=4", {"t[0]": 1, "t[1]": 2, "t[2]": 3, "u": 4}, {}), ("int64_t t[2]", {"t[0]": 0, "t[1]": 0}, {}),
    ("x=y; y=0; int *p=&x", {"x": 17, "y": 0, "p": 16}, {}), ("0:rsi=x; x=1", {"x": 1}, {"RSI": 16}),
    ("0:%a=x; x=1", {"x": 1}, {"%a": 16}),
])
def test_start_values(init, memory, registers):
    test = parse(f"X86_64 t\n{{ {init} }}\n P0 ;\n nop ;\n", "t.litmus")
    assert (test.memory, test.registers["P0"]) == (memory, registers)


def test_interrupts():
    """Our own."""
    test = litmus_test("Mode = xapic\n{ 1:IF=0; H1:EAX=2; }\n P0 | P1 | H1 ;\n IPI P1 | STI | MOV EAX,[x] ;\n | HLT | ;\n"
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
    assert litmus_test(header + "{}\n P0 | H0 ;\n IPI P0 | NOP ;\nexists (true)").modes == modes


def test_a_test_without_interrupts_has_no_mode():
    assert litmus_test("{}\n P0 ;\n NOP ;\nexists (true)").modes == ()


# --- instructions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("architecture, instruction, op, operands", [
    # X86: what is written stands first.
    ("X86", "MOV [x],$1", "MOV", (Location("x"), Constant(1))), ("X86", "MOV [x],1", "MOV", (Location("x"), Constant(1))),
    ("X86", "MOV EAX,[y]", "MOV", (Register("EAX"), Location("y"))),
    ("X86", "MOVL EAX,[y]", "MOV", (Register("EAX"), Location("y"))),
    ("X86", "CMP EAX,$-1", "CMP", (Register("EAX"), Constant(-1))), ("X86", "MOV %a,[x]", "MOV", (Register("%a"), Location("x"))),
    # X86_64: what is read stands first, but for a file that is written as Intel has it.
    ("X86_64", "movq $1,(x)", "MOV", (Location("x"), Constant(1))),
    ("X86_64", "mov (x),%eax", "MOV", (Register("RAX"), Location("x"))),
    ("X86_64", "movq %r15,(x)", "MOV", (Location("x"), Register("R15"))),
    ("X86_64", "addl $-2,%r8d", "ADD", (Register("R8"), Constant(-2))),
    ("X86_64", "cmp $1,%eax", "CMP", (Register("RAX"), Constant(1))),
    ("X86_64", "movq %rax,[x]", "MOV", (Location("x"), Register("RAX"))),
    ("X86_64", "movl x(%rip),%eax", "MOV", (Register("RAX"), Location("x"))),
    ("X86_64", "movb $1,(x)", "MOV", (Location("x"), Constant(1))),
    ("X86_64", "MOV [x],$1", "MOV", (Location("x"), Constant(1))),
    ("X86_64", "MOV RAX,[x]", "MOV", (Register("RAX"), Location("x"))),
    ("X86_64", "mov qword ptr [x],1", "MOV", (Location("x"), Constant(1))),
    ("X86", "movl $1,(x)", "MOV", (Location("x"), Constant(1))),
    # There is one way round.
    ("X86_64", "lock cmpxchgq %rbx,(x)", "CMPXCHG", (Location("x"), Register("RBX"), Register("RAX"))),
    ("X86_64", "lock cmpxchgq (x),%rbx", "CMPXCHG", (Location("x"), Register("RBX"), Register("RAX"))),
    ("X86_64", "lock; xaddl %ebx,(x)", "XADD", (Location("x"), Register("RBX"))),
    ("X86_64", "xchgq (x),%rbx", "XCHG", (Register("RBX"), Location("x"))),
    ("X86_64", "leaq (x),%rbx", "LEA", (Register("RBX"), Constant(16))),
    ("X86_64", "movq $y,%rbx", "MOV", (Register("RBX"), Constant(17))),
    ("X86", "LOCK ; OR [x],$4", "OR", (Location("x"), Constant(4))), ("X86", "lock or [x],$4", "OR", (Location("x"), Constant(4))),
    ("X86_64", "cmovcq %rax,(x)", "CMOVC", (Register("RAX"), Location("x"))), ("X86", "SETNB AL", "SETNB", (Register("EAX"),)),
    ("X86", "UXCH [x],EAX", "UXCH", (Location("x"), Register("EAX"))), ("X86_64", "ret", "RET", ()),
    ("X86_64", "endbr64", "ENDBR64", ()),
])
def test_instructions(architecture, instruction, op, operands):
    item = first(body(instruction, architecture=architecture))
    assert (item.op, item.operands) == (op, operands)
    assert item.locked == (instruction.lower().startswith("lock") or op == "XCHG")


@pytest.mark.parametrize("init, instruction, operand", [
    # An address in a register that the thread does not write is a location.
    ("0:ESI=x; x=0", "MOV [ESI],$1", Location("x")), ("0:ESI=x; x=0", "MOV (ESI),$1", Location("x")),
    ("0:%p=y; y=0", "MOV [%p],$1", Location("y")), ("0:ESI=t; int t[2]", "MOV [ESI+4],$1", Location("t[1]")),
    ("int64_t t[2]", "MOV QWORD PTR [t+8],$1", Location("t[1]")),
    ("0:rsi=x; x=0", "movq $1,(%rsi)", Location("x")), ("0:rsi=t; int64_t t[3]", "movq $1,16(%rsi)", Location("t[2]")),
    ("0:rsi=t; 0:rbx=1; int64_t t[2]", "movq $1,(%rsi,%rbx,8)", Location("t[1]")),
    ("0:rsi=t; 0:rbx=1; int64_t t[2]", "movq $1,0(%rsi,%ebx,8)", Location("t[1]")),
])
def test_addresses_in_registers(init, instruction, operand):
    architecture = "X86_64" if "%r" in instruction else "X86"
    assert first(body(instruction, init, architecture)).operands[0] == operand


def test_an_address_that_is_read_stays_in_its_register():
    test = parse("X86_64 t\n{ p=x; x=0; }\n P0 ;\n movq (p),%rax ;\n movq 0(%rax),%rbx ;\nexists (0:rax=x)", "t.litmus")
    assert first(test, number=1).operands == (Register("RBX"), Indirect("RAX", None, 0))
    assert test.shown((17,)) == {"0:RAX": "x"} and test.asked((17,))


def test_registers_of_all_widths_are_parts_of_sixteen():
    names = "rax ebx cx dl rsi edi bp spl r8 r9d r10w r11b R12 R13D r14w r15b".split()
    test = parse("X86_64 t\n{}\n P0 ;\n" + "".join(f" inc %{name} ;\n" for name in names), "t.litmus")
    assert list(test.registers["P0"]) == [
        "RAX", "RBX", "RCX", "RDX", "RSI", "RDI", "RBP", "RSP", *(f"R{number}" for number in range(8, 16))]


# --- widths (our own: a word of the machine holds any size) -----------------------------------------------------------


@pytest.mark.parametrize("init, instructions, xlen", [
    ("", ["movq $1,(x)", "movl $2,(y)"], 16), ("", ["movl $70000,(x)"], 32), ("", ["movq $0x123456789a,(x)"], 64),
    ("", ["movl $-1,(x)"], 16), ("", ["movl $0xffffffff,(x)"], 16), ("", ["movq $0xffffffff,(x)"], 64),
    ("", ["a: incl (x)", "jmp a"], 32), ("", ["a: incq (x)", "jmp a"], 64), ("", ["addl $30000,(x)"], 32),
    ("", ["addl $3,(x)"], 16),
    ("uint64_t x=0x8000000000000000", ["movq (x),%rax"], 64),
])
def test_the_machine_is_as_wide_as_values_need(init, instructions, xlen):
    test = parse(f"X86_64 t\n{{ {init} }}\n P0 ;\n" + "".join(f" {item} ;\n" for item in instructions), "t.litmus")
    assert test.xlen == xlen


def test_values_are_signed_numbers_and_shown_as_they_are_declared():
    test = parse("X86_64 t\n{ uint8_t x=255; int8_t y=255; uint64_t z=-1; }\n P0 ;\n nop ;\nlocations [x;y;z;]\n"
                 "exists (x=255 /\\ y=-1)", "t.litmus")
    assert test.memory == {"x": -1, "y": -1, "z": -1} and test.asked((-1, -1, -1))
    assert test.shown((-1, -1, -1)) == {"x": 255, "y": -1, "z": (1 << 64) - 1}


# --- refusals ---------------------------------------------------------------------------------------------------------

BODY = "{{ x=0 }}\n P0 | P1 ;\n {} | NOP ;\nexists (x=0)"
AT = "X86_64 a\n" + BODY


@pytest.mark.parametrize("text, line, column, message", [
    # Other architectures and what no machine of this kind can say.
    ("", 1, 1, 'expected a line "X86 NAME" or "X86_64 NAME", not the end of the file'),
    ("X86\n{}\n P0 ;\nexists (x=0)", 1, 1, 'expected a line "X86 NAME" or "X86_64 NAME": the test has no name'),
    ("PPC SB\n{}\n P0 ;\nexists (x=0)", 1, 1, "PPC is another architecture: X86 and X86_64 are supported"),
    ("AArch64 SB\n{}\n P0 ;\nexists (x=0)", 1, 1, "AArch64 is another architecture: X86 and X86_64 are supported"),
    ("hello\n", 1, 1, 'expected a line "X86 NAME" or "X86_64 NAME"'),
    ("X86_64 a\n{ [PTE(x)]=(valid:0); }\n P0 ;\n NOP ;", 2, 4, "page tables are not supported: addresses are fixed"),
    ('X86_64 a\n{ 0:rax=instr:"NOP"; }\n P0 ;\n NOP ;', 2, 9, "self-modifying code is not supported: code is not in memory"),
    ("X86_64 a\n{}\n P0 ;\n L: movq $1,(L) ;", 4, 14, "self-modifying code is not supported: code is not in memory"),
    ("X86_64 a\n{ x=0 }\n P0 ;\n NOP ;\nexists (fault(P0,x))", 5, 9, "faults are not supported: every location may be accessed"),
    (AT.format("movq $1,(x)").replace("NOP", "movl (x),%eax"), 4, 16,
     "mixed sizes are not supported: x is accessed with 64 bits before, and with 32 here"),
    (AT.replace("x=0", "int x=0", 1).format("movq $1,(x)"), 4, 2,
     "mixed sizes are not supported: x is declared with 32 bits, and with 64 here"),
    (AT.format("movq %eax,(x)"), 4, 2, "mixed sizes are not supported: movq has 32 and 64 bits"),
    (AT.format("movzbl (x),%eax"), 4, 2, "mixed sizes are not supported: movzbl has two"),
    (AT.format("movb %ah,(x)"), 4, 7, "%ah is the middle of a register: only low parts are supported"),
    (AT.format("movd %xmm1,%eax"), 4, 2, "movd is not supported: it has its own memory order"),
    (AT.format("movnti %rax,(x)"), 4, 2, "movnti is not supported: it has its own memory order"),
    (AT.format("jmp *(x)"), 4, 6, "a jump to an address is not supported: code is not in memory"),
    ("X86_64 a\n{ int64_t t[2]; 0:rax=t; }\n P0 ;\n movq $1,4(%rax) ;", 4, 10,
     "mixed sizes are not supported: this address is between two locations"),
    # The grammar.
    ("X86 a\n{ x=1", 2, 6, "expected ';' or '}', not the end of the file"),
    ("X86 a\n{ x=1 y=2 }\n P0 ;\nexists (x=0)", 2, 7, "expected ';' or '}', not 'y'"),
    ("X86 a\n{ x=1;; y=2 }\n P0 ;\nexists (x=0)", 2, 7, "expected an initial value or '}', not ';'"),
    ("X86 a (* open\n{}\n P0 ;", 1, 7, "this comment is not closed"),
    ("X86 a\n{}\n P0 ;\n MOV [x],$1 ;;\n", 4, 14, "an empty row: there is one ';' too many"),
    ("X86 a\n" + BODY.format("MOV x"), 4, 6,
     "MOV takes register, constant or register, register or register, memory or memory, constant or memory, register"),
    ("X86 a\n" + BODY.format("MOV [x],[y]"), 4, 6, None),
    ("X86 a\n" + BODY.format("MOV [x] $1"), 4, 10, "expected '|' or ';', not '$1'"),
    ("X86 a\n" + BODY.format("MOVE EAX,[y]"), 4, 2, 'unknown instruction MOVE, did you mean "MOV"?'),
    ("X86 a\n" + BODY.format("MOV [7],$1"), 4, 6, "a number as an address is not supported: name the location"),
    ("X86 a\n" + BODY.format("MOV EAX,[EBX]"), 4, 2,
     "there is no location at the address in EBX: it starts with none, as 0:EBX=x"),
    ("X86 a\n" + BODY.format("MOV TBYTE PTR [x],$1"), 4, 6, "there is no size TBYTE: byte, word, dword or qword"),
    ("X86 a\n" + BODY.format("MOV BYTE PTR [x],$256"), 4, 19, "$256 does not fit 8 bits"),
    ("X86 a\n" + BODY.format("MOV [x],$5000000000"), 4, 10, "$5000000000 does not fit 32 bits"),
    ("X86 a\n" + BODY.format("MOV [x],$1_000"), 4, 10, "$1_000 is not a number"),
    ("X86 a\n" + BODY.format("MOV [x],$abc"), 4, 10, "there is no location abc"),
    ("X86 a\n" + BODY.format("LOCK MOV [x],$1"), 4, 2,
     "LOCK is not allowed before this MOV: only before ADD, SUB, AND, OR, XOR, INC, DEC, XADD, CMPXCHG, XCHG to memory"),
    ("X86 a\n" + BODY.format("JMP away"), 4, 6, "there is no label away in P0"),
    ("X86 a\n" + BODY.format("a: a: NOP"), 4, 5, "a is a label already in P0"),
    ("X86 a\n" + BODY.format("IPI P7"), 4, 6, "there is no thread P7"),
    ("X86 a\n" + BODY.format("IPI P1"), 4, 6, "P1 has no handler: a column H1"),
    ("X86 a\n" + BODY.format("TPR $16"), 4, 6, "TPR takes a class from 0 to 15"),
    ("X86 a\n{ x=5000000000 }\n P0 ;\n MOV EAX,[x] ;", 2, 5, "5000000000 does not fit: x has 32 bits"),
    # Rows and columns.
    ("X86 a\n" + BODY.format("MOV EAX,$1 | NOP | NOP"), 4, 21, None),
    ("X86 a\n{ x=0 }\n P0 | P1 ;\n MOV [x],$1 ;\n", 4, 2,
     "a row of one cell, but there are 2 threads: write '|' between cells, also between empty ones"),
    ("X86 a\n{}\n P1 ;\nexists (x=0)", 3, 2, "expected P0: threads are numbered from 0, handlers (H0) come after them"),
    ("X86 a\n{}\n Q1 ;\nexists (x=0)", 3, 2, "expected a thread (P0), not 'Q1'"),
    ("X86 a\n{}\n P0 | H1 ;\nexists (x=0)", 3, 7, "a handler needs a thread of its own: H0 is the handler of P0"),
    ("X86 a\n{}\n P0 | H0 ;\n | STI ;\nexists (x=0)", 4, 4,
     "STI is not allowed in a handler: it runs with interrupts off to its end"),
    # Names.
    ("X86 a\n{ 4:EAX=1 }\n P0 ;\nexists (x=0)", 2, 3, "there is no P4"),
    ("X86 a\n{ 0:IF=2 }\n P0 ;\nexists (x=0)", 2, 3, "IF is a thread's interrupt flag: 0 or 1"),
    ("X86 a\n{ 0:IF=0; 0:IF=1 }\n P0 ;\nexists (x=0)", 2, 11, "P0:IF already has an initial value"),
    ("X86 a\n{ x=1; x=1 }\n P0 ;\nexists (x=0)", 2, 8, "x already has an initial value"),
    ("X86 a\n{ 0:EAX=1; 0:RAX=2 }\n P0 ;\n", 2, 12, "0:EAX already has an initial value"),
    ("X86 a\n{ int x; int x }\n P0 ;\n", 2, 14, "x is declared already"),
    ("X86 a\n{ itn x }\n P0 ;\n", 2, 3, 'there is no type itn, did you mean "int"?'),
    ("X86 a\n{ double x }\n P0 ;\n", 2, 3, "a location of the type double is not supported: use an integer of at most 64 bits"),
    ("X86 a\n{ int t[2]={1} }\n P0 ;\n", 2, 7, "t has 2 elements, and 1 value"),
    ("X86 a\n{ x=z }\n P0 ;\n", 2, 5, "there is no location z"),
    ("X86 a\n{}\n P0 ;\nexists (0:ZAX=0)", 4, 11, "ZAX is not a register"),
    ("X86 a\n{ x=0 }\n P0 ;\n NOP ;\nexists (typo=0)", 5, 9,
     "there is no location typo: neither an initial value nor an instruction names it"),
    ("X86 a\n{ x=0 }\n P0 ;\n NOP ;\nlocations [y;]", 5, 12, None),
    ("X86 a\n{ x=0 }\n P0 ;\n NOP ;\nfilter y=1\nexists (x=0)", 5, 8, None),
    ("X86 a\n{ int t[2]; }\n P0 ;\n NOP ;\nexists (t=0)", 5, 9, "t is an array: name an element, t[0]"),
    ("X86 a\nMode=pic\n{ x=0 }\n P0 ;\nexists (x=0)", 2, 1, "Mode is xapic, x2apic or both"),
    # The sentence.
    ("X86 a\n{ x=0 }\n P0 ;\nexists (x=0 /\\ )", 4, 16, "expected a location or a register, not ')'"),
    ("X86 a\n{ x=0 }\n P0 ;\nforall x=0 \\/ #", 4, 15, "'#' means nothing here"),
    ("X86 a\n{ x=0 }\n P0 ;\nexists (x)", 4, 10, "expected '=', '==', '<>' or '!=', not ')'"),
    ("X86 a\n{ x=0 }\n P0 ;\nexists (x=0) y", 4, 14, "expected the end of the file, not 'y'"),
    # What the machine knows of flags is a result.
    ("X86 a\n{ x=0 }\n P0 ;\n a: CMP [x],$-1 ;\n JB a ;", 5, 2,
     "JB is not supported here: numbers in P0 may overflow, or be negative"),
    ("X86 a\n{ x=0 }\n P0 ;\n a: INC EAX ;\n JB a ;", 5, 2, "JB is not supported together with INC, which keeps CF"),
])
def test_refusals(text, line, column, message):
    with pytest.raises(InputError) as refusal:
        parse(text, "bad.litmus")
    error = refusal.value
    shown = (text.split("\n") + [""])[line - 1]
    assert str(error) == f"bad.litmus:{line}:{column}: {error.message}\n    {shown}\n    {' ' * (column - 1)}^"
    assert (str(error.file), error.line, error.column) == ("bad.litmus", line, column)
    if message is not None:
        assert error.message == message


def test_a_condition_without_end_is_refused():
    with pytest.raises(InputError, match="nested too deeply") as refusal:
        parse(f"X86 a\n{{ x=0 }}\n P0 ;\nexists {'(' * 9999}x=0{')' * 9999}", "deep.litmus")
    assert refusal.value.line == 4


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_test(tmp_path / "none.litmus")
    (tmp_path / "binary.litmus").write_bytes(b"X86 a\n{ \xff }\n")
    with pytest.raises(InputError, match="binary.litmus:2:3: this is not UTF-8 text"):
        read_test(tmp_path / "binary.litmus")


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.litmus")), ids=lambda path: path.stem)
def test_shipped_tests_are_read(path):
    test = read_test(path)
    assert test.title == test.name == path.stem
