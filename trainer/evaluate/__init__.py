"""How good embeddings are: pure functions from distances, embeddings and labels to figures."""
