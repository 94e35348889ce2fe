"""Arrays in, model input out: the preprocessing that travels with a space. NumPy and Pillow only."""
