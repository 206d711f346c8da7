"""The platform's routes, one file for each kind of thing."""
