"""SoundWorld: a seeded, synthetic world of sounds with known facts and questions about them."""
