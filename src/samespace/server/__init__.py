"""One local process that speaks OpenAI's shapes; bound to 127.0.0.1 unless told otherwise."""
