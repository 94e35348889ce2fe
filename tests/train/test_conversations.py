"""Training an assistant: only answers are learned, batches repeat after a resume, and pictures are memorised."""

import itertools
import json
from dataclasses import asdict

import pytest
import torch
from tiny_assistant import TEMPLATE, byte_tokenizer, tiny_llava

from samespace.assistant import checkpoint
from samespace.assistant.chat import Chat
from samespace.assistant.language import Language
from samespace.assistant.request import Message, Picture, question
from samespace.core.errors import ConfigError, TrainingStopped, UnreadableMedia
from samespace.models.llava import IMAGE_TOKEN
from samespace.train import conversation_loss
from samespace.train.assistant_run import AssistantRun
from samespace.train.config import Source, read_config
from samespace.train.conversation_loss import AnswerLoss, conversation_backward
from samespace.train.conversations import (
    IGNORE,
    Conversation,
    ConversationLoader,
    messages_of,
    open_conversations,
    pad_and_stack,
    tokenize,
)
from samespace.train.data import Mixture, Position
from samespace.train.dry_run import report
from samespace.train.runs import train


@pytest.fixture
def file(tmp_path, photographs):
    """Write conversations about three photographs, one about a missing picture, and one without; return the file."""

    def conversation(name, *turns):
        rows = [{"from": ("human", "gpt")[i % 2], "value": words} for i, words in enumerate(turns)]
        return {"id": name, "image": str(photographs / name), "conversations": rows}

    rows = [
        conversation("chelsea.png", "<image>\nWhat is it?", "A cat.", "Which colour?", "Orange."),
        conversation("coffee.png", "<image>\nWhat is it?", "Coffee."),
        conversation("rocket.jpg", "<image>\nWhat is it?", "A rocket, I think, on its way."),
        conversation("absent.png", "<image>\nWhat is it?", "Nothing."),
        {"id": "words", "conversations": [{"from": "human", "value": "Hello"}, {"from": "gpt", "value": "Hi."}]},
    ]  # fmt: skip
    path = tmp_path / "conversations.json"
    path.write_text(json.dumps(rows))
    return path


def loader(file, batch=2):
    model = tiny_llava()
    chat = Chat(Language(model.lm, byte_tokenizer(), TEMPLATE, {}))
    mixture = Mixture((Source(str(file)),), open_conversations, seed=0)
    return ConversationLoader(mixture, chat, model.c, 16, batch, 2)


def test_only_answers_are_learned_and_prompts_are_those_of_inference(file, photographs):
    chat = loader(file).chat
    cat = Picture.read(photographs / "chelsea.png")
    messages = (Message("user", (cat, "What is it?")), Message("assistant", ("A cat.",)),
                Message("user", ("Which colour?",)), Message("assistant", ("Orange.",)))  # fmt: skip
    ids, targets = tokenize(chat, messages, {cat.digest: [IMAGE_TOKEN] * 16}, 257)
    learned = [i for i in targets if i != IGNORE]
    assert chat.tokenizer.decode(learned, skip_special_tokens=False) == "A cat.<|im_end|>Orange.<|im_end|>"
    assert all(t in (IGNORE, i) for i, t in zip(ids, targets, strict=True))
    assert ids.count(IMAGE_TOKEN) == 16
    prompt = chat.prompt(messages[:3], {cat.digest: [IMAGE_TOKEN] * 16}).ids
    assert ids[: len(prompt)] == prompt


def test_marks_and_pictures_must_match(photographs):
    cat = Picture.read(photographs / "chelsea.png")
    for turns, pictures in (((("user", "<image><image>x"),), [cat]), ((("user", "x"),), [cat])):
        with pytest.raises(UnreadableMedia, match="<image> marks"):
            messages_of(Conversation("t", ("p",), turns), pictures)


def test_pictures_after_the_last_answer_are_left_out_and_answers_are_words(file, photographs):
    cat, cup = (Picture.read(photographs / name) for name in ("chelsea.png", "coffee.png"))
    turns = (("user", "<image> What?"), ("assistant", "red"), ("user", "<image> And this?"))
    assert [m.role for m in messages_of(Conversation("t", ("p", "q"), turns), [cat, cup])] == ["user", "assistant"]
    for answer in ("<image>", "see <image> ok"):
        with pytest.raises(UnreadableMedia, match="answers are words"):
            messages_of(Conversation("t", ("p",), (("user", "x"), ("assistant", answer))), [cat])
    rows = json.loads(file.read_text())
    rows[0]["image"] = [rows[0]["image"], rows[1]["image"]]
    rows[0]["conversations"].append({"from": "human", "value": "<image> And this?"})
    file.write_text(json.dumps(rows))
    reading = loader(file)
    loaded = reading.load(next(reading.mixture.opened[0].in_order()))
    assert loaded.ids.count(IMAGE_TOKEN) == len(loaded.pixels) * reading.image_tokens


def test_a_conversation_with_an_empty_answer_is_skipped(file):
    rows = json.loads(file.read_text())
    rows[1]["conversations"][1]["value"] = "  "
    file.write_text("\n".join(json.dumps(row) for row in rows))  # lines instead of a list
    reading = loader(file)
    next(iter(reading))
    assert reading.skipped.reasons["coffee.png"] == "an answer is empty"


def test_batches_repeat_after_a_resume(file):
    uninterrupted = loader(file)
    positions, batches = [], []
    for batch in itertools.islice(uninterrupted, 12):
        positions.append(uninterrupted.position)
        batches.append(batch)
    for stop in (0, 3, 7):
        resumed = loader(file)
        resumed.position = Position(**asdict(positions[stop]))
        for batch, want in zip(resumed, batches[stop + 1 :]):
            assert batch.names == want.names
            assert torch.equal(batch.ids, want.ids) and torch.equal(batch.pixels, want.pixels)
    assert uninterrupted.skipped.reasons.keys() == {"absent.png"}


def test_conversations_of_similar_length_are_batched_together(file):
    batches = list(itertools.islice(loader(file, batch=4), 8))
    assert all(len(batch) <= 4 for batch in batches)
    spread = [(batch.ids != 0).sum(dim=1).float().std().item() for batch in batches if len(batch) > 1]
    assert min(spread) == 0


def test_padding_changes_no_loss(file):
    """The loss of a padded batch is the sum of the losses of its conversations."""
    reading, model = loader(file), tiny_llava()
    loss = AnswerLoss(model, model.c.prep)
    loaded = [reading.load(conversation) for conversation in reading.mixture.opened[0].in_order()]
    tokenized = [one for one in loaded if not isinstance(one, str)]
    with torch.no_grad():
        of_batch = loss(pad_and_stack(tokenized))
        of_each = sum(loss(pad_and_stack([one])) for one in tokenized)
    torch.testing.assert_close(of_batch, of_each, rtol=1e-4, atol=1e-3)


def test_chunks_give_the_gradients_of_the_whole_batch(file):
    reading, model = loader(file, batch=4), tiny_llava()
    training_model = AnswerLoss(model, model.c.prep)
    batch = next(iter(reading))
    results = []
    for chunk in (0, 1, 3):
        model.zero_grad()
        loss = conversation_backward(training_model, AnswerLoss, batch, chunk, 1.0)
        results.append((loss, model.projector.fc1.weight.grad.clone()))
    for loss, grad in results[1:]:
        torch.testing.assert_close(loss, results[0][0], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(grad, results[0][1], rtol=1e-3, atol=1e-4)


def test_processes_learn_from_each_answer_token_alike(file, monkeypatch):
    """Two processes with conversations of different lengths: the mean of their gradients is that of the whole batch."""
    reading, model = loader(file), tiny_llava()
    training_model = AnswerLoss(model, model.c.prep)
    loaded = [reading.load(conversation) for conversation in reading.mixture.opened[0].in_order()]
    tokenized = [one for one in loaded if not isinstance(one, str)]
    batches = [pad_and_stack(part) for part in (tokenized[:1], tokenized[1:], tokenized)]
    counts = [AnswerLoss.count(batch) for batch in batches]
    assert counts[0] != counts[1]
    monkeypatch.setattr(
        conversation_loss, "mean_count", lambda count: (counts[0] + counts[1]) / 2 if count != counts[2] else count
    )
    found = []
    for batch in batches:
        model.zero_grad()
        found.append((conversation_backward(training_model, AnswerLoss, batch, 0, 1.0), model.projector.fc1.weight.grad.clone()))
    for mine, other, whole in zip(*found):
        torch.testing.assert_close((mine + other) / 2, whole, rtol=1e-4, atol=1e-5)


def test_half_a_character_in_an_answer_is_read(file):
    rows = json.loads(file.read_text())
    rows[0]["conversations"][1]["value"] = "A cat \ud83d."
    file.write_text(json.dumps(rows))
    reading = loader(file)
    first = next(iter(reading.mixture.opened[0].in_order()))
    assert not isinstance(reading.load(first), str)


def config_for(file, *overrides):
    path = file.parent / "run.toml"
    path.write_text('task = "assistant"\nstart = "nothing"\ntrain = ["conversations.json"]\nbatch = 3\nwarmup = 1\nsteps = 4\n')
    return read_config(path, overrides)


@pytest.fixture
def start(file):
    """Write a tiny assistant to start from, and return its folder."""
    model = tiny_llava()
    for weight in model.lm.parameters():
        weight.data /= 3
    path = file.parent / "start"
    checkpoint.write(path, model, Language(model.lm, byte_tokenizer(), TEMPLATE, {}), "fp16")
    return path


def test_an_assistant_memorises_its_data_and_is_exported(file, start, photographs):
    settings = (f"start={start}", f"out={file.parent}/run", "steps=150", "lr=1e-2", 'lock=["image"]', "evaluate_every=150")
    config = config_for(file, *settings, f"val={file}")
    card = train(AssistantRun, config, False, lambda *_: None, "as tested").card
    assert card["validation"]["loss"] < 0.05 and card["conversations_seen"] == 450
    assistant = checkpoint.load(file.parent / "run" / "assistant")
    assert assistant.answer(question("What is it?", [Picture.read(photographs / "coffee.png")])).text == "Coffee."
    assert (file.parent / "run" / "curve.png").exists()
    with pytest.raises(TrainingStopped, match="--resume"):
        train(AssistantRun, config, False, lambda *_: None)


def test_a_resumed_run_equals_the_uninterrupted_one(file, start):
    def run(name, *more, resume=False):
        config = config_for(file, f"start={start}", f"out={file.parent}/{name}", 'lock=["image", "lm"]', "save_every=2", *more)
        train(AssistantRun, config, resume, lambda *_: None)
        return torch.load(file.parent / name / "checkpoint.pt", weights_only=True)["model"]

    uninterrupted = run("uninterrupted")
    steps = []

    def stop_after_two(progress, config):
        steps.append(progress.step)
        if progress.step == 2:
            raise KeyboardInterrupt

    config = config_for(file, f"start={start}", f"out={file.parent}/interrupted", 'lock=["image", "lm"]', "save_every=2")
    with pytest.raises(KeyboardInterrupt):
        train(AssistantRun, config, False, stop_after_two)
    resumed = run("interrupted", resume=True)
    assert steps == [1, 2]
    assert all(torch.equal(resumed[name], uninterrupted[name]) for name in uninterrupted)


def test_only_lora_and_the_projector_are_trained(file, start):
    config = config_for(file, f"start={start}", "lora=4", 'lock=["image"]')
    run = AssistantRun(config)
    trained = {name for name, p in run.model.named_parameters() if p.requires_grad}
    assert trained and all("lora_" in n or n.startswith("projector.") for n in trained)
    assert any("lora_" in n and n.startswith("lm.blocks.2.mlp.down") for n in trained)
    assert not any(n.startswith("image.") for n in trained)


def test_errors_are_one_sentence(file, start, tmp_path):
    with pytest.raises(ConfigError, match="assistant starts from"):
        config_for(file, 'start=""')
    (tmp_path / "bad.json").write_text('[{"conversations": [{"from": "nobody", "value": "x"}]}]')
    for path in (tmp_path / "bad.json", tmp_path / "none.json"):
        with pytest.raises(ConfigError, match="LLaVA's JSON"):
            open_conversations(Source(str(path)))


def test_a_dry_run_reports_the_first_conversation(file, start):
    lines = list(report(config_for(file, f"start={start}", 'lock=["image", "lm"]')))
    assert "conversations, ids int64 (" in lines[0]
    assert any("lm.blocks" in line and " 0.00 M trained" in line for line in lines)
    assert any("<|im_start|>user" in line for line in lines)
