"""The page at ``/ui``: upload audio, ask, look inside the thinking block. An HTTP client of ``serve/``, no model code."""
