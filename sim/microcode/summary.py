"""An image as plain data, for ``crosscall asm --json``."""

__all__ = ["summary"]


def summary(image):
    """Everything in an Image that a script may want."""
    return {
        "path": str(image.path),
        "title": image.title,
        "n_cores": image.n_cores,
        "xlen": image.xlen,
        "words": [f"{word:012x}" for word in image.words],
        "symbols": image.symbols,
        "entries": sorted(image.entries),
        "objects": [{"name": item.name, "type": item.type.name, "address": item.address, "words": item.type.size}
                    for item in image.objects],
        "structs": {name: {field.path: field.offset for field in kind.fields} for name, kind in image.structs.items()},
        "constants": image.constants,
        "arena": {str(address): value for address, value in sorted(image.arena.items())},
        "warnings": {str(address): {"name": name, "sentence": sentence} for address, (name, sentence) in image.warnings.items()},
        "names": {name: list(addresses) for name, addresses in image.names.items()},
        "heap": image.heap,
    }
