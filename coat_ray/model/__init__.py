"""The student: backbone, thinking block, projection heads, losses, generation."""
