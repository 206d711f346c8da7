"""The second engine: the same requests in front of vLLM, with its continuous batching and paged attention."""
