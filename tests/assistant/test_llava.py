"""LLaVA against transformers on random weights, and the starter's labels."""

import json
import shutil

import pytest
import tiny_checkpoints as tiny
import torch
import transformers as T
from PIL import Image
from random_weights import randomised
from tiny_assistant import TEMPLATE, byte_ids, byte_tokenizer, pixels_of, set_labels, tiny_llava
from torch.nn.functional import interpolate, normalize
from typer.testing import CliRunner

from samespace.assistant import checkpoint, registry
from samespace.assistant.chat import Chat
from samespace.assistant.language import Language
from samespace.assistant.request import Message, Picture, question
from samespace.cli.main import app
from samespace.core.errors import UnknownAssistant
from samespace.models.llava import IMAGE_TOKEN
from samespace.models.lm import Cache
from samespace.models.starter.label_bank import LabelBank
from samespace.spaces.checkpoints import weight_maps
from samespace.spaces.checkpoints.tensors import read_weights


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
    ours, language = checkpoint.read(path)
    chat = Chat(language)
    shown = [Picture.read(photographs / name) for name in ("chelsea.png", "coffee.png", "rocket.jpg")[:pictures]]
    prompt = chat.prompt((Message("user", (*shown, "What is in this image?")),), {p.digest: [IMAGE_TOKEN] * 16 for p in shown})
    ids = torch.tensor([prompt.ids])
    pixels = torch.randn(pictures, 3, 32, 32)
    with torch.inference_mode():
        tokens = ours.encode_image(pixels).tokens.flatten(0, 1) if pictures else torch.empty(0, 48)
        got = ours.lm.logits(ours(ids, tokens))
        their_ids = ids.masked_fill(ids == IMAGE_TOKEN, 259)
        want = theirs(their_ids, pixel_values=pixels if pictures else None).logits
        last = ours.prefill(ids, tokens, Cache(2))
    assert (ids == IMAGE_TOKEN).sum() == 16 * pictures
    assert (got - want).abs().max() < 1e-4 * want.abs().max()
    torch.testing.assert_close(last, got[0, -1], atol=1e-4, rtol=1e-4)


PUBLISHED = (
    "{% for message in messages %}{% if message['role'] != 'system' %}{{ message['role'].upper() + ': '}}{% endif %}"
    "{# Render all images first #}{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}"
    "{{ '<image>\n' }}{% endfor %}{# Render all text next #}{% if message['role'] != 'assistant' %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}{{ content['text'] + ' '}}{% endfor %}"
    "{% else %}{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}"
    "{% generation %}{{ content['text'] + ' '}}{% endgeneration %}{% endfor %}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)
"""The chat template of llava-hf/llava-1.5-7b-hf: it marks the assistant's words with a tag of transformers."""
TOWERS = {"CLIP": ("clip_vision_model", -2, "default"), "SigLIP": ("siglip_vision_model", -1, "full")}
LANGUAGE_MODELS = {
    "Llama": {"model_type": "llama"}, "Mistral": {"model_type": "mistral"}, "Qwen 2": {"model_type": "qwen2"},
}  # fmt: skip


@pytest.mark.parametrize("tower", TOWERS)
@pytest.mark.parametrize("language", LANGUAGE_MODELS)
def test_llavas_of_several_parts_answer_as_in_transformers(tmp_path, photographs, monkeypatch, tower, language):
    """Pulled and asked through the command line, with the published template: the same tokens as transformers' processor and
    model."""
    tokenizer, (kind, layer, strategy) = tiny.gemma_tokenizer(), TOWERS[tower]
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    image_token = tokenizer.convert_tokens_to_ids("<image>")
    sizes = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4)
    config = T.LlavaConfig(
        vision_config=sizes | dict(model_type=kind, image_size=64, patch_size=16),
        text_config=sizes | LANGUAGE_MODELS[language] | dict(
            num_key_value_heads=2, vocab_size=image_token + 4, max_position_embeddings=512, eos_token_id=1
        ),
        image_token_index=image_token, vision_feature_layer=layer, vision_feature_select_strategy=strategy,
    )  # fmt: skip
    torch.manual_seed(0)
    theirs = randomised(T.LlavaForConditionalGeneration(config)).eval()
    image_processor = (
        T.CLIPImageProcessorPil(size={"shortest_edge": 64}, crop_size={"height": 64, "width": 64})
        if tower == "CLIP"
        else T.SiglipImageProcessorPil(size={"height": 64, "width": 64})
    )
    processor = T.LlavaProcessor(
        image_processor, tokenizer, patch_size=16, vision_feature_select_strategy=strategy, chat_template=PUBLISHED,
        image_token="<image>", num_additional_image_tokens=int(tower == "CLIP"),
    )  # fmt: skip
    theirs.save_pretrained(tmp_path / "tiny")
    processor.save_pretrained(tmp_path / "tiny")
    monkeypatch.setenv("SAMESPACE_ASSISTANTS", str(tmp_path / "installed"))
    photograph = photographs / "chelsea.png"
    asked = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is this?"}]}]
    text = processor.apply_chat_template(asked, add_generation_prompt=True)
    inputs = processor(images=[Image.open(photograph).convert("RGB")], text=text, return_tensors="pt")
    want = theirs.generate(**inputs, max_new_tokens=12, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    model, chat = (loaded := checkpoint.load(tmp_path / "tiny")).model, loaded.chat
    prompt, image_tokens = loaded.prompt((Message("user", (Picture.read(photograph), "What is this?")),))
    assert [image_token if i == IMAGE_TOKEN else i for i in prompt.ids] == inputs["input_ids"][0].tolist()
    assert model.c.image.image_size == 64
    with torch.inference_mode():
        got = model.lm.logits(model(torch.tensor([prompt.ids]), next(iter(image_tokens.values()))))
        logits = theirs(**inputs).logits
    assert (got - logits).abs().max() < 1e-4 * logits.abs().max()
    answer = loaded.answer(question("What is this?", [Picture.read(photograph)], max_tokens=12)).text
    assert answer == "".join(chat.decode(iter(t for t in want.tolist() if t != 1), ()))
    run = CliRunner().invoke
    assert run(app, ["assistants", "pull", str(tmp_path / "tiny"), "--yes"]).exit_code == 0
    said = run(app, ["ask", str(photograph), "What is this?", "-a", str(tmp_path / "tiny"), "--max-tokens", "12"])
    assert said.exit_code == 0


def test_a_template_that_cannot_be_read_is_said_when_pulled(llava, tmp_path, monkeypatch):
    monkeypatch.setenv("SAMESPACE_ASSISTANTS", str(tmp_path / "installed"))
    shutil.copytree(llava[0], tmp_path / "broken")
    (tmp_path / "broken/chat_template.jinja").write_text("{% for m in messages %}{% unknown %}{% endfor %}")
    with pytest.raises(UnknownAssistant, match="unknown"):
        registry.install(str(tmp_path / "broken"), None)
    assert not (tmp_path / "installed").exists()


def test_weights_are_renamed_from_files_and_from_models(llava):
    path, theirs = llava
    ours, _ = checkpoint.read(path)
    in_files, in_memory = read_weights(path), theirs.state_dict()
    assert any(n.startswith("language_model.model.") for n in in_files)
    assert any(n.startswith("model.language_model.") for n in in_memory)
    for weights in (in_files, in_memory):
        assert weight_maps.assistant_names(weights).keys() == ours.state_dict().keys()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "blip"}, "blip"),
        ({"vision_feature_layer": [-2, -5]}, "several layers"),
        ({"vision_feature_select_strategy": "full"}, "class token"),
        ({"vision_config": {"model_type": "pixtral"}}, "pixtral"),
    ],
)
def test_what_is_not_supported_is_refused(llava, tmp_path, change, message):
    config = json.loads((llava[0] / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(UnknownAssistant, match=message):
        checkpoint.read(tmp_path)


def test_int8_and_fp32_logits_of_our_folder_agree(tiny_folder, photographs):
    fp32, _ = checkpoint.read(tiny_folder)
    int8, _ = checkpoint.read(tiny_folder, quantized=True)
    pixels = torch.from_numpy(pixels_of(checkpoint.load(tiny_folder), Picture.read(photographs / "coffee.png")))
    assert pixels.shape == (5, 3, 32, 32)
    ids = torch.tensor([[65, *[IMAGE_TOKEN] * 80, 66, 67]])
    with torch.inference_mode():
        a = fp32.lm.logits(fp32(ids, fp32.encode_image(pixels).tokens.flatten(0, 1)))
        b = int8.lm.logits(int8(ids, int8.encode_image(pixels).tokens.flatten(0, 1)))
    assert (a - b).abs().max() < 5e-3 * a.abs().max()


def test_labels_come_before_the_patches():
    model = set_labels(tiny_llava(labels=3, label_length=4, position_grid=4), ["cat", "dog", "cow"])
    pixels = torch.rand(2, 3, 32, 32)
    model.memory.z[1] = normalize(model.image(pixels[:1])[0].detach(), dim=0)  # the first image is a dog
    with torch.inference_mode():
        tokens = model.encode_image(pixels).tokens
        torch.testing.assert_close(tokens[:, 4:], model.projected(pixels) + model.place)
        torch.testing.assert_close(tokens[0, :4], model.lm.embed(byte_ids("dog.")))
    assert tokens.shape == (2, 4 + 16, 48)


def test_a_crop_has_a_mixed_label_with_its_position():
    model = set_labels(tiny_llava(labels=3, label_length=4, crop_grid=2, position_grid=4), ["cat", "dog", "cow"])
    pixels = torch.rand(1, 3, 32, 32)
    with torch.inference_mode():
        model.place.normal_()
        quarter = interpolate(pixels[..., 16:, :16], (32, 32), mode="bilinear")
        torch.testing.assert_close(model.crops(pixels)[2:3], quarter)  # row by row: the third is at the bottom left
        nearest, probabilities = model.memory.nearest(model.image(quarter))
        labels = [model.lm.embed(byte_ids(label)).mean(dim=0) for label in ("cat", "dog", "cow")]
        mixed = sum(p * labels[i] for i, p in zip(nearest[0].tolist(), probabilities[0]))
        position = model.place.view(4, 4, -1)[2:, :2].mean(dim=(0, 1))
        torch.testing.assert_close(model.encode_image(pixels).tokens[0, 4 + 2], mixed + position)
    assert model.encode_image(pixels).tokens.shape == (1, 4 + 4 + 16, 48)


def test_labels_that_are_near_to_everything_score_lower():
    bank = LabelBank(labels=3, dim=2, length=1)
    bank.z.copy_(normalize(torch.tensor([[1.0, 0.0], [0.9, 0.4], [0.0, 1.0]])))
    bank.common.copy_(torch.tensor([0.5, 0.9, 0.5]))  # the second is near to images of all kinds
    z = 3 * normalize(torch.tensor([[1.0, 0.3]]))  # 17° from the first, 7° from the second
    cosines = torch.tensor([[0.9578, 0.9920, 0.2873]])
    torch.testing.assert_close(bank.scores(z), cosines - torch.tensor([0.25, 0.45, 0.25]), atol=1e-4, rtol=0)
    assert bank.nearest(z)[0].tolist() == [[0, 1, 2]]


def test_a_label_bank_is_stored_exactly(tmp_path):
    model = set_labels(tiny_llava(labels=2, label_length=4), ["cat", "dog"])
    checkpoint.write(tmp_path, model, Language(model.lm, byte_tokenizer(), TEMPLATE, {}))
    stored, _ = checkpoint.read(tmp_path, quantized=True)
    assert stored.memory.ids.tolist() == model.memory.ids.tolist() and stored.memory.ids.dtype == torch.int32
    assert stored.memory.lengths.tolist() == [3, 3]
