"""HGGEP (Li et al. 2024) for stbench."""
