"""llama-server and Ollama, by small stand-ins of both: they are found, started, asked, and stopped again."""

import json
import os
import stat
import subprocess
import sys
import time

import pytest

from samespace.assistant import local_server
from samespace.assistant.open import open_assistant
from samespace.core.errors import UnknownAssistant

PROGRAM = f"""#!{sys.executable}
import json, os, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
arguments = sys.argv[1:]
open(os.environ["LOG"], "a").write(json.dumps([os.getpid(), *arguments]) + "\\n")
if "broken.gguf" in " ".join(arguments):
    sys.exit("error: it is not a model")
port = int(arguments[arguments.index("--port") + 1]) if "--port" in arguments else int(os.environ["OLLAMA_PORT"])


class Answer(BaseHTTPRequestHandler):
    def log_message(self, *_): pass

    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"ok")

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        pictures = sum(part["type"] == "image_url" for m in asked["messages"] if isinstance(m["content"], list) for part in m["content"])
        said = f"{{asked['model']}} sees {{pictures}}"
        self.send_response(200); self.send_header("Content-Type", "text/event-stream"); self.end_headers()
        chunk = {{"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "m",
                 "choices": [{{"index": 0, "delta": {{"content": said}}, "finish_reason": None}}]}}
        self.wfile.write(b"data: " + json.dumps(chunk).encode() + b"\\n\\ndata: [DONE]\\n\\n")


HTTPServer(("127.0.0.1", port), Answer).serve_forever()
"""
SCRIPT = """
import os, sys
from samespace.assistant.open import open_assistant
from samespace.assistant.request import Picture, question
os.environ["OLLAMA_HOST"] = sys.argv[3]
print(open_assistant(sys.argv[1]).answer(question("What?", [Picture.read(sys.argv[2])])).text)
"""


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """A folder on the path with both programs, and the log of their starts."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("llama-server", "ollama"):
        (folder / name).write_text(PROGRAM)
        (folder / name).chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("LOG", str(tmp_path / "log"))
    monkeypatch.setenv("OLLAMA_PORT", str(local_server._free_port()))
    (tmp_path / "log").touch()
    return tmp_path


def ask(name, photographs, programs):
    """Ask in a process of its own, and return what it says and the commands that were started."""
    address = f"http://127.0.0.1:{os.environ['OLLAMA_PORT']}"
    command = [sys.executable, "-c", SCRIPT, name, str(photographs / "coffee.png"), address]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return said, [json.loads(line) for line in (programs / "log").read_text().splitlines()]


def ended(pid):
    """Whether a process ends soon."""
    for _ in range(50):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


def test_a_gguf_with_its_image_tower_runs_in_llama_server(programs, photographs):
    (programs / "Qwen3-VL-2B.gguf").touch()
    (programs / "mmproj-Qwen3-VL-2B.gguf").touch()
    said, started = ask(str(programs / "Qwen3-VL-2B.gguf"), photographs, programs)
    ((pid, *arguments),) = started
    assert said == "Qwen3-VL-2B sees 1"
    assert arguments[arguments.index("--mmproj") + 1].endswith("mmproj-Qwen3-VL-2B.gguf") and "127.0.0.1" in arguments
    assert ended(pid)


def test_ollama_is_started_only_where_it_does_not_run(programs, photographs):
    said, started = ask("ollama:qwen3-vl", photographs, programs)
    assert said == "qwen3-vl sees 1" and [command[1:] for command in started] == [["serve"]] and ended(started[0][0])
    running = subprocess.Popen([str(programs / "bin/ollama"), "serve"])
    try:
        while not local_server._answers(f"http://127.0.0.1:{os.environ['OLLAMA_PORT']}"):
            time.sleep(0.1)
        said, started = ask("ollama:llava", photographs, programs)
        assert said == "llava sees 1" and len(started) == 2 and running.poll() is None
    finally:
        running.kill()
        running.wait()


def test_what_does_not_start_or_is_not_there(programs, monkeypatch):
    with pytest.raises(UnknownAssistant, match="it is not a model"):
        open_assistant(str(programs / "broken.gguf"))
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")
    with pytest.raises(UnknownAssistant, match=r"install llama\.cpp"):
        open_assistant(str(programs / "model.gguf"))
    with pytest.raises(UnknownAssistant, match="Ollama is not installed"):
        open_assistant("ollama:llava")


@pytest.mark.parametrize(
    ("named", "address"),
    [
        ("", "http://127.0.0.1:11434"), ("0.0.0.0", "http://127.0.0.1:11434"), (":8080", "http://127.0.0.1:8080"),
        ("http://box:80", "http://box:80"), ("192.168.1.5", "http://192.168.1.5:11434"),
        ("[::]:11434", "http://[::1]:11434"), ("[::1]", "http://[::1]:11434"), ("https://box", "https://box:443"), ("http://box", "http://box:80"),
    ],
)  # fmt: skip
def test_ollama_is_where_its_variable_says(monkeypatch, named, address):
    monkeypatch.setenv("OLLAMA_HOST", named)
    assert local_server.ollama_address() == address


@pytest.mark.parametrize("named", ["127.0.0.1:abc", "host:99999", "http://[::1"])
def test_a_variable_that_is_no_address_is_one_sentence(monkeypatch, named):
    monkeypatch.setenv("OLLAMA_HOST", named)
    with pytest.raises(UnknownAssistant, match="is no address"):
        local_server.ollama_address()


def test_the_image_tower_of_several_is_that_of_the_model(tmp_path):
    for name in ("mmproj-gemma-3-4b-f16.gguf", "mmproj-qwen3-vl-4b-f16.gguf", "gemma-3-4b-Q4.gguf", "qwen3-vl-4b-Q4.gguf"):
        (tmp_path / name).touch()
    assert local_server.image_tower_of(tmp_path / "qwen3-vl-4b-Q4.gguf").name == "mmproj-qwen3-vl-4b-f16.gguf"
