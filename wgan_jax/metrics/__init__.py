"""Distances between distributions, and measures of samples that need more than one."""
