"""Logs and metrics. No names, embeddings, images or tokens appear in either."""
