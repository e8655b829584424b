"""PixNet (Zhang, Yang, Pan 2025) for stbench."""
