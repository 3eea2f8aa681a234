"""Engines: networks compiled for a GPU ahead of time, kept in a cache that holds nothing from elsewhere."""
