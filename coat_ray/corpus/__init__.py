"""Corpora: manifests of clips and conversations, mixtures, and the embedded SoundWorld."""
