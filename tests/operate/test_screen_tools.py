"""A screen as MCP tools, through the SDK's own client over stdio."""

import json
import os
import sys

import anyio
import pytest
from chromium import needs_chromium
from mcp import Client, StdioServerParameters
from pages import pages

from samespace.media import ocr

pytestmark = [*needs_chromium, pytest.mark.skipif(ocr.reader() is None, reason="no reader of text; install the extra ocr")]


def test_a_page_is_opened_looked_at_and_acted_on(tmp_path):
    async def call(address: str):
        arguments = ["-m", "samespace", "mcp", "-l", str(tmp_path / "library"), "--operate", address]
        async with Client(StdioServerParameters(command=sys.executable, args=arguments, env=dict(os.environ))) as client:
            tools = {tool.name: tool for tool in (await client.list_tools()).tools}
            early = await client.call_tool("look", {})
            elsewhere = await client.call_tool("open_page", {"url": "http://example.invalid/"})
            opened = await client.call_tool("open_page", {"url": f"{address}/form"})
            seen = await client.call_tool("look", {})
            mark = next(mark for mark in places(seen) if mark["text"] == "Help")
            helped = await client.call_tool("act", {"action": {"action": "click", "x": mark["x"], "y": mark["y"]}})
            send = next(mark for mark in places(seen) if mark["text"] == "Send")
            refused = await client.call_tool("act", {"action": {"action": "click", "x": send["x"], "y": send["y"]}})
            nonsense = await client.call_tool("act", {"action": {"action": "fly"}})
            done = await client.call_tool("operate_page", {"task": "Press Help"})
            return tools, early, elsewhere, opened, seen, helped, refused, nonsense, done

    def places(seen):
        return json.loads(seen.content[1].text)["marks"]

    with pages() as address:
        tools, early, elsewhere, opened, seen, helped, refused, nonsense, done = anyio.run(call, address)
    assert {"look", "open_page", "act", "operate_page", "search"} <= set(tools) and tools["act"].annotations.destructive_hint
    assert early.is_error and "no page is open" in early.content[0].text
    assert elsewhere.is_error and "http://example.invalid is not allowed" in elsewhere.content[0].text
    assert opened.structured_content["width"] == 1280 and seen.content[0].type == "image"
    assert helped.structured_content["done"].startswith("click at")
    assert refused.is_error and "nobody agreed to" in refused.content[0].text
    assert nonsense.is_error and "is no action" in nonsense.content[0].text
    assert done.structured_content["reached"]
