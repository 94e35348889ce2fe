"""The docs say what is true: commands exist, links lead somewhere, every module is in the picture."""

import importlib.util
import itertools
import re
import sys
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from samespace.cli.main import app

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("recipes/**/*.md")])
_spec = importlib.util.spec_from_file_location("walks", ROOT / "docs" / "walks.py")
walks = importlib.util.module_from_spec(_spec)
sys.modules["walks"] = walks
_spec.loader.exec_module(walks)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_and_pictures_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text("utf-8")):
        assert target.startswith("http") or (page.parent / target).exists(), target


def test_commands_and_options_exist():
    help_of = {}
    for page in PAGES:
        for line in re.findall(r"^\s*(?:\$ )?samespace (.+)$", page.read_text("utf-8"), re.M):
            words = line.split(" #")[0].split()
            command = words[:2] if words[0] in ("spaces", "eval", "assistants") else words[:1]
            key = " ".join(command)
            if key not in help_of:
                done = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "300"})
                assert done.exit_code == 0, line
                help_of[key] = done.stdout
            for option in re.findall(r"(?<=\s)--?[a-z][a-z-]*", " " + line):
                assert option in help_of[key], f"{page.name}: {line}"


def test_every_make_target_in_the_docs_exists():
    makefile = (ROOT / "Makefile").read_text()
    for page in PAGES:
        for target in re.findall(r"\bmake ([a-z]+)\b(?=`|$|\s+#)", page.read_text("utf-8"), re.M):
            assert re.search(rf"^{target}:", makefile, re.M), f"{page.name}: make {target}"


def test_every_module_is_in_the_picture():
    """Each folder of the tree in docs/architecture.md names its modules, and no others."""
    picture = (ROOT / "docs" / "architecture.md").read_text("utf-8").partition("src/samespace/\n")[2].partition("```")[0]
    source, folders = ROOT / "src" / "samespace", ["."]
    named: dict[str, set[str]] = {".": set()}
    for line in picture.splitlines():
        depth = (len(line) - len(line.lstrip())) // 2 - 1
        if depth < 0:
            continue  # beside the package
        folders = folders[: depth + 1]
        if match := re.match(r" *(\w+)/", line):
            folders.append(f"{folders[-1]}/{match[1]}".removeprefix("./"))
            named.setdefault(folders[-1], set())
        named[folders[-1]] |= set(re.findall(r"\b\w+\.py\b", line))
    for folder in {path.parent for path in source.rglob("*.py")}:
        here = {path.name for path in folder.glob("*.py")} - {"__init__.py"}
        place = folder.relative_to(source).as_posix()
        assert named[place] - {"__init__.py"} == here, place


def test_walks_are_true():
    """Each walk enters at most five rooms, none twice; each step stands where the page says and leads to the next."""
    walks_by_name = walks.walks()
    assert len(walks_by_name) == 4
    for name, steps in walks_by_name.items():
        rooms = [room for room, _ in itertools.groupby(step.room for step in steps)]
        assert len(rooms) <= 5 and len(rooms) == len(set(rooms)), f"{name}: {rooms}"
        for step in steps:
            assert step.node.lineno == step.line, f"{step.file}:{step.name} is at line {step.node.lineno}: python docs/walks.py"


def test_every_dependency_is_argued_for():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    page = (ROOT / "docs" / "dependencies.md").read_text("utf-8")
    names = [
        re.match(r"[\w-]+", d)[0]
        for group in [project["dependencies"], *project["optional-dependencies"].values()]
        for d in group
    ]
    assert [n for n in names if n != "samespace" and n.replace("-", "_") not in page.replace("-", "_")] == []


def test_pages_are_free_of_this_machine():
    for page in PAGES:
        assert not re.search(r"/work/|/root/|/tmp/", page.read_text("utf-8")), page
