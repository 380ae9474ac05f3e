"""Block RAMs without the logic that makes a collision of reading and writing well defined.

A block RAM of an iCE40 or ECP5 leaves undefined what a port reads while the other one writes the same word. Where the design
defines it, Yosys builds a comparison of the addresses and a register beside the RAM.

Two memories of a Tile do not need that, because what they read in such a clock is never used: the microcode store is written only
while ``run`` is low, and the private stack has ``settling`` high in the clock after a push. The arena's port is transparent, and
stays as it is.
"""

__all__ = ["FORGET_COLLISIONS"]

#: A command for Yosys, before synthesis: it leaves to the RAM what these two memories read in a collision. It finds them by their
#: names in ``rtl/core/core.py`` and ``rtl/core/stack.py``.
FORGET_COLLISIONS = (r"setparam -set COLLISION_X_MASK 1'1 t:$memrd_v2 r:TRANSPARENCY_MASK=1'0 %i "
                     r"r:MEMID=\\microcode r:MEMID=\\words %u %i")
