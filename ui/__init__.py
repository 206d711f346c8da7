"""The page at ``/ui``: upload audio, ask, look inside the thinking block. A client of ``serve/``, no model code."""
