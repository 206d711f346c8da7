"""Sweeps: many trainings that answer one question, and the report of what came out."""
