"""Answers for many callers at once: one base model in memory, many adapters on it, one running batch."""
