"""The assembler, the image it makes, and the protocols' sources."""
