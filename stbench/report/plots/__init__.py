"""Figures for papers: matplotlib, vector where possible, the page's colours."""
