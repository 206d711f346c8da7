"""coat_ray: Continuous Audio Thinking (arXiv 2606.18273) for many teams on one Ray cluster."""

__version__ = "0.1.0"
