"""One panel of the page a file."""
