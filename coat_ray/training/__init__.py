"""Two-stage training with Ray Train and DeepSpeed."""
