"""Arrays in, model input out: the preprocessing that travels with a space. numpy and Pillow only."""
