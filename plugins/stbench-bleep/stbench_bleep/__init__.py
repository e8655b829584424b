"""BLEEP (Xie et al. 2023) for stbench."""
