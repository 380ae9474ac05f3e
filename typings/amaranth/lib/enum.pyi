import enum
from typing import Any

class Enum(enum.Enum):  # type: ignore[misc]  # it has no members
    def __init_subclass__(cls, *, shape: Any = ..., view_class: Any = ..., **kwargs: Any) -> None: ...
    @classmethod
    def as_shape(cls) -> Any: ...
