"""The shape of the code: folders import one way, heavy libraries have one home, functions stay short, words are the field's."""

import ast
import io
import re
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "src" / "samespace"
SOURCES = {path.relative_to(ROOT): path.read_text("utf-8") for path in sorted(ROOT.rglob("*.py"))}
TREES = {path: ast.parse(source) for path, source in SOURCES.items()}
ROOMS = (  # a room imports only from those before it
    "core", "media", "models", "preprocess", "spaces", "library", "generate", "assistant", "operating", "evaluate", "train", "explain", "course",
    "server", "cli",
)  # fmt: skip
HOMES = {  # a heavy library → the only places that import it
    "torch": (
        "models/",
        "spaces/",
        "train/",
        "generate/export.py",
        "generate/guidance.py",
        "generate/native.py",
        "generate/stable_diffusion.py",
        "generate/strokes.py",
        "assistant/",
        "explain/",
        "evaluate/",
    ),
    "onnx": ("spaces/convert/onnx.py", "spaces/convert/export.py", "spaces/convert/quantize.py"),
    "onnxruntime": ("spaces/",),
    "diffusers": ("generate/stable_diffusion.py",),
    "lark": ("library/search/where.py",),
    "lancedb": ("library/store/lance.py",),
    "obstore": ("library/store/storage.py",),
    "pyarrow": ("library/store/", "train/sources.py"),
    "av": ("media/audio.py", "media/subtitles.py", "media/video.py"),
    "charset_normalizer": ("media/text_file.py",),
    "pylibjxl": ("media/image.py",),
    "pysubs2": ("media/subtitles.py",),
    "send2trash": ("library/trash.py",),
    "pypdfium2": ("media/pdfium.py",),
    "rapidocr": ("media/ocr.py",),
    "faster_whisper": ("media/speech.py",),
    "rawpy": ("media/image.py",),
    "huggingface_hub": ("spaces/convert/hub.py",),
    "typer": ("cli/",),
    "rich": ("cli/",),
    "matplotlib": ("train/metrics.py",),
    "peft": ("spaces/convert/adapters.py", "train/adapters.py"),
    "openTSNE": ("library/search/space_map.py",),
    "sklearn": ("evaluate/", "spaces/calibration.py", "library/search/space_map.py"),
    "webdataset": ("train/sources.py",),
    "datasets": ("train/sources.py",),
    "open_clip": ("spaces/checkpoints/open_clip_names.py", "spaces/convert/open_clip_reference.py"),
    "transformers": (
        "assistant/verify.py",
        "spaces/convert/adapters.py",
        "spaces/convert/picture_references.py",
        "spaces/convert/qwen3_vl_reference.py",
        "spaces/checkpoints/tokenizer_files.py",
        "spaces/convert/transformers_reference.py",
    ),
    "sentence_transformers": ("spaces/convert/sentence_reference.py",),
    "timm": ("spaces/convert/picture_references.py",),
    "skimage": ("library/demo.py",),
    "ray": ("library/indexing/cluster.py",),
    "gguf": ("assistant/gguf_file.py",),
    "jinja2": ("assistant/chat.py", "explain/report.py", "server/"),
    "openai": ("assistant/endpoint.py",),
    "fastapi": ("server/",),
    "starlette": ("server/",),
    "pydantic": ("server/",),
    "mcp": (
        "server/mcp_server.py",
        "server/screen_tools.py",
    ),
    "prometheus_client": ("server/",),
    "uvicorn": ("cli/serve.py", "server/protocol.py"),
    "watchfiles": ("library/watch.py",),
    "defusedxml": (
        "media/metadata/xmp.py",
        "media/metadata/xmp_writer.py",
        "media/metadata/xmp_writer.py",
        "media/svg.py",
        "media/text_file.py",
    ),
}
MAX_FUNCTION_LINES, MAX_LOOP_LINES = 60, 100
TENSOR_NAMES = {"trunk", "branch", "memory", "place", "keep", "associate", "connector", "prior", "common"}
"""Attributes that name tensors inside the weights that ship, and so keep their names."""


def replaced_words() -> set[str]:
    """The left-hand words of the list in docs/glossary.md."""
    text = (ROOT.parents[1] / "docs" / "glossary.md").read_text("utf-8").split("## Words that were replaced")[1]
    entries = re.sub(r"^- \*\*[^*]+\*\*:", " · ", text, flags=re.MULTILINE).split("\n\nAttributes")[0].split("·")
    return {word.strip() for entry in entries if "→" in entry for word in entry.split("→")[0].split(",")}


def folder_of(path: Path) -> str:
    return path.parent.as_posix()


def room_of(path: Path) -> str:
    return path.parts[0] if len(path.parts) > 1 else ""


def targets(path: Path) -> list[Path]:
    """The files of this package that a module imports, wherever in it the import stands."""
    found = []
    for node in ast.walk(TREES[path]):
        if not isinstance(node, ast.ImportFrom) or not node.level:
            continue
        base = Path(*path.parent.parts[: len(path.parent.parts) - node.level + 1], *(node.module or "").split("."))
        candidates = [base.with_suffix(".py")] if base.parts else []
        candidates += [base / f"{alias.name}.py" for alias in node.names] + [base / "__init__.py"]
        found.append(next(c for c in candidates if c in TREES))
    return found


def folder_graph() -> dict[str, set[str]]:
    """Folder → the other folders that it imports from."""
    graph: dict[str, set[str]] = {folder_of(path): set() for path in TREES}
    for path in TREES:
        if room_of(path):  # the package's own entry points import the rooms, and give them its version
            graph[folder_of(path)] |= {folder_of(t) for t in targets(path) if room_of(t)} - {folder_of(path)}
    return graph


def test_there_are_no_loose_modules():
    assert {path.name for path in TREES if not room_of(path)} == {"__init__.py", "__main__.py"}
    assert {room_of(path) for path in TREES} - {""} == set(ROOMS)


def test_rooms_import_one_way():
    for path in TREES:
        for target in targets(path):
            if room_of(path) and room_of(target):
                assert ROOMS.index(room_of(target)) <= ROOMS.index(room_of(path)), f"{path} imports {target}"


def test_no_folder_has_a_circle_with_another():
    remaining = folder_graph()
    while remaining:
        leaves = [folder for folder, imported in remaining.items() if not imported & remaining.keys()]
        assert leaves, f"a circle among {sorted(remaining)}"
        for folder in leaves:
            del remaining[folder]


@pytest.mark.parametrize("library", HOMES)
def test_heavy_libraries_have_one_home(library):
    users = set()
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            if any(name.split(".")[0] == library for name in names):
                users.add(path.as_posix())
    assert users and all(user.startswith(HOMES[library]) for user in users), users


def test_functions_stay_short():
    for path, tree in TREES.items():
        limit = MAX_LOOP_LINES if path.as_posix() == "train/loop.py" else MAX_FUNCTION_LINES
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno - node.lineno < limit, f"{path}: {node.name}"


def test_layers_are_defined_once():
    names = [n.name for p, tree in TREES.items() if room_of(p) == "models" for n in ast.walk(tree) if isinstance(n, ast.ClassDef)]
    assert len(names) == len(set(names))


def test_every_room_says_what_it_is_for():
    for path, tree in TREES.items():
        if path.name == "__init__.py":
            assert ast.get_docstring(tree), path


def test_the_words_are_those_of_the_glossary():
    """No identifier of the glossary's left column is left."""
    words = replaced_words()
    assert len(words) > 70 and not words & TENSOR_NAMES
    for path, source in SOURCES.items():
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.NAME:
                assert token.string not in words, f"{path}:{token.start[0]}: {token.string}"


POSIX_ONLY = ("fcntl", "grp", "pwd", "resource", "termios")


def test_every_module_imports_without_what_windows_lacks():
    """In a process of its own, with the modules and functions absent that only POSIX has."""
    names = [".".join(("samespace", *path.with_suffix("").parts)).removesuffix(".__init__") for path in TREES]
    names = [name for name in names if not name.endswith("__main__")]
    lines = [  # twice: the libraries that are installed here may need what this system has, our own modules may not
        "import importlib, os, signal, sys",
        "import benchmarks.torchvision_on_cpu",
        f"names = {names}",
        "for name in names: importlib.import_module(name)",
        "for name in [n for n in sys.modules if n.partition('.')[0] == 'samespace']: del sys.modules[name]",
        f"for name in {POSIX_ONLY}: sys.modules[name] = None",
        "for name in ('fork', 'getuid', 'killpg', 'register_at_fork', 'sched_getaffinity', 'sched_setaffinity'): delattr(os, name)",
        "for name in ('SIGKILL', 'alarm', 'setitimer'): delattr(signal, name)",
        "for name in names: importlib.import_module(name)",
    ]
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, cwd=ROOT.parents[1])
    assert done.returncode == 0, done.stderr[-2000:]
