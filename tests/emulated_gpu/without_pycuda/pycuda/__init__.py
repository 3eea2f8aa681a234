"""In the place of pycuda, where a process is to do without it."""

raise ImportError("pycuda is hidden")
