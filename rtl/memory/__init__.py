"""The shared memory: port, arbiter, and the arena with its atomic unit."""
