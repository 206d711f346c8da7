"""The OpenAI API on Ray Serve: doors that take requests in, and replicas of the engine that answer them."""
