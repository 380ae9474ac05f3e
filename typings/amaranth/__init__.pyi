# What a type checker is told of Amaranth, whose enumerations it cannot follow. Of everything else here it knows nothing.
from typing import Any

def __getattr__(name: str) -> Any: ...
