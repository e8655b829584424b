"""HisToGene (Pang, Su, Li 2021) for stbench."""
