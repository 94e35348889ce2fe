"""Conversations: only answers are learned, batches come again after a resume, and an assistant learns a picture by heart."""

import itertools
import json

import pytest
import torch
from tiny_assistant import TEMPLATE, byte_tokenizer, tiny_llava

from samespace.assistant import checkpoint as folder
from samespace.assistant.chat import Chat
from samespace.assistant.language import Language
from samespace.assistant.request import Message, Picture, question
from samespace.core.errors import ConfigError, TrainingStopped, UnreadableMedia
from samespace.models.llava import IMAGE_TOKEN
from samespace.train import assistant_run as assist
from samespace.train.config import read_card
from samespace.train.conversation_loss import AnswerLoss, talk_backward
from samespace.train.conversations import (
    IGNORE,
    Talk,
    TalkLoader,
    messages_of,
    open_conversations,
    padded,
    spelled,
)  # fmt: skip
from samespace.train.data import Mixture
from samespace.train.run import Source


@pytest.fixture
def talks(tmp_path, photographs):
    """Conversations about three photographs; one names a picture that is not there."""

    def talk(name, *turns):
        said = [{"from": ("human", "gpt")[i % 2], "value": words} for i, words in enumerate(turns)]
        return {"id": name, "image": str(photographs / name), "conversations": said}

    rows = [
        talk("chelsea.png", "<image>\nWhat is it?", "A cat.", "Which colour?", "Orange."),
        talk("coffee.png", "<image>\nWhat is it?", "Coffee."),
        talk("rocket.jpg", "<image>\nWhat is it?", "A rocket, I think, on its way."),
        talk("absent.png", "<image>\nWhat is it?", "Nothing."),
        {"id": "words", "conversations": [{"from": "human", "value": "Hello"}, {"from": "gpt", "value": "Hi."}]},
    ]  # fmt: skip
    path = tmp_path / "talks.json"
    path.write_text(json.dumps(rows))
    return path


def loader(talks, batch=2):
    model = tiny_llava()
    chat = Chat(Language(model.lm, byte_tokenizer(), TEMPLATE, {}))
    mixture = Mixture((Source(str(talks)),), 0, opener=open_conversations)
    return TalkLoader(mixture, chat, model.c, 16, batch, 2)


def test_only_answers_are_learned_and_prompts_are_as_they_are_asked(talks, photographs):
    made = loader(talks)
    cat = Picture.read(photographs / "chelsea.png")
    messages = (Message("user", (cat, "What is it?")), Message("assistant", ("A cat.",)),
                Message("user", ("Which colour?",)), Message("assistant", ("Orange.",)))  # fmt: skip
    ids, targets = spelled(made.chat, messages, {cat.digest: 16}, 257)
    learned = [i for i in targets if i != IGNORE]
    assert made.chat.tokenizer.decode(learned, skip_special_tokens=False) == "A cat.<|im_end|>Orange.<|im_end|>"
    assert all(t in (IGNORE, i) for i, t in zip(ids, targets, strict=True))
    assert ids.count(IMAGE_TOKEN) == 16
    asked = made.chat.prompt(messages[:3], {cat.digest: 16}).ids
    assert ids[: len(asked)] == asked


def test_marks_and_pictures_must_fit(photographs):
    cat = Picture.read(photographs / "chelsea.png")
    for turns, pictures in (((("user", "<image><image>x"),), [cat]), ((("user", "x"),), [cat])):
        with pytest.raises(UnreadableMedia, match="<image> marks"):
            messages_of(Talk("t", ("p",), turns), pictures)


def test_an_empty_answer_is_a_bad_sample(talks):
    rows = json.loads(talks.read_text())
    rows[1]["conversations"][1]["value"] = "  "
    talks.write_text("\n".join(json.dumps(row) for row in rows))  # lines do as well as a list
    made = loader(talks)
    next(iter(made))
    assert made.bad.names["coffee.png"] == "an answer is empty"


def test_batches_come_again_after_a_resume(talks):
    straight = loader(talks)
    places, batches = [], []
    for batch in itertools.islice(straight, 12):
        places.append(straight.place)
        batches.append(batch)
    for stop in (0, 3, 7):
        again = loader(talks)
        again.place = json.loads(json.dumps(places[stop]))
        for batch, want in zip(again, batches[stop + 1 :]):
            assert batch.names == want.names
            assert torch.equal(batch.ids, want.ids) and torch.equal(batch.pixels, want.pixels)
    assert straight.bad.names.keys() == {"absent.png"}


def test_batches_are_of_like_length(talks):
    some = list(itertools.islice(loader(talks, batch=4), 8))
    assert all(len(batch) <= 4 for batch in some)
    spread = [(batch.ids != 0).sum(dim=1).float().std().item() for batch in some if len(batch) > 1]
    assert min(spread) == 0


def test_padding_and_company_change_no_loss(talks):
    """The loss over a padded batch is the sum of each conversation's own."""
    made, model = loader(talks), tiny_llava()
    loss = AnswerLoss(model, model.c.prep)
    written = [made.load(talk) for talk in made.mixture.opened[0].items]
    written = [w for w in written if not isinstance(w, str)]
    whole = padded(written)
    with torch.no_grad():
        together = loss(whole)
        apart = sum(loss(padded([w])) for w in written)
    torch.testing.assert_close(together, apart, rtol=1e-4, atol=1e-3)


def test_chunks_give_the_gradients_of_the_whole(talks):
    made, model = loader(talks, batch=4), tiny_llava()
    trainee = AnswerLoss(model, model.c.prep)
    batch = next(iter(made))
    found = []
    for chunk in (0, 1, 3):
        model.zero_grad()
        loss = talk_backward(trainee, AnswerLoss, batch, chunk, 1.0)
        found.append((loss, model.projector.fc1.weight.grad.clone()))
    for loss, grad in found[1:]:
        torch.testing.assert_close(loss, found[0][0], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(grad, found[0][1], rtol=1e-3, atol=1e-4)


def read_card_of(talks, *overrides):
    path = talks.parent / "card.toml"
    path.write_text('task = "assistant"\nstart = "nothing"\ntrain = ["talks.json"]\nbatch = 3\nwarmup = 1\nsteps = 4\n')
    return read_card(path, overrides)


@pytest.fixture
def start(talks):
    """A tiny assistant to begin from."""
    model = tiny_llava()
    for weight in model.lm.parameters():
        weight.data /= 3
    path = talks.parent / "start"
    folder.write(path, model, Language(model.lm, byte_tokenizer(), TEMPLATE, {}), int8=False)
    return path


def test_an_assistant_learns_by_heart_and_is_kept(talks, start, photographs):
    settings = (f"start={start}", f"out={talks.parent}/run", "steps=150", "lr=1e-2", 'lock=["image"]', "evaluate_every=150")
    card = read_card_of(talks, *settings, f"val={talks}")
    config = assist.run(card, False, lambda *_: None, "as tested")
    assert config.card["validation"]["loss"] < 0.05
    assert config.card["conversations_seen"] == 450
    assistant = folder.load(talks.parent / "run" / "assistant")
    assert assistant.answer(question("What is it?", [Picture.read(photographs / "coffee.png")])).text == "Coffee."
    assert (talks.parent / "run" / "curve.png").exists()
    with pytest.raises(TrainingStopped, match="--resume"):
        assist.run(card, False, lambda *_: None)


def test_stop_and_resume_is_the_straight_run(talks, start):
    def run(name, *more, resume=False):
        card = read_card_of(talks, f"start={start}", f"out={talks.parent}/{name}", 'lock=["image", "lm"]', "save_every=2", *more)
        assist.run(card, resume, lambda *_: None)
        return torch.load(talks.parent / name / "checkpoint.pt", weights_only=True)["model"]

    straight = run("straight")
    run("halves", "steps=2", "warmup=1")
    (talks.parent / "halves" / "checkpoint.pt").rename(talks.parent / "kept.pt")
    seen = []

    def stop_after_two(progress, card):
        seen.append(progress.step)
        if progress.step == 2:
            raise KeyboardInterrupt

    card = read_card_of(talks, f"start={start}", f"out={talks.parent}/cut", 'lock=["image", "lm"]', "save_every=2")
    with pytest.raises(KeyboardInterrupt):
        assist.run(card, False, stop_after_two)
    cut = run("cut", resume=True)
    assert seen == [1, 2]
    assert all(torch.equal(cut[name], straight[name]) for name in straight)


def test_lora_and_projector_learn_and_nothing_else(talks, start):
    card = read_card_of(talks, f"start={start}", "lora=4", 'lock=["image"]')
    a_run = assist.AssistantRun(card)
    learning = {name for name, p in a_run.model.named_parameters() if p.requires_grad}
    assert learning and all("lora_" in n or n.startswith("projector.") for n in learning)
    assert any("lora_" in n and n.startswith("lm.blocks.2.mlp.down") for n in learning)
    assert not any(n.startswith("image.") for n in learning)


def test_what_cannot_be_is_one_sentence(talks, start, tmp_path):
    with pytest.raises(ConfigError, match="assistant begins from"):
        read_card_of(talks, 'start=""')
    (tmp_path / "bad.json").write_text('[{"conversations": [{"from": "nobody", "value": "x"}]}]')
    for path in (tmp_path / "bad.json", tmp_path / "none.json"):
        with pytest.raises(ConfigError, match="LLaVA's JSON"):
            open_conversations(Source(str(path)))


def test_a_dry_run_shows_the_first_conversation(talks, start):
    lines = list(assist.report(read_card_of(talks, f"start={start}", 'lock=["image", "lm"]')))
    assert "conversations, ids int64 (" in lines[0]
    assert any("lm.blocks" in line and " 0.00 M learn" in line for line in lines)
    assert any("<|im_start|>user" in line for line in lines)
