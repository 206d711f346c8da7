"""The engine behind the HTTP API of OpenAI, so that the world's clients can ask it."""
