"""What the tests of litmus tests share."""

from sim.litmus.parser import parse

__all__ = ["SINGLE", "SINGLE_64", "litmus_test", "single", "single_64"]


def litmus_test(text, name="sample"):
    """The LitmusTest of a text without its first line."""
    return parse(f"X86 {name}\n{text}", f"{name}.litmus")


def single(init, instructions, *observed):
    """A test of one thread."""
    rows = "".join(f" {instruction} ;\n" for instruction in instructions)
    return litmus_test(f"{{ {init} }}\n P0 ;\n{rows}locations [{' '.join(f'{item};' for item in observed)}]\nexists (true)\n")


def single_64(init, instructions, *observed):
    """The same for X86_64."""
    rows = "".join(f" {instruction} ;\n" for instruction in instructions)
    shown = " ".join(f"{item};" for item in observed)
    return parse(f"X86_64 sample\n{{ {init} }}\n P0 ;\n{rows}locations [{shown}]\nexists (true)\n", "sample.litmus")


#: (start values, instructions, final values): what x86 says that each instruction does, on words of 32 bits.
SINGLE = [
    ("", ["MOV EAX,$5", "MOV EBX,EAX"], {"0:EAX": 5, "0:EBX": 5}),
    ("x=7", ["MOV EAX,[x]", "MOV [y],EAX", "MOV [z],$63", "MOV [w],$64"], {"0:EAX": 7, "y": 7, "z": 63, "w": 64}),
    ("", ["MOV [x],$1", "MOV [x],$2", "MOV [y],$3", "MOV EAX,[x]", "MOV EBX,[y]"], {"0:EAX": 2, "0:EBX": 3}),
    ("x=7; 0:EAX=5", ["XCHG [x],EAX"], {"0:EAX": 5 + 2, "x": 5}),
    ("x=7; 0:EAX=5", ["XCHG EAX,[x]"], {"0:EAX": 7, "x": 5}),
    ("0:EAX=5; 0:EBX=6", ["XCHG EAX,EBX"], {"0:EAX": 6, "0:EBX": 5}),
    ("0:EAX=5", ["ADD EAX,$3", "MOV EBX,EAX", "SUB EBX,$9"], {"0:EAX": 8, "0:EBX": -1}),
    ("x=3; 0:EAX=5", ["ADD EAX,[x]", "SUB [x],EAX"], {"0:EAX": 8, "x": -5}),
    ("x=12; y=12; z=12; 0:EAX=10", ["AND [x],EAX", "OR [y],EAX", "XOR [z],$10"], {"x": 8, "y": 14, "z": 6}),
    ("0:EAX=12; 0:EBX=12; 0:ECX=12", ["AND EAX,$10", "OR EBX,$10", "XOR ECX,$10"], {"0:EAX": 8, "0:EBX": 14, "0:ECX": 6}),
    ("x=9; 0:EAX=0", ["INC [x]", "DEC EAX", "DEC [y]", "INC EBX"], {"x": 10, "0:EAX": -1, "y": -1, "0:EBX": 1}),
    ("x=9; y=9; 0:EAX=4", ["LOCK ADD [x],EAX", "LOCK SUB [y],EAX"], {"x": 13, "y": 5, "0:EAX": 4}),
    ("x=9; y=9; z=12; w=12", ["LOCK INC [x]", "LOCK DEC [y]", "LOCK AND [z],$10", "LOCK OR [w],$10"],
     {"x": 10, "y": 8, "z": 8, "w": 14}),
    ("x=9; y=0", ["LOCK SUB [x],$10", "LOCK ADD [y],$65535"], {"x": -1, "y": 65535}),
    ("x=9; 0:EBX=4", ["LOCK XADD [x],EBX"], {"x": 13, "0:EBX": 9}),
    ("x=9; 0:EAX=9; 0:EBX=4", ["LOCK CMPXCHG [x],EBX"], {"x": 4, "0:EAX": 9, "0:EBX": 4}),
    ("x=8; 0:EAX=9; 0:EBX=4", ["LOCK CMPXCHG [x],EBX"], {"x": 8, "0:EAX": 8, "0:EBX": 4}),
    ("", ["MFENCE", "LFENCE", "SFENCE", "NOP", "MOV [x],$1", "MFENCE", "MOV EAX,[x]"], {"0:EAX": 1, "x": 1}),
    # Jumps: what they look at, and where they go. EBX counts what is executed.
    ("0:EAX=1", ["CMP EAX,$1", "JE yes", "INC EBX", "yes: NOP"], {"0:EBX": 0}),
    ("0:EAX=1", ["CMP EAX,$2", "JZ yes", "INC EBX", "yes:"], {"0:EBX": 1}),
    ("x=3", ["CMP [x],$3", "JNE yes", "INC EBX", "yes: INC EBX"], {"0:EBX": 2}),
    ("x=3; 0:EAX=4", ["CMP EAX,[x]", "JNZ yes", "INC EBX", "yes: INC EBX"], {"0:EBX": 1}),
    ("x=3", ["again: INC EBX", "DEC [x]", "JNE again"], {"0:EBX": 3, "x": 0}),
    ("x=3", ["again: INC EBX", "LOCK DEC [x]", "JNE again"], {"0:EBX": 3, "x": 0}),
    ("x=2; 0:EAX=2", ["LOCK SUB [x],EAX", "JE yes", "INC EBX", "yes:"], {"0:EBX": 0, "x": 0}),
    ("x=9; 0:EAX=9; 0:ECX=4", ["LOCK CMPXCHG [x],ECX", "JE yes", "INC EBX", "yes:"], {"0:EBX": 0, "x": 4}),
    ("x=8; 0:EAX=9; 0:ECX=4", ["LOCK CMPXCHG [x],ECX", "JE yes", "INC EBX", "yes:"], {"0:EBX": 1, "x": 8}),
    ("x=1; 0:ECX=4294967295", ["LOCK XADD [x],ECX", "JE yes", "INC EBX", "yes:"], {"0:EBX": 0, "0:ECX": 1, "x": 0}),
    ("0:EAX=1", ["CMP EAX,$1", "MOV EAX,$7", "MOV [x],$99", "JE yes", "INC EBX", "yes:"], {"0:EBX": 0, "0:EAX": 7, "x": 99}),
    ("", ["JMP yes", "INC EBX", "yes:"], {"0:EBX": 0}),
    ("0:EAX=1", ["RET", "INC EAX"], {"0:EAX": 1}),
    # Without LOCK, and what has no microword of its own.
    ("x=9; 0:EBX=4", ["XADD [x],EBX"], {"x": 13, "0:EBX": 9}), ("x=9; 0:EBX=4", ["UXCH [x],EBX"], {"x": 4, "0:EBX": 9}),
    ("x=9; 0:EAX=9; 0:EBX=4", ["CMPXCHG [x],EBX"], {"x": 4, "0:EAX": 9}),
    ("x=8; 0:EAX=9; 0:EBX=4", ["CMPXCHG [x],EBX"], {"x": 8, "0:EAX": 8}),
    ("x=12; 0:EAX=10", ["LOCK XOR [x],EAX", "LOCK XOR [y],$3"], {"x": 6, "y": 3, "0:EAX": 10}),
    ("x=5; 0:EAX=7", ["NEG [x]", "NOT EAX", "NEG EAX", "NOT [y]"], {"x": -5, "0:EAX": 8, "y": -1}),
    ("0:EAX=6", ["TEST EAX,$9", "JZ yes", "INC EBX", "yes: TEST EAX,$2", "JNZ no", "INC EBX", "no:"], {"0:EAX": 6, "0:EBX": 0}),
    # Signs: EBX is 1 for each jump that is taken.
    *(("0:EAX=3", [f"CMP EAX,${other}", f"J{jump} yes", "JMP no", "yes: INC EBX", "no:"], {"0:EBX": taken})
      for jump, takes in {"L": (0, 0, 1), "LE": (0, 1, 1), "G": (1, 0, 0), "GE": (1, 1, 0), "S": (0, 0, 1), "NS": (1, 1, 0),
                          "B": (0, 0, 1), "AE": (1, 1, 0), "BE": (0, 1, 1), "A": (1, 0, 0)}.items()
      for other, taken in zip((2, 3, 4), takes, strict=True) if jump in ("L", "LE", "G", "GE", "S", "NS")),
    ("0:EAX=3; 0:ECX=7", ["CMP EAX,$4", "CMOVC EDX,ECX", "SETNB AL"], {"0:EDX": 7, "0:EAX": 0}),
    ("0:EAX=3; x=7", ["CMP EAX,$2", "CMOVE EDX,[x]", "CMOVA ESI,[x]", "SETNB [y]"], {"0:EDX": 0, "0:ESI": 7, "y": 1}),
    # More registers than a core has: of the first, only the values at the end are asked for.
    ("x=1; y=2", [f"MOV {name},[{place}]" for name, place in zip(
        "EAX EBX ECX EDX ESI EDI EBP R8D R9D R10D".split(), "xyxyxyxyxy", strict=True)],
     {"0:EAX": 1, "0:EBX": 2, "0:ESI": 1, "0:R10": 2, "0:R9": 1}),
    # And all are needed again.
    ("x=1", [*(f"MOV R{number}D,${number}" for number in range(8, 16)), *(f"ADD R{number}D,[x]" for number in range(8, 16))],
     {f"0:R{number}": number + 1 for number in range(8, 16)}),
    ("x=2", [*(f"MOV R{number}D,${number}" for number in range(8, 16)), "a: ADD R8D,R15D", "ADD R9D,R14D", "DEC [x]", "JNE a"],
     {"0:R8": 38, "0:R9": 37, "0:R13": 13, "x": 0}),
    # Large numbers.
    ("x=-70000; 0:EAX=2000000000", ["ADD EAX,$2000000000", "SUB [x],$-80000", "XOR [y],$-559038737", "MOV [z],$-1"],
     {"0:EAX": 4000000000 - 2**32, "x": 10000, "y": -559038737, "z": -1}),
    ("x=2147483647", ["INC [x]", "JS yes", "INC EBX", "yes: MOV EAX,[x]"], {"x": -2**31, "0:EBX": 0, "0:EAX": -2**31}),
]

#: The same for X86_64.
SINGLE_64 = [
    ("uint64_t x=0x7fffffffffffffff", ["incq (x)", "movq (x),%rax", "subq $1,%rax"], {"x": -2**63, "0:rax": 2**63 - 1}),
    ("0:rax=0x123456789abcdef", ["movq %rax,(x)", "addq $-1,(x)", "xorq $0x10,%rax"],
     {"x": 0x123456789abcdee, "0:rax": 0x123456789abcdff}),
    ("p=x; x=5; y=6", ["movq (p),%rax", "movq (%rax),%rbx", "movq $y,%rax", "movq (%rax),%rcx", "movq $9,(%rax)",
                       "lock addq $1,(%rax)"],
     {"0:rbx": 5, "0:rcx": 6, "y": 10}),
    ("int64_t t[3]={4,5,6}; 0:rsi=t", ["movq 8(%rsi),%rax", "movq $1,%rbx", "movq 8(%rsi,%rbx,8),%rcx", "movq %rcx,(%rsi,%rbx,8)"],
     {"0:rax": 5, "0:rcx": 6, "t[1]": 6}),
]
