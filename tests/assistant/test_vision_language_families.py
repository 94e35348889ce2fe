"""Assistants of several families as transformers writes them: tiles, order of the tokens, logits and greedy text are its own."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import tiny_checkpoints as tiny
import torch
import transformers as T
from PIL import Image
from random_weights import randomised

from samespace.assistant import checkpoint, registry, verify
from samespace.assistant.request import Message, Picture, question
from samespace.core.assistant_config import AssistantConfig
from samespace.core.errors import SamespaceError, UnknownAssistant, UnreadableMedia
from samespace.explain.trace import trace
from samespace.models.llava import IMAGE_TOKEN
from samespace.preprocess.pixels import normalize_pixels

TEMPLATE = (
    "{% for m in messages %}{{ m['role'] + ': ' }}{% for part in m['content'] %}"
    "{{ '<image>\n' if part['type'] == 'image' else part['text'] }}{% endfor %}\n{% endfor %}"
    "{{ 'assistant:' if add_generation_prompt else '' }}"
)
SIZES = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4)
SQUARES = {"size": {"height": 64, "width": 64}}
SHAPES = {"square": (96, 96), "wide": (300, 90), "tall": (70, 400), "large": (500, 333), "small": (40, 30)}


def words(*special):
    tokenizer = tiny.gemma_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>", *special]})
    return tokenizer, tokenizer.convert_tokens_to_ids("<image>")


def text(tokenizer, kind):
    return SIZES | dict(
        model_type=kind,
        num_key_value_heads=2,
        vocab_size=len(tokenizer) + 3,
        max_position_embeddings=4096,
        eos_token_id=1,
        pad_token_id=0,
    )


def llava_next():
    tokenizer, image = words()
    pinpoints = [[64, 128], [128, 64], [128, 128], [192, 64], [64, 192]]
    config = T.LlavaNextConfig(
        vision_config=SIZES | dict(model_type="clip_vision_model", image_size=64, patch_size=16), text_config=text(tokenizer, "mistral"),
        image_token_index=image, image_grid_pinpoints=pinpoints,
    )  # fmt: skip
    pictures = T.LlavaNextImageProcessorPil(
        size={"shortest_edge": 64}, crop_size={"height": 64, "width": 64}, image_grid_pinpoints=pinpoints
    )
    processor = T.LlavaNextProcessor(
        pictures, tokenizer, patch_size=16, vision_feature_select_strategy="default", chat_template=TEMPLATE, image_token="<image>",
        num_additional_image_tokens=1,
    )  # fmt: skip
    return T.LlavaNextForConditionalGeneration(config), processor


def onevision(most=2):
    tokenizer, image = words("<video>")
    pinpoints = [[64 * r, 64 * c] for r in range(1, 5) for c in range(1, 5)]
    config = T.LlavaOnevisionConfig(
        vision_config=SIZES | dict(model_type="siglip_vision_model", image_size=64, patch_size=16), text_config=text(tokenizer, "qwen2"),
        image_token_index=image, video_token_index=tokenizer.convert_tokens_to_ids("<video>"), image_grid_pinpoints=pinpoints,
        vision_aspect_ratio=f"anyres_max_{most}",
    )  # fmt: skip
    pictures = T.LlavaOnevisionImageProcessorPil(**SQUARES, image_grid_pinpoints=pinpoints)
    processor = T.LlavaOnevisionProcessor(
        pictures, tokenizer, T.LlavaOnevisionVideoProcessor(), num_image_tokens=16, vision_feature_select_strategy="full", chat_template=TEMPLATE, image_token="<image>",
        video_token="<video>", vision_aspect_ratio=f"anyres_max_{most}",
    )  # fmt: skip
    return T.LlavaOnevisionForConditionalGeneration(config), processor


def shuffled(model, config):
    tokenizer, image = words(
        "<fake_token_around_image>",
        "<global-img>",
        "<end_of_utterance>",
        *(f"<row_{i}_col_{j}>" for i in range(1, 7) for j in range(1, 7)),
    )
    made = model(
        config(
            vision_config=SIZES | dict(image_size=64, patch_size=8),
            text_config=text(tokenizer, "llama"),
            image_token_id=image,
            scale_factor=4,
        )
    )
    pictures = T.Idefics3ImageProcessorPil(size={"longest_edge": 256}, max_image_size={"longest_edge": 64})
    return made, T.Idefics3Processor(pictures, tokenizer, image_seq_len=4, chat_template=TEMPLATE)


FAMILIES = {
    "LLaVA-NeXT": llava_next,
    "LLaVA-OneVision": onevision,
    "SmolVLM": lambda: shuffled(T.SmolVLMForConditionalGeneration, T.SmolVLMConfig),
    "Qwen3-VL": lambda: tiny.qwen3_vl(tiny.qwen_tokenizer()),
    "Idefics 3": lambda: shuffled(T.Idefics3ForConditionalGeneration, T.Idefics3Config),
}


@pytest.fixture(scope="module", params=FAMILIES)
def family(request, tmp_path_factory):
    """A tiny model as transformers has it, its processor, and the same loaded from its folder."""
    folder = tmp_path_factory.mktemp("family") / "tiny"
    torch.manual_seed(0)
    theirs, processor = FAMILIES[request.param]()
    theirs = randomised(theirs).eval()
    theirs.save_pretrained(folder)
    processor.save_pretrained(folder)
    return theirs, processor, checkpoint.load(folder), folder


def picture_of(shape, photographs, folder) -> Picture:
    Image.open(photographs / "chelsea.png").convert("RGB").resize(SHAPES[shape]).save(folder / f"{shape}.png")
    return Picture.read(folder / f"{shape}.png")


@pytest.mark.parametrize("shape", SHAPES)
def test_a_question_about_a_picture(family, shape, photographs, tmp_path):
    theirs, processor, ours, _ = family
    compare(theirs, processor, ours, [picture_of(shape, photographs, tmp_path)])


def test_a_question_about_two_pictures(family, photographs, tmp_path):
    theirs, processor, ours, _ = family
    compare(theirs, processor, ours, [picture_of(shape, photographs, tmp_path) for shape in ("wide", "large")])


def compare(theirs, processor, ours, pictures):
    """The prompt's ids, the logits of all its positions, and 12 tokens."""
    image = theirs.config.image_token_id
    asked = [{"role": "user", "content": [*({"type": "image"} for _ in pictures), {"type": "text", "text": "What is this?"}]}]
    prompt = processor.apply_chat_template(asked, add_generation_prompt=True)
    opened = [picture.decode(2**20) for picture in pictures]
    inputs = processor(images=[opened], text=[prompt], return_tensors="pt")  # a list for each conversation
    inputs.pop("rows", None), inputs.pop("cols", None)
    got, tokens = ours.prompt((Message("user", (*pictures, "What is this?")),))
    assert [image if i == IMAGE_TOKEN else i for i in got.ids] == inputs["input_ids"][0].tolist()
    with torch.inference_mode():
        model = ours.model
        seen = torch.cat([tokens[picture.digest] for picture in pictures])
        logits = model.lm.logits(model.hidden(torch.tensor([got.ids]), seen, positions=got.positions))
        want = theirs(**inputs).logits
        answer = theirs.generate(**inputs, max_new_tokens=12, do_sample=False)[0, inputs["input_ids"].shape[1] :].tolist()
    assert (logits - want).abs().max() < 1e-4 * want.abs().max()
    said = ours.answer(question("What is this?", pictures, max_tokens=12)).text
    assert said == "".join(ours.chat.decode(iter(token for token in answer if token != 1), ()))


def test_it_is_installed_and_answers(family, photographs, monkeypatch, tmp_path):
    """With int8 weights, after the original is gone; what its inside looks like is refused."""
    *_, folder = family
    monkeypatch.setenv("SAMESPACE_ASSISTANTS", str(tmp_path / "assistants"))
    config = registry.install(str(folder), None)
    assert config.card["verified"]["logits_difference"] < 1e-4
    installed = checkpoint.load(registry.find(config.name))
    picture = picture_of("wide", photographs, tmp_path)
    assert installed.answer(question("What is this?", [picture], max_tokens=5)).outcome.pictures > 8
    with pytest.raises(UnknownAssistant, match="cannot be looked into"):
        trace(installed, picture, "What is this?")


def test_a_second_question_reads_its_own_text_only(family, photographs, tmp_path):
    """What is cached of the first is where it would be if all were read anew."""
    *_, folder = family
    picture = picture_of("wide", photographs, tmp_path)
    once, again = checkpoint.load(folder), checkpoint.load(folder)
    assert once.answer(question("What is this?", [picture], max_tokens=4)).text
    reply, want = (a.answer(question("How many are there?", [picture], max_tokens=12)) for a in (once, again))
    assert reply.text == want.text
    assert reply.outcome.reused > reply.outcome.pictures > want.outcome.reused == 0


def test_a_picture_without_tiles_is_made_smaller_before_it_is_made_square(photographs, tmp_path):
    _, processor = FAMILIES["SmolVLM"]()
    model, pictures = FAMILIES["SmolVLM"]()[0], processor.image_processor
    pictures.do_image_splitting = False
    model.save_pretrained(tmp_path / "tiny"), processor.save_pretrained(tmp_path / "tiny")
    c = checkpoint.load(tmp_path / "tiny").model.c
    picture = Image.open(photographs / "chelsea.png").convert("RGB").resize((1365, 768))
    picture.save(tmp_path / "frame.png")
    (want,) = pictures([picture], return_tensors="np")["pixel_values"][0]
    (ours,) = normalize_pixels(Picture.read(tmp_path / "frame.png").views(c).pixels, c.prep)
    assert np.abs(ours - want).max() < 1e-5


@pytest.mark.parametrize("wrong", [{"vision_config": None}, {"scale_factor": "x"}, {"text_config": [1]}])
def test_settings_of_another_form_are_one_sentence(tmp_path, wrong):
    model, processor = FAMILIES["SmolVLM"]()
    model.save_pretrained(tmp_path), processor.save_pretrained(tmp_path)
    values = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(values | wrong))
    with pytest.raises(SamespaceError, match="download it again"):
        checkpoint.load(tmp_path)


def test_a_frame_of_a_film_is_shown_without_tiles(photographs, tmp_path):
    model, processor = FAMILIES["SmolVLM"]()
    model.save_pretrained(tmp_path / "tiny"), processor.save_pretrained(tmp_path / "tiny")
    ours, picture = checkpoint.load(tmp_path / "tiny"), picture_of("large", photographs, tmp_path)
    tokens = [
        ours.answer(question("What is this?", [replace(picture, whole=whole)], max_tokens=1)).outcome.pictures
        for whole in (False, True, False)
    ]
    assert tokens[0] == tokens[2] > 4 * tokens[1] == 16


def test_detail_limits_what_a_picture_costs(photographs, monkeypatch, tmp_path):
    monkeypatch.setenv("SAMESPACE_ASSISTANTS", str(tmp_path / "assistants"))
    model, processor = tiny.qwen3_vl(tiny.qwen_tokenizer())
    model.save_pretrained(tmp_path / "tiny"), processor.save_pretrained(tmp_path / "tiny")
    config = registry.install(str(tmp_path / "tiny"), None, detail=20)
    installed = checkpoint.load(registry.find(config.name))
    picture = picture_of("large", photographs, tmp_path)
    assert 10 < installed.answer(question("What is this?", [picture], max_tokens=1)).outcome.pictures <= 20
    strip = tmp_path / "strip.png"
    Image.new("RGB", (2010, 10)).save(strip)
    with pytest.raises(UnreadableMedia, match="times as long as wide"):
        installed.answer(question("What is this?", [Picture.read(strip)]))
    Image.new("RGB", (1900, 10)).save(strip)
    with pytest.raises(UnreadableMedia, match="strip.png: it is too narrow"):
        installed.answer(question("What is this?", [Picture.read(strip)]))
    with pytest.raises(UnknownAssistant, match="leave --detail out"):
        registry.limited(AssistantConfig(), 20)


@pytest.mark.parametrize("family", ["SmolVLM"], indirect=True)
def test_what_answers_otherwise_than_transformers_is_not_installed(family, monkeypatch, tmp_path):
    monkeypatch.setenv("SAMESPACE_ASSISTANTS", str(tmp_path / "assistants"))
    *_, folder = family
    right = verify._theirs
    for wrong, message in (
        (
            lambda ids, logits: (ids, logits + 0.01 * logits.abs().max() * torch.arange(len(logits)).remainder(2)),
            "a logit differs by",
        ),
        (lambda ids, logits: (ids[1:], logits), "token ids"),
        (lambda ids, logits: (ids, logits * torch.nan), "a logit differs by nan"),
    ):
        monkeypatch.setattr(verify, "_theirs", lambda *given, w=wrong: w(*right(*given)))
        with pytest.raises(UnknownAssistant, match=message):
            registry.install(str(folder), None)
    assert not registry.ASSISTANTS.installed()


@pytest.mark.parametrize("family", ["SmolVLM"], indirect=True)
def test_what_cannot_be_compared_says_so(family, monkeypatch):
    *_, ours, folder = family
    language = checkpoint.read(folder)[1]
    monkeypatch.setattr(verify, "free_memory", lambda: 10)
    assert "no memory" in verify.verified(folder, ours.model, language)["unverified"]
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert "samespace[convert]" in verify.verified(folder, ours.model, language)["unverified"]
    monkeypatch.undo()
    monkeypatch.setattr(verify, "_theirs", lambda *_: 1 / 0)
    assert "transformers itself fails" in verify.verified(folder, ours.model, language)["unverified"]
