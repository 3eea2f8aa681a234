"""Model folders: the default catalogue, fetching, converting, verifying."""
