"""What no score tells: time, what hidden states hold, what stands in a block."""
