"""What panels draw: figures from plain data, without Gradio."""
