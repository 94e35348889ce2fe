"""The MCP server, through the SDK's own client over stdio."""

import os
import sys

import anyio
import pytest
from mcp import Client, StdioServerParameters

from samespace.library.library import Library


@pytest.fixture
def server(tmp_path, tiny_space_folder, tiny_folder, photographs):
    library = Library(tmp_path / "library", tiny_space_folder)
    library.add([photographs / name for name in ("chelsea.png", "coffee.png")])
    arguments = ["-m", "samespace", "mcp", "-l", str(tmp_path / "library"), "-a", str(tiny_folder)]
    return StdioServerParameters(command=sys.executable, args=arguments, env=dict(os.environ))


def test_search_ask_and_classify(server, photographs):
    cat = str(photographs / "chelsea.png")

    async def call_tools():
        async with Client(server) as client:
            tools = (await client.list_tools()).tools
            hits = await client.call_tool("search", {"query": "a cat", "top": 1})
            filtered = await client.call_tool("search", {"where": "name:coff kind:image"})
            unclear = await client.call_tool("search", {"query": "a cat yeer:2019 year:20x9"})
            about_file = await client.call_tool("ask", {"text": "What?", "paths": [cat], "max_tokens": 4})
            about_library = await client.call_tool("ask", {"text": "What?", "max_tokens": 4})
            ratios = await client.call_tool("classify", {"path": cat, "labels": ["a cat", "a dog"]})
            too_much = [
                await client.call_tool("search", {"query": "a cat", "top": 10**9}),
                await client.call_tool("search", {"query": "cat " * 10_000}),
                await client.call_tool("classify", {"path": cat, "labels": ["a cat"] * 100_000}),
                await client.call_tool("ask", {"text": "What?", "max_tokens": 10**9}),
            ]
            refused = [
                await client.call_tool(name, {"path": "/etc/passwd", "paths": ["/etc/passwd"], "text": "x", "labels": ["a"]})
                for name in ("ask", "classify")
            ]
            refused.append(await client.call_tool("learn", {"name": "secret", "paths": ["/etc/passwd"]}))
            taught = await client.call_tool("learn", {"name": "Chelsea", "paths": [cat]})
            assert taught.structured_content == {"name": "Chelsea", "examples": 1, "against": 0}
            for name in ("overview", "duplicates"):
                assert not (await client.call_tool(name, {})).is_error, name
            return tools, hits, filtered, unclear, about_file, about_library, ratios, too_much, refused

    tools, hits, filtered, unclear, about_file, about_library, ratios, too_much, refused = anyio.run(call_tools)
    assert {tool.name for tool in tools} == {"search", "overview", "duplicates", "learn", "ask", "classify"}
    assert all(tool.annotations.read_only_hint == (tool.name != "learn") and tool.description for tool in tools)
    assert len(hits.structured_content["result"]) == 1
    (only,) = filtered.structured_content["result"]
    assert only["path"].endswith("coffee.png") and unclear.is_error and "'20x9' is not a date" in unclear.content[0].text
    assert about_file.structured_content["pictures"] == [cat]
    assert len(about_library.structured_content["pictures"]) == 2
    assert sum(ratios.structured_content.values()) == pytest.approx(1, abs=1e-3)
    assert all(answer.is_error for answer in too_much)
    for answer in refused:
        assert answer.is_error
        assert "/etc/passwd is not in the library" in answer.content[0].text
