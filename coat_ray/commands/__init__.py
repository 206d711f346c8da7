"""The verbs of ``coat``, one file per group. At import only typer; what is heavy is imported when a verb runs."""
