"""How a written answer becomes right or wrong, or a score."""
