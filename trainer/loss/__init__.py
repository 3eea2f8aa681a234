"""The triplet loss, which triplets it looks at, and what to do when it fails."""
