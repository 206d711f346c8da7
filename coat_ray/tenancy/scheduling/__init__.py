"""The scheduling decision: who may run now, who waits and why, who is asked to yield. Pure functions of plain data."""
