"""The networks: each is an `nn.Sequential` whose children are the rows of its table."""
