"""Published weights become ONNX files that every runtime loads, with a free batch dimension."""
