"""Networks on a GPU: one thread owns the device, everybody else hands it batches."""
