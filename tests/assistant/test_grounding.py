"""Grounding: positions and colours of the things that a question names are added to it."""

import pytest
import torch
from tiny_assistant import byte_ids, byte_tokenizer, pixels_of, set_labels, tiny_llava
from torch.nn.functional import normalize

from samespace.assistant.grounding import MAX_CHARACTERS, MAX_RANK, GroundingAugmenter
from samespace.assistant.request import Message, Picture, question
from samespace.models.llava import IMAGE_TOKEN, ImageFeatures
from samespace.models.starter.label_bank import LabelBank

LABELS = ["cat", "hot dog", "dog", "two", "cow"]


@pytest.fixture
def grounding():
    """Five labels whose vectors are orthogonal."""
    model = set_labels(tiny_llava(labels=len(LABELS), label_length=8, crop_grid=3), LABELS)
    model.memory.z.copy_(torch.eye(len(LABELS), model.memory.z.shape[1]))
    return GroundingAugmenter(model.memory, byte_tokenizer(), model.lm.embed)


def image_features(grounding: GroundingAugmenter, colours: str = "red", **crops: int) -> ImageFeatures:
    """Return the features of an image and its nine crops.

    Each label in `crops` fills one of them, 0 the whole image; the rest show cows. Each of nine patches has a colour of
    `colours`, those after them the last one.
    """
    z = torch.eye(len(LABELS))[[LABELS.index("cow")]].repeat(10, 1)
    for label, crop in crops.items():
        z[crop] = torch.eye(len(LABELS))[LABELS.index(label.replace("_", " "))]
    z = torch.nn.functional.pad(z, (0, grounding.bank.z.shape[1] - len(LABELS)))
    names = colours.split()
    names += names[-1:] * (9 - len(names))
    patches = torch.stack([grounding.embed(byte_ids(f" {name}")).mean(dim=0) for name in names])
    return ImageFeatures(tokens=torch.empty(0), patches=patches.detach(), crop_embeddings=z)


@pytest.mark.parametrize(
    "asked, augmented",
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
def test_names_are_followed_by_positions(grounding, asked, augmented):
    assert grounding.grounded(asked, image_features(grounding, cat=1, dog=8, hot_dog=6)) == augmented


@pytest.mark.parametrize(
    "asked, augmented",
    [
        ("What colour is the cat?", "What colour is the cat (top left)? The cat is blue."),
        ("Which COLOR has the dog?", "Which COLOR has the dog (bottom right)? The dog is grey."),
        ("Is there a red cow?", "Is there a red cow (middle)? The cow is pink."),
        ("Is the cat bored?", "Is the cat (top left) bored?"),
    ],
)
def test_colours_are_added_where_a_question_mentions_colours(grounding, asked, augmented):
    image = image_features(grounding, "blue red red red pink red red red grey", cat=1, dog=9, cow=0)
    assert grounding.grounded(asked, image) == augmented


def test_a_thing_that_fills_the_image_is_in_the_middle(grounding):
    assert grounding.grounded("the cat", image_features(grounding, cat=0)) == "the cat (middle)"


def test_a_thing_is_nowhere_if_too_many_labels_are_nearer():
    bank, angles = LabelBank(MAX_RANK + 1, 2, 2), torch.linspace(0, 1, MAX_RANK + 1)
    bank.z.copy_(torch.stack([angles.cos(), angles.sin()], dim=1))
    bank.ids.copy_(torch.stack([byte_ids(chr(ord("a") + i) * 2) for i in range(MAX_RANK + 1)]))
    bank.lengths.fill_(2)
    grounding = GroundingAugmenter(bank, byte_tokenizer(), tiny_llava().lm.embed)
    first, *_, last_near, far = grounding.names
    image = ImageFeatures(torch.empty(0), patches=torch.empty(0), crop_embeddings=bank.z[:1].repeat(5, 1))
    augmented = grounding.grounded(f"{first}, {last_near}, {far}", image)
    assert augmented == f"{first} (middle), {last_near} (middle), {far} (nowhere)"
    assert grounding.grounded(f"a red {far}", image) == f"a red {far} (nowhere)"


def test_only_questions_about_a_single_image_are_augmented(grounding):
    one, other = Picture(b"one"), Picture(b"other")
    features = {one.digest: image_features(grounding, cat=1), other.digest: image_features(grounding, cat=2)}
    text = Message("user", ("the cat",))
    messages = text, Message("user", (one, "the cat")), Message("assistant", ("the cat",)), text
    augmented = grounding.augment(messages, features)
    assert [m.parts[-1] for m in augmented] == ["the cat", "the cat (top left)", "the cat", "the cat (top left)"]
    assert augmented[1].parts[0] is one
    assert grounding.augment((Message("user", (one, other, "the cat")),), features)[0].parts[-1] == "the cat"


def test_an_assistant_with_labels_grounds_its_prompts(tiny_with_labels, photographs):
    model, picture = tiny_with_labels.model, Picture.read(photographs / "chelsea.png")
    pixels = torch.from_numpy(pixels_of(tiny_with_labels, picture))
    with torch.inference_mode():
        crop = model.crop_embeddings(pixels, model.image(pixels))[0, 1 + 1]
    model.memory.z[1] = normalize(crop, dim=0)
    prompt, _ = tiny_with_labels.prompt(question("Is there a dog?", [picture]).messages)
    text = tiny_with_labels.chat.tokenizer.decode([i for i in prompt.ids if i != IMAGE_TOKEN])
    assert "Is there a dog (top right)?" in text
