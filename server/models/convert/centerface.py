"""CenterFace as its authors publish it: fixed to ten pictures of 32x32, weights listed as inputs."""

from __future__ import annotations

from server.models.convert.graph import drop_weight_inputs, free_dimensions, parse, serialise


def convert_centerface(data: bytes) -> bytes:
    """CenterFace with any number of pictures of any size (multiples of 32) in a batch."""
    model = parse(data)
    graph = model.graph
    drop_weight_inputs(graph)
    del graph.value_info[:]
    free_dimensions(graph.input[0], {0: "n", 2: "height", 3: "width"})
    for output in graph.output:
        free_dimensions(output, {0: "n", 2: "rows", 3: "columns"})
    return serialise(model)
