"""Our towers against transformers and open_clip on the same weights."""

import json
import pickle
import shutil

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from random_weights import randomised
from safetensors.torch import save_file
from transformers import BertConfig, BertModel, CLIPConfig, CLIPModel, SiglipConfig, SiglipModel

from samespace.core.config import HybridImageTower, TextTower
from samespace.core.errors import UnknownSpace, WeightsMismatch
from samespace.models.clip import DualEncoder
from samespace.models.starter.hybrid_vit import HybridViT
from samespace.models.text import TextTransformer
from samespace.spaces.checkpoints import checkpoint, open_clip_layout
from samespace.spaces.checkpoints.tensors import dequantize, fill

EXACT = 1e-5


def assert_same_space(ours: DualEncoder, pixels, ids, z_image, z_text, logits):
    """Vectors and logits of ours are the reference's."""
    with torch.no_grad():
        mine_image, mine_text = ours(pixels, ids)
        mine_logits = ours.logits(mine_image, mine_text)
    unit = torch.nn.functional.normalize
    assert (mine_image - unit(z_image, dim=-1)).abs().max() < EXACT
    assert (mine_text - unit(z_text, dim=-1)).abs().max() < EXACT
    assert (mine_logits - logits).abs().max() < EXACT * max(1, ours.logit_scale.exp().item())


def clip_ids(rows: int, length: int = 77) -> torch.Tensor:
    """Random token ids with the start, an end somewhere, and padding after it."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(1, 49000, (rows, length), generator=generator)
    for i in range(rows):
        end = 2 + 7 * i
        ids[i, 0], ids[i, end], ids[i, end + 1 :] = 49406, 49407, 49407
    return ids


def save_model(model, folder, clip_tokenizer_folder):
    model.save_pretrained(folder)
    for file in clip_tokenizer_folder.iterdir():
        shutil.copy(file, folder)


@pytest.mark.parametrize("act", ["quick_gelu", "gelu"])
def test_clip_equals_transformers(tmp_path, clip_tokenizer_folder, act):
    torch.manual_seed(2)
    vision = dict(hidden_size=48, intermediate_size=80, num_hidden_layers=3, num_attention_heads=4, image_size=56, patch_size=14)
    text = dict(hidden_size=32, intermediate_size=72, num_hidden_layers=2, num_attention_heads=4, eos_token_id=49407)
    config = CLIPConfig(projection_dim=20, vision_config=vision | {"hidden_act": act}, text_config=text | {"hidden_act": act})
    theirs = randomised(CLIPModel(config))
    save_model(theirs, tmp_path, clip_tokenizer_folder)
    pixels, ids = torch.randn(5, 3, 56, 56), clip_ids(5)
    with torch.no_grad():
        out = theirs(input_ids=ids, pixel_values=pixels)
    ours = checkpoint.load(tmp_path).model
    assert_same_space(ours, pixels, ids, out.image_embeds, out.text_embeds, out.logits_per_image)


def test_siglip_equals_transformers(tmp_path, clip_tokenizer_folder):
    torch.manual_seed(3)
    vision = dict(hidden_size=48, intermediate_size=80, num_hidden_layers=2, num_attention_heads=4, image_size=64, patch_size=16)
    text = dict(
        hidden_size=48, intermediate_size=72, num_hidden_layers=2, num_attention_heads=4, vocab_size=49408, projection_size=48
    )
    theirs = randomised(SiglipModel(SiglipConfig(vision_config=vision, text_config=text)))
    save_model(theirs, tmp_path, clip_tokenizer_folder)
    pixels, ids = torch.randn(5, 3, 64, 64), torch.randint(0, 49408, (5, 64))
    with torch.no_grad():
        out = theirs(input_ids=ids, pixel_values=pixels)
    loaded = checkpoint.load(tmp_path)
    assert_same_space(loaded.model, pixels, ids, out.image_embeds, out.text_embeds, out.logits_per_image)
    assert loaded.config.logit_bias == pytest.approx(theirs.logit_bias.item())
    assert (loaded.config.prep.resize, loaded.config.prep.mean) == ("squash", (0.5, 0.5, 0.5))


TINY_OPEN_CLIP = {
    "clip": {
        "embed_dim": 20,
        "vision_cfg": {"image_size": 64, "layers": 2, "width": 64, "patch_size": 16, "head_width": 16},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 4, "layers": 2},
    },
    "clip-quickgelu": {
        "embed_dim": 20,
        "quick_gelu": True,
        "vision_cfg": {"image_size": 64, "layers": 2, "width": 64, "patch_size": 32, "head_width": 32},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
    },
}


@pytest.mark.parametrize("name", TINY_OPEN_CLIP)
def test_clip_equals_open_clip(tmp_path, clip_tokenizer_folder, name):
    torch.manual_seed(4)
    model_cfg = TINY_OPEN_CLIP[name]
    theirs = randomised(open_clip.CLIP(**{**model_cfg}))
    save_open_clip(theirs, model_cfg, tmp_path, clip_tokenizer_folder)
    pixels, ids = torch.randn(4, 3, 64, 64), clip_ids(4)
    ids[:, 1:] = torch.where(ids[:, 1:] == 49407, torch.where(first_end(ids[:, 1:]), 49407, 0), ids[:, 1:])  # padded with 0
    with torch.no_grad():
        z_image, z_text, scale = theirs(pixels, ids)
    ours = checkpoint.load(tmp_path)
    assert_same_space(ours.model, pixels, ids, z_image, z_text, scale * z_image @ z_text.T)
    assert ours.config.prep.clean == "clip"


def first_end(ids: torch.Tensor) -> torch.Tensor:
    ends = ids == 49407
    return ends & (ends.cumsum(dim=1) == 1)


def save_open_clip(model, model_cfg, folder, clip_tokenizer_folder):
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "open_clip_model.safetensors")
    preprocess = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4], "interpolation": "bicubic", "resize_mode": "shortest"}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": model_cfg, "preprocess_cfg": preprocess}))
    for file in clip_tokenizer_folder.iterdir():
        shutil.copy(file, folder)


def test_siglip_equals_open_clip(tmp_path, clip_tokenizer_folder, monkeypatch):
    """SigLIP in open_clip is a timm ViT with attention pooling and a text tower without a causal mask."""
    torch.manual_seed(5)
    monkeypatch.setitem(open_clip_layout.TIMM_SIZES, "base", (64, 2, 4, 128))
    model_cfg = {
        "embed_dim": 64,
        "init_logit_bias": -10,
        "vision_cfg": {
            "image_size": 64,
            "timm_model_name": "vit_base_patch16_siglip_224",
            "timm_model_pretrained": False,
            "timm_pool": "map",
            "timm_proj": "none",
        },
        "text_cfg": {
            "context_length": 16, "vocab_size": 49408, "width": 64, "heads": 4, "layers": 2, "no_causal_mask": True,
            "proj_bias": True, "pool_type": "last", "norm_kwargs": {"eps": 1e-6},
            "tokenizer_kwargs": {"clean": "canonicalize"},
        },
    }  # fmt: skip
    import timm

    real = timm.create_model
    small = dict(embed_dim=64, depth=2, num_heads=4, mlp_ratio=2, img_size=64)
    monkeypatch.setattr(timm, "create_model", lambda name, **kw: real(name, **kw, **small))
    text_cfg = {k: v for k, v in model_cfg["text_cfg"].items() if k != "tokenizer_kwargs"}
    theirs = randomised(open_clip.CustomTextCLIP(**(model_cfg | {"text_cfg": text_cfg})))
    save_open_clip(theirs, model_cfg, tmp_path, clip_tokenizer_folder)
    pixels, ids = torch.randn(4, 3, 64, 64), torch.randint(0, 49408, (4, 16))
    with torch.no_grad():
        z_image, z_text, scale, bias = theirs(pixels, ids)
    loaded = checkpoint.load(tmp_path)
    assert_same_space(loaded.model, pixels, ids, z_image, z_text, scale * z_image @ z_text.T + bias)
    assert loaded.config.prep.clean == "canonicalize"


def test_full_size_vit_b_32_equals_open_clip(tmp_path, clip_tokenizer_folder, photographs):
    """All of ViT-B/32, on real photographs, from their preprocessing to logits."""
    torch.manual_seed(6)
    theirs, _, preprocess = open_clip.create_model_and_transforms("ViT-B-32")
    theirs.eval()
    config = open_clip.get_model_config("ViT-B-32")
    save_open_clip(theirs, config, tmp_path, clip_tokenizer_folder)
    names = ("chelsea.png", "coffee.png", "astronaut.png", "rocket.jpg")
    pixels = torch.stack([preprocess(Image.open(photographs / name)) for name in names])
    ids = open_clip.get_tokenizer("ViT-B-32")(["a cat", "a cup of coffee", "an astronaut 👩‍🚀", "ロケット"])
    with torch.no_grad():
        z_image, z_text, scale = theirs(pixels, ids)
    ours = checkpoint.load(tmp_path).model
    assert sum(p.numel() for p in ours.parameters()) == 151_277_313
    assert_same_space(ours, pixels, ids, z_image, z_text, scale * z_image @ z_text.T)


def test_bert_equals_transformers(tmp_path):
    torch.manual_seed(7)
    config = BertConfig(vocab_size=300, hidden_size=48, num_hidden_layers=2, num_attention_heads=4, intermediate_size=96)
    theirs = randomised(BertModel(config))
    theirs.save_pretrained(tmp_path)
    tower = TextTower(
        vocab=300,
        context=512,
        width=48,
        layers=2,
        heads=4,
        mlp=96,
        eps=1e-12,
        mask="padding",
        post_norm=True,
        pool="mean",
        dim=48,
    )
    ours = TextTransformer(tower).eval()
    weights = checkpoint.read_bert(tmp_path / "model.safetensors")
    fill(ours, {k.removeprefix("text."): v for k, v in weights.items()}, partial=True)
    torch.nn.init.eye_(ours.proj.weight)
    ids = torch.randint(1, 300, (3, 9))
    ids[1, 5:], ids[2, 2:] = 0, 0
    attention_mask = (ids != 0).long()
    with torch.no_grad():
        hidden = theirs(input_ids=ids, attention_mask=attention_mask).last_hidden_state
        mean = (hidden * attention_mask[..., None]).sum(1) / attention_mask.sum(1, keepdim=True)
        assert (ours(ids) - mean).abs().max() < EXACT


@pytest.mark.parametrize("name", ["efficientnet_lite0", "efficientnet_lite2"])
def test_efficientnet_lite_equals_timm(tmp_path, name):
    """timm's port of the same architecture; its state is saved under the release's names, norms included."""
    import timm

    torch.manual_seed(8)
    theirs = randomised(timm.create_model(name, num_classes=10))
    for module in theirs.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 1.5)
            module.eps = 1e-3
    torch.save(release_names(theirs), tmp_path / "lite.pth")
    weights = checkpoint.read_efficientnet(tmp_path / "lite.pth")
    tower = HybridImageTower(backbone=name, classes=10, prior_dim=8, patch=1, width=32, layers=1, heads=2, mlp=64, image_size=96)
    ours = HybridViT(tower).eval()
    fill(ours, {k.removeprefix("image."): v for k, v in weights.items()}, partial=True)
    pixels = torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        features = ours.trunk(pixels)
        # random norms with small variances amplify rounding, layer by layer; a wrong layer is off by units, not by 0.1%
        assert (features - theirs.forward_features(pixels)).abs().max() < 1e-3 * features.abs().max()
        logits = ours.prior.classifier(features.mean((2, 3)))
        assert torch.allclose(logits, theirs(pixels), rtol=1e-3, atol=1e-3)


def release_names(model) -> dict[str, torch.Tensor]:
    """timm's EfficientNet state under the names of the PyTorch EfficientNet-Lite release."""
    out, number = {}, 0
    ends = {"conv_stem": "_conv_stem", "bn1": "_bn0", "conv_head": "_conv_head", "bn2": "_bn1", "classifier": "_fc"}
    for stage in model.blocks:
        for block in stage:
            separable = not hasattr(block, "conv_pwl")
            parts = {"conv_dw": "_depthwise_conv", "bn1": "_bn1", "conv_pw": "_project_conv", "bn2": "_bn2"}
            if not separable:
                parts = {"conv_pw": "_expand_conv", "bn1": "_bn0", "conv_dw": "_depthwise_conv", "bn2": "_bn1",
                         "conv_pwl": "_project_conv", "bn3": "_bn2"}  # fmt: skip
            for theirs, ours in parts.items():
                for key, tensor in getattr(block, theirs).state_dict().items():
                    out[f"_blocks.{number}.{ours}.{key}"] = tensor
            number += 1
    for theirs, ours in ends.items():
        for key, tensor in getattr(model, theirs).state_dict().items():
            out[f"{ours}.{key}"] = tensor
    return out


def test_positions_are_interpolated_to_another_size(tmp_path, tiny_clip_folder):
    """A checkpoint read at a larger image size has open_clip's interpolated positions."""
    folder = tmp_path / "larger"
    shutil.copytree(tiny_clip_folder, folder)
    values = json.loads((folder / "config.json").read_text())
    values["vision_config"]["image_size"] = 96
    (folder / "config.json").write_text(json.dumps(values))
    (folder / "preprocessor_config.json").write_text(json.dumps({"size": {"shortest_edge": 96}, "crop_size": 96}))
    larger = checkpoint.load(folder).model.image
    state = {"visual.positional_embedding": checkpoint.load(tiny_clip_folder).model.image.pos_embed.detach().clone()}
    visual = open_clip.CLIP(
        24, {"image_size": 96, "layers": 1, "width": 48, "patch_size": 16, "head_width": 12},
        {"context_length": 7, "vocab_size": 10, "width": 8, "heads": 1, "layers": 1},
    )  # fmt: skip
    open_clip.model.resize_pos_embed(state, visual)
    assert larger.pos_embed.shape == (37, 48)
    assert torch.allclose(larger.pos_embed, state["visual.positional_embedding"], atol=1e-6)


def test_refuses_what_it_does_not_know(tmp_path, tiny_clip_folder):
    with pytest.raises(UnknownSpace, match=r"holds none of space\.json"):
        checkpoint.load(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(UnknownSpace, match="is a language model"):
        checkpoint.load(tmp_path)
    (tmp_path / "config.json").write_text("{broken")
    with pytest.raises(UnknownSpace, match="download it again"):
        checkpoint.load(tmp_path)


def test_refuses_weights_of_another_shape(tmp_path, tiny_clip_folder):
    folder = tmp_path / "odd"
    shutil.copytree(tiny_clip_folder, folder)
    values = json.loads((folder / "config.json").read_text())
    values["vision_config"]["intermediate_size"] = 100
    (folder / "config.json").write_text(json.dumps(values))
    with pytest.raises(WeightsMismatch, match="has shape"):
        checkpoint.load(folder)


class Evil:
    def __reduce__(self):
        return (print, ("this must never run",))


def test_never_runs_code_from_weights(tmp_path, tiny_clip_folder, capsys):
    folder = tmp_path / "evil"
    shutil.copytree(tiny_clip_folder, folder)
    (folder / "model.safetensors").unlink()
    with open(folder / "pytorch_model.bin", "wb") as file:
        pickle.dump({"weight": Evil()}, file)
    with pytest.raises(WeightsMismatch, match="refused"):
        checkpoint.load(folder)
    assert "never run" not in capsys.readouterr().out


def test_truncated_weights_are_one_sentence(tmp_path, tiny_clip_folder):
    folder = tmp_path / "cut"
    shutil.copytree(tiny_clip_folder, folder)
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WeightsMismatch, match="download it again"):
        checkpoint.load(folder)


def test_int8_weights_come_back_as_numbers():
    exact = np.float32([[0.5, -1.0], [0.25, 2.0], [0.0, 1.0]])  # (out, in)
    scale = np.abs(exact).max(axis=1) / 127
    stored = {
        "fc.weight.T_quantized": torch.tensor((exact / scale[:, None]).round().astype(np.int8).T.copy()),
        "fc.weight.T_scale": torch.tensor(scale),
        "fc.bias": torch.tensor([1.0, 2.0, 3.0], dtype=torch.float16),
    }
    out = dequantize(stored)
    assert set(out) == {"fc.weight", "fc.bias"}
    assert torch.allclose(out["fc.weight"], torch.tensor(exact), atol=float(scale.max()))
    assert out["fc.bias"].dtype == torch.float32


def test_models_that_would_load_and_be_wrong_are_refused(tmp_path, tiny_clip_folder):
    for text in ({"eos_id": 2}, {"embed_cls": True}):
        model = {"embed_dim": 8, "vision_cfg": {}, "text_cfg": text}
        (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": model}))
        with pytest.raises(UnknownSpace, match="not supported yet"):
            checkpoint.load(tmp_path)


def test_sizes_that_the_patch_does_not_divide(tmp_path, clip_tokenizer_folder):
    """384 px in patches of 14: the last six pixels are not seen, as with the checkpoints' convolution."""
    torch.manual_seed(9)
    vision = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2, image_size=38, patch_size=8)
    text = dict(
        hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2, vocab_size=49408, projection_size=32
    )
    theirs = randomised(SiglipModel(SiglipConfig(vision_config=vision, text_config=text)))
    save_model(theirs, tmp_path, clip_tokenizer_folder)
    pixels, ids = torch.randn(2, 3, 38, 38), torch.randint(0, 49408, (2, 64))
    with torch.no_grad():
        out = theirs(input_ids=ids, pixel_values=pixels)
    assert_same_space(checkpoint.load(tmp_path).model, pixels, ids, out.image_embeds, out.text_embeds, out.logits_per_image)
