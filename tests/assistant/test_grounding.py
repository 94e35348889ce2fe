"""What a question names is looked for in its picture."""

import pytest
import torch
from tiny_assistant import byte_tokenizer, remember, spelled, tiny_llava
from torch.nn.functional import normalize

from samespace.assistant.grounding import MAX_CHARACTERS, MAX_RANK, GroundingAugmenter
from samespace.assistant.request import Message, Picture, question
from samespace.models.llava import IMAGE_TOKEN, ImageFeatures
from samespace.models.starter.label_bank import LabelBank

NAMES = ["cat", "hot dog", "dog", "two", "cow"]


@pytest.fixture
def pointer():
    """Five names whose vectors stand at right angles."""
    model = remember(tiny_llava(labels=len(NAMES), label_length=8, crop_grid=3), NAMES)
    model.memory.z.copy_(torch.eye(len(NAMES), model.memory.z.shape[1]))
    return GroundingAugmenter(model.memory, byte_tokenizer(), model.lm.embed)


def seen(pointer: GroundingAugmenter, colours: str = "red", **windows: int) -> ImageFeatures:
    """Of a picture and its nine windows: each named thing fills one of them, 0 the whole; the rest show cows. Of nine patches
    each says a colour, or the last."""
    z = torch.eye(len(NAMES))[[NAMES.index("cow")]].repeat(10, 1)
    for name, window in windows.items():
        z[window] = torch.eye(len(NAMES))[NAMES.index(name.replace("_", " "))]
    z, said = torch.nn.functional.pad(z, (0, pointer.bank.z.shape[1] - len(NAMES))), colours.split()
    patches = torch.stack([pointer.embed(spelled(f" {colour}")).mean(dim=0) for colour in said + said[-1:] * (9 - len(said))])
    return ImageFeatures(torch.empty(0), patches.detach(), z)


@pytest.mark.parametrize(
    "asked, told",
    [
        ("Is the cat left of the dog?", "Is the cat (top left) left of the dog (bottom)?"),
        ("Where is the Hot Dog?", "Where is the Hot Dog (right)?"),  # the longest name
        ("A hot cat, two dogs", "A hot cat (top left), two dogs"),
        ("Is it like a cat-dog?", "Is it like a cat-dog?"),  # other words
        ("Катя, un chat?", "Катя, un chat?"),
        ("", ""),
        ("cat " * MAX_CHARACTERS, "cat " * MAX_CHARACTERS),  # no question
    ],
)
def test_names_are_followed_by_places(pointer, asked, told):
    assert pointer.grounded(asked, seen(pointer, cat=1, dog=8, hot_dog=6)) == told


@pytest.mark.parametrize(
    "asked, told",
    [
        ("What colour is the cat?", "What colour is the cat (top left)? The cat is blue."),
        ("Which COLOR has the dog?", "Which COLOR has the dog (bottom right)? The dog is grey."),
        ("Is there a red cow?", "Is there a red cow (middle)? The cow is pink."),
        ("Is the cat bored?", "Is the cat (top left) bored?"),
    ],
)
def test_where_a_question_speaks_of_colours_they_are_told(pointer, asked, told):
    sight = seen(pointer, "blue red red red pink red red red grey", cat=1, dog=9, cow=0)
    assert pointer.grounded(asked, sight) == told


def test_a_thing_that_fills_the_picture_is_in_the_middle(pointer):
    assert pointer.grounded("the cat", seen(pointer, cat=0)) == "the cat (middle)"


def test_a_thing_to_which_many_names_are_nearer_is_nowhere():
    memory, angles = LabelBank(MAX_RANK + 1, 2, 2), torch.linspace(0, 1, MAX_RANK + 1)
    memory.z.copy_(torch.stack([angles.cos(), angles.sin()], dim=1))
    memory.ids.copy_(torch.stack([spelled(chr(ord("a") + i) * 2) for i in range(MAX_RANK + 1)]))
    memory.lengths.fill_(2)
    pointer = GroundingAugmenter(memory, byte_tokenizer(), tiny_llava().lm.embed)
    first, *_, last_near, far = pointer.names
    sight = ImageFeatures(torch.empty(0), memory.z[:1].repeat(5, 1), torch.empty(0))
    assert pointer.grounded(f"{first}, {last_near}, {far}", sight) == f"{first} (middle), {last_near} (middle), {far} (nowhere)"
    assert pointer.grounded(f"a red {far}", sight) == f"a red {far} (nowhere)"


def test_only_questions_about_one_picture_are_told(pointer):
    one, other = Picture(b"one"), Picture(b"other")
    sights = {one.digest: seen(pointer, cat=1), other.digest: seen(pointer, cat=2)}
    words = Message("user", ("the cat",))
    told = pointer.augment((words, Message("user", (one, "the cat")), Message("assistant", ("the cat",)), words), sights)
    assert [m.parts[-1] for m in told] == ["the cat", "the cat (top left)", "the cat", "the cat (top left)"]
    assert told[1].parts[0] is one
    assert pointer.augment((Message("user", (one, other, "the cat")),), sights)[0].parts[-1] == "the cat"


def test_an_assistant_that_knows_names_is_told(tiny_with_names, photographs):
    model, picture = tiny_with_names.model, Picture.read(photographs / "chelsea.png")
    pixels = torch.from_numpy(tiny_with_names.pixels(picture))
    with torch.inference_mode():
        window = model.crop_embeddings(pixels, model.image(pixels))[0, 1 + 1]
    model.memory.z[1] = normalize(window, dim=0)
    prompt, _ = tiny_with_names.prompt(question("Is there a dog?", [picture]).messages)
    words = tiny_with_names.chat.tokenizer.decode([i for i in prompt.ids if i != IMAGE_TOKEN])
    assert "Is there a dog (top right)?" in words
