"""The parts of a Monitor."""
