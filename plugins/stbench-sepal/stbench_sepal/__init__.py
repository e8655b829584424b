"""SEPAL (Mejia et al. 2023) and its controls for stbench."""
