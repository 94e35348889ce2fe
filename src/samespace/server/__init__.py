"""The local server: an API in OpenAI's shapes, the pages, and an MCP server."""
