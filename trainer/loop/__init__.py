"""Training: one step, many steps, and what is written down about them."""
