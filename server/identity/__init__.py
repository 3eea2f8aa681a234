"""Who is it: the store, the index, the gallery and the rules of a match."""
