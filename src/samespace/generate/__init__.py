"""Pictures from vectors and words: rectified flow in ONNX Runtime, and what steers it."""
