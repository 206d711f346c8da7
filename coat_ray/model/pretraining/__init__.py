"""How the embedded Qwen2-Audio is made from nothing: its layout, its lessons, its training."""
