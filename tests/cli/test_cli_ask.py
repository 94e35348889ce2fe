"""`samespace ask`, `chat`, `eval vqa` and `assistants`: what they print and exit with."""

import json
import subprocess
import sys

import in_process
import pytest
from media_files import scene, tone, write_audio, write_document, write_video

from samespace.assistant.registry import ASSISTANTS


@pytest.fixture
def run(tiny_folder, tmp_path):
    def command(*words: str, input: str = "", code: int = 0) -> subprocess.CompletedProcess:
        done = in_process.run(*words, input=input, cwd=tmp_path)
        assert done.returncode == code, done.stderr
        return done

    return command


def test_ask_prints_text_or_json(run, tiny_folder, photographs):
    words = ("ask", str(photographs / "coffee.png"), "What is it?", "-a", str(tiny_folder), "--max-tokens", "6")
    answer = json.loads(run(*words, "--json").stdout)
    assert answer["usage"]["pictures"] == 80 and answer["usage"]["answer"] <= 6
    assert answer["sources"] == [{"path": str(photographs / "coffee.png")}]
    shown = run(*words).stdout.removesuffix("\n")
    assert shown == "".join(c for c in answer["answer"] if c.isprintable() or c in "\n\t")


def test_a_process_of_the_package_answers(run, tiny_folder, photographs, tmp_path):
    words = ("ask", str(photographs / "coffee.png"), "What is it?", "-a", str(tiny_folder), "--max-tokens", "6", "--json")
    command = [sys.executable, "-m", "samespace", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == json.loads(run(*words).stdout)


def test_ask_about_video_document_and_audio(run, tiny_folder, tmp_path):
    write_video(
        tmp_path / "clip.mp4", [(scene(c), 3.0) for c in ((200, 0, 0), (0, 200, 0), (0, 0, 200), (200, 200, 0), (0, 0, 0))]
    )
    write_document(tmp_path / "paper.pdf", ["About bread, and about butter.", "About the invoice of the lighthouse keeper."])
    options = ("-a", str(tiny_folder), "--max-tokens", "2", "--json")
    answer = json.loads(run("ask", "clip.mp4", "What happens?", "--frames", "4", *options).stdout)
    assert len(answer["sources"][0]["locators"]) == 4 and answer["usage"]["pictures"] >= 80
    answer = json.loads(run("ask", "paper.pdf", "Who is the invoice from?", *options).stdout)
    assert answer["sources"] == [{"path": "paper.pdf", "locators": ["page 1", "page 2"]}]
    write_audio(tmp_path / "note.wav", tone(2.0))
    answer = json.loads(run("ask", "note.wav", "What is it?", *options).stdout)
    assert len(answer["sources"][0]["locators"]) == 1 and answer["usage"]["pictures"] == 0


def test_chat_ends_at_an_empty_line(run, tiny_folder, photographs):
    words = "chat", str(photographs / "coffee.png"), "-a", str(tiny_folder), "--max-tokens", "3"
    twice, on = (run(*words, input=f"What?\nWhy?\n{end}No more\n").stdout for end in ("\n", ""))
    assert on.startswith(twice.rstrip("\n")) and len(on) > len(twice)


def test_ask_over_a_library(run, tiny_folder, tiny_space_folder, album, tmp_path):
    run("index", str(album), "-l", "lib", "-s", str(tiny_space_folder))
    done = run("ask", "Where is the cat?", "-l", "lib", "-a", str(tiny_folder), "--max-tokens", "4", "--json")
    answer = json.loads(done.stdout)
    assert [p["number"] for p in answer["sources"]] == [1, 2, 3, 4]
    wrong = run("ask", str(album / "coffee.png"), "What?", "-l", "lib", "-a", str(tiny_folder), code=1)
    assert "give a question only" in wrong.stderr


def test_mistakes_are_one_sentence(run, tiny_folder, photographs):
    picture = str(photographs / "coffee.png")
    for words, message in (
        (("ask", picture, "-a", str(tiny_folder)), "end with a question"),
        (("ask", "What is this?", "-a", str(tiny_folder)), "name files before the question"),
        (("ask", "absent.png", "What?", "-a", str(tiny_folder)), "check the path"),
        (("ask", picture, "What?", "-a", "nobody"), "samespace assistants pull nobody"),
        (("ask", picture, "What?", "-a", "http://127.0.0.1:9/v1#x"), "check address, model and key"),
        (("eval", "vqa", "absent.json", "-a", str(tiny_folder)), "JSON list"),
    ):
        done = run(*words, code=1)
        assert message in done.stderr and done.stderr.count("\n") == 1, done.stderr


def test_assistants_are_pulled_and_listed(run, tiny_folder, few_texts):
    assert "installed" in run("assistants", "pull", str(tiny_folder)).stderr
    listed = json.loads(run("assistants", "list", "--json").stdout)
    assert listed["name"] == "tiny" and listed["bytes"] > 0
    (ASSISTANTS.folder / "damaged").mkdir()
    (ASSISTANTS.folder / "damaged" / "assistant.json").write_text("{")
    listed = run("assistants", "list")
    assert "tiny" in listed.stdout and "damaged" in listed.stderr


def test_eval_vqa_prints_each_kind(run, tiny_folder, photographs, tmp_path):
    rows = [{"image": str(photographs / "coffee.png"), "question": "Is it a dog?", "answer": "No.", "kind": "yes/no"}]
    (tmp_path / "q.json").write_text(json.dumps(rows))
    lines = run("eval", "vqa", "q.json", "-a", str(tiny_folder), "--json", "--samples", "s.jsonl").stdout.splitlines()
    assert {json.loads(line)["task"] for line in lines} == {"vqa_all", "vqa_yes/no"}
    assert "pope_accuracy" in json.loads(lines[0])["metrics"]
    assert json.loads((tmp_path / "s.jsonl").read_text())["question"] == "Is it a dog?"
