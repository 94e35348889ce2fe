"""What a space or an assistant is worth, in numbers."""
