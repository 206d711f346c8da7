"""What hosted models bear: load, batches, adapters, modes of thinking, a replica that dies."""
