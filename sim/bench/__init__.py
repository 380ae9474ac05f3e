"""Measurements of the engines."""
