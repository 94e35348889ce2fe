"""How a model becomes a space: fetched, converted, compared with its library, written."""
