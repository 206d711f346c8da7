"""Experts as Ray Data actor pools, alignment to the block, and the target store."""
