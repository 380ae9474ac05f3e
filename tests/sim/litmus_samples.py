"""What the tests of litmus tests share."""

from sim.litmus.parser import parse

__all__ = ["SINGLE", "litmus_test", "single"]


def litmus_test(text, name="sample"):
    """The LitmusTest of a text without its first line."""
    return parse(f"X86 {name}\n{text}", f"{name}.litmus")


def single(init, instructions, *observed):
    """A test of one thread."""
    rows = "".join(f" {instruction} ;\n" for instruction in instructions)
    return litmus_test(f"{{ {init} }}\n P0 ;\n{rows}locations [{' '.join(f'{item};' for item in observed)}]\nexists (true)\n")


#: (start values, instructions, final values): what x86 says that each instruction does, on words of 16 bits.
SINGLE = [
    ("", ["MOV EAX,$5", "MOV EBX,EAX"], {"0:EAX": 5, "0:EBX": 5}),
    ("x=7", ["MOV EAX,[x]", "MOV [y],EAX", "MOV [z],$63", "MOV [w],$64"], {"0:EAX": 7, "y": 7, "z": 63, "w": 64}),
    ("", ["MOV [x],$1", "MOV [x],$2", "MOV [y],$3", "MOV EAX,[x]", "MOV EBX,[y]"], {"0:EAX": 2, "0:EBX": 3}),
    ("x=7; 0:EAX=5", ["XCHG [x],EAX"], {"0:EAX": 5 + 2, "x": 5}),
    ("x=7; 0:EAX=5", ["XCHG EAX,[x]"], {"0:EAX": 7, "x": 5}),
    ("0:EAX=5; 0:EBX=6", ["XCHG EAX,EBX"], {"0:EAX": 6, "0:EBX": 5}),
    ("0:EAX=5", ["ADD EAX,$3", "MOV EBX,EAX", "SUB EBX,$9"], {"0:EAX": 8, "0:EBX": 0xFFFF}),
    ("x=3; 0:EAX=5", ["ADD EAX,[x]", "SUB [x],EAX"], {"0:EAX": 8, "x": 0xFFFB}),
    ("x=12; y=12; z=12; 0:EAX=10", ["AND [x],EAX", "OR [y],EAX", "XOR [z],$10"], {"x": 8, "y": 14, "z": 6}),
    ("0:EAX=12; 0:EBX=12; 0:ECX=12", ["AND EAX,$10", "OR EBX,$10", "XOR ECX,$10"], {"0:EAX": 8, "0:EBX": 14, "0:ECX": 6}),
    ("x=9; 0:EAX=0", ["INC [x]", "DEC EAX", "DEC [y]", "INC EBX"], {"x": 10, "0:EAX": 0xFFFF, "y": 0xFFFF, "0:EBX": 1}),
    ("x=9; y=9; 0:EAX=4", ["LOCK ADD [x],EAX", "LOCK SUB [y],EAX"], {"x": 13, "y": 5, "0:EAX": 4}),
    ("x=9; y=9; z=12; w=12", ["LOCK INC [x]", "LOCK DEC [y]", "LOCK AND [z],$10", "LOCK OR [w],$10"],
     {"x": 10, "y": 8, "z": 8, "w": 14}),
    ("x=9; y=0", ["LOCK SUB [x],$10", "LOCK ADD [y],$65535"], {"x": 0xFFFF, "y": 0xFFFF}),
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
    ("x=1; 0:ECX=65535", ["LOCK XADD [x],ECX", "JE yes", "INC EBX", "yes:"], {"0:EBX": 0, "0:ECX": 1, "x": 0}),
    ("0:EAX=1", ["CMP EAX,$1", "MOV EAX,$7", "MOV [x],$99", "JE yes", "INC EBX", "yes:"], {"0:EBX": 0, "0:EAX": 7, "x": 99}),
    ("", ["JMP yes", "INC EBX", "yes:"], {"0:EBX": 0}),
]
