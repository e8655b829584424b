"""ST-GCHB (Chi et al. 2024) for stbench."""
