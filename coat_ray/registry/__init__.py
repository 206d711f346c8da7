"""Records of runs and models, with their lineage."""
