"""ST-Net (He et al. 2020) for stbench."""
