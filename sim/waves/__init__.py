"""Waves: the one VCD writer, GTKWave save files and filters, and VCD read back."""
