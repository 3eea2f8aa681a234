"""A network learns to tell drawn people apart, and a real server recognises them with it."""
