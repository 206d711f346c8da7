"""What answers over HTTP, as Ray Serve applications."""
