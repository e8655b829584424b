"""Readers of the layouts slides are published in."""
