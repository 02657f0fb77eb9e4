"""ONNX files, operator by operator, lowered to ReLU networks."""
