"""Frozen audio experts (teachers), one file each."""
