"""LLaVA: transformers' numbers on random weights, prompt for prompt."""

import json

import pytest
import torch
from conftest import randomised
from tiny_assistant import TEMPLATE, byte_tokenizer, tiny_llava

from samespace.assistant import folder
from samespace.assistant.chat import Chat
from samespace.assistant.request import Message, Picture
from samespace.errors import UnknownAssistant
from samespace.model.llava import PICTURE
from samespace.model.lm import Cache


@pytest.fixture(scope="module")
def llava(tmp_path_factory):
    """A tiny random LLaVA as transformers saves it, and the model."""
    from transformers import LlavaConfig, LlavaForConditionalGeneration

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("llava")
    config = LlavaConfig(
        vision_config=dict(
            model_type="clip_vision_model", hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=4,
            image_size=32, patch_size=8, projection_dim=16,
        ),
        text_config=dict(
            model_type="llama", vocab_size=260, hidden_size=48, intermediate_size=96, num_hidden_layers=2,
            num_attention_heads=6, num_key_value_heads=2,
        ),
        image_token_index=259, vision_feature_layer=-2, vision_feature_select_strategy="default",
    )  # fmt: skip
    model = randomised(LlavaForConditionalGeneration(config))
    model.save_pretrained(path)
    byte_tokenizer().save(str(path / "tokenizer.json"))
    (path / "chat_template.jinja").write_text(TEMPLATE)
    return path, model


@pytest.mark.parametrize("pictures", [0, 1, 3])
def test_logits_are_transformers(llava, pictures, photographs):
    path, theirs = llava
    ours, language = folder.read(path)
    chat = Chat(language)
    shown = [Picture.read(photographs / name) for name in ("chelsea.png", "coffee.png", "rocket.jpg")[:pictures]]
    prompt = chat.prompt((Message("user", (*shown, "What is in this image?")),), {p.digest: 16 for p in shown})
    ids = torch.tensor([prompt.ids])
    pixels = torch.randn(pictures, 3, 32, 32)
    with torch.inference_mode():
        seen = ours.see(pixels).flatten(0, 1) if pictures else torch.empty(0, 48)
        got = ours.lm.logits(ours(ids, seen))
        their_ids = ids.masked_fill(ids == PICTURE, 259)
        want = theirs(their_ids, pixel_values=pixels if pictures else None).logits
        last = ours.prefill(ids, seen, Cache(2))
    assert (ids == PICTURE).sum() == 16 * pictures
    assert (got - want).abs().max() < 1e-4 * want.abs().max()
    torch.testing.assert_close(last, got[0, -1], atol=1e-4, rtol=1e-4)


def test_the_names_of_files_and_of_models_are_known(llava):
    path, theirs = llava
    ours, _ = folder.read(path)
    in_files, in_memory = folder.read_shards(path), theirs.state_dict()
    assert any(n.startswith("language_model.model.") for n in in_files)
    assert any(n.startswith("model.language_model.") for n in in_memory)
    for names in (in_files, in_memory):
        assert folder.llava_names(names).keys() == ours.state_dict().keys()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"model_type": "blip"}, "blip"),
        ({"vision_feature_layer": [-2, -5]}, "several layers"),
        ({"vision_feature_select_strategy": "full"}, "class token"),
        ({"vision_config": {"model_type": "siglip_vision_model"}}, "siglip"),
    ],
)
def test_what_is_not_supported_is_refused(llava, tmp_path, change, says):
    config = json.loads((llava[0] / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(UnknownAssistant, match=says):
        folder.read(tmp_path)


def test_our_folder_comes_back(tiny_folder, photographs):
    wide, _ = folder.read(tiny_folder)
    narrow, _ = folder.read(tiny_folder, keep_narrow=True)
    pixels = torch.from_numpy(folder.load(tiny_folder).pixels(Picture.read(photographs / "coffee.png")))
    assert pixels.shape == (5, 3, 32, 32)
    ids = torch.tensor([[65, *[PICTURE] * 80, 66, 67]])
    with torch.inference_mode():
        a = wide.lm.logits(wide(ids, wide.see(pixels).flatten(0, 1)))
        b = narrow.lm.logits(narrow(ids, narrow.see(pixels).flatten(0, 1)))
    assert (a - b).abs().max() < 5e-3 * a.abs().max()


def test_a_vector_becomes_tokens_before_the_patches():
    model, pixels = tiny_llava(z_tokens=2, places=4), torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        seen, z = model.see(pixels), model.image(pixels)
        torch.testing.assert_close(seen[:, 2:], model.named(pixels) + model.place)
        torch.testing.assert_close(seen[:, :2], model.of_z(3 * z))  # only its direction counts
    assert seen.shape == (2, 2 + 16, 48) and not torch.equal(seen[0, 0], seen[1, 0])
