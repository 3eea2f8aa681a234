"""Networks: tensors in, tensors out. Knows nothing of faces."""
