"""Photographs of people, and the batches that are drawn from them."""
