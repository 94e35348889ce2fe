"""Tiny random checkpoints of many families, written as the libraries that define them write them."""

import copy
import json
import shutil
from pathlib import Path

import open_clip
import torch
import transformers as T
from open_clip import factory
from open_clip.push_to_hf_hub import save_for_hf
from random_weights import randomised
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

VISION = dict(hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4, image_size=64, patch_size=16)
TEXT = dict(hidden_size=48, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4)
LINES = [
    line
    for file in ("README.md", "docs/assistant.md")
    for line in (Path(__file__).parents[1] / file).read_text("utf-8").split("\n")
]


def clip_tokenizer(folder: Path) -> T.PreTrainedTokenizerBase:
    """CLIP's own, from vocab.json and merges.txt."""
    return T.CLIPTokenizer.from_pretrained(folder)


def unigram_tokenizer() -> T.PreTrainedTokenizerBase:
    """One of XLM-R's kind: <s> … </s>, padded with 1."""
    made = Tokenizer(models.Unigram())
    made.normalizer, made.pre_tokenizer = normalizers.NFKC(), pre_tokenizers.Metaspace()
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    made.train_from_iterator(LINES, trainers.UnigramTrainer(vocab_size=800, special_tokens=special, unk_token="<unk>"))
    made.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    return T.PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="<pad>", cls_token="<s>",
        sep_token="</s>", model_max_length=512,
    )  # fmt: skip


def gemma_tokenizer() -> T.PreTrainedTokenizerBase:
    """SigLIP 2's: byte-pair encoding with bytes to fall back on, padded with 0, an end and no beginning."""
    made = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    made.normalizer, made.pre_tokenizer = normalizers.Replace(" ", "▁"), pre_tokenizers.Split("▁", "merged_with_next")
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", *(f"<0x{i:02X}>" for i in range(256))]
    made.train_from_iterator(LINES, trainers.BpeTrainer(vocab_size=800, special_tokens=special))
    values = json.loads(made.to_str())["model"]
    merges = [tuple(pair) for pair in values["merges"]]
    return T.GemmaTokenizer(
        vocab=values["vocab"], merges=merges, padding_side="right", add_bos_token=False, add_eos_token=True, model_max_length=64
    )


def clip(folder: Path, tokenizer: T.PreTrainedTokenizerBase, new_layout: bool = False, **processor) -> Path:
    """A transformers CLIP with these settings of its image processor."""
    config = T.CLIPConfig(
        projection_dim=24, vision_config=VISION | {"hidden_act": "quick_gelu"},
        text_config=TEXT | dict(vocab_size=49408, bos_token_id=49406, eos_token_id=49407, pad_token_id=49407, hidden_act="quick_gelu"),
    )  # fmt: skip
    sizes = {"size": {"shortest_edge": 64}, "crop_size": {"height": 64, "width": 64}}
    return saved(
        T.CLIPModel(config),
        folder,
        tokenizer,
        T.CLIPImageProcessor(**(sizes | processor)),
        T.CLIPProcessor if new_layout else None,
    )


def saved(model, folder: Path, tokenizer, processor, together=None) -> Path:
    """Write a transformers model; with `together`, its processor in one file, as transformers 5 does."""
    randomised(model).save_pretrained(folder)
    if together:
        together(processor, tokenizer).save_pretrained(folder)
    else:
        processor.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return folder


def siglip_processor() -> T.SiglipImageProcessor:
    return T.SiglipImageProcessor(size={"height": 64, "width": 64})


def siglip2(folder: Path) -> Path:
    """SigLIP 2 of a fixed resolution: SigLIP's classes, Gemma's tokenizer."""
    text = TEXT | dict(hidden_size=64, vocab_size=800, max_position_embeddings=64)
    return saved(
        T.SiglipModel(T.SiglipConfig(vision_config=VISION, text_config=text)), folder, gemma_tokenizer(), siglip_processor()
    )


def flex_siglip2(folder: Path) -> Path:
    """SigLIP 2 for pictures of any shape (NaFlex), with a tokenizer that lowers the case."""
    values = json.loads(gemma_tokenizer().backend_tokenizer.to_str())["model"]
    tokenizer = T.Siglip2Tokenizer(
        vocab=values["vocab"], merges=[tuple(pair) for pair in values["merges"]], padding_side="right", model_max_length=64
    )
    vision = {name: value for name, value in VISION.items() if name != "image_size"} | dict(num_patches=64)
    text = TEXT | dict(hidden_size=64, vocab_size=800, max_position_embeddings=64)
    model = T.Siglip2Model(T.Siglip2Config(vision_config=vision, text_config=text))
    return saved(model, folder, tokenizer, T.Siglip2ImageProcessor(patch_size=16, max_num_patches=64))


def metaclip2(folder: Path) -> Path:
    text = TEXT | dict(vocab_size=800, eos_token_id=2, pad_token_id=1, bos_token_id=0, max_position_embeddings=77)
    config = T.MetaClip2Config(projection_dim=24, vision_config=VISION, text_config=text)
    return saved(T.MetaClip2Model(config), folder, unigram_tokenizer(), _clip_processor())


def altclip(folder: Path) -> Path:
    text = TEXT | dict(vocab_size=800, project_dim=64, pad_token_id=1, max_position_embeddings=514)
    config = T.AltCLIPConfig(projection_dim=24, vision_config=VISION, text_config=text)
    return saved(T.AltCLIPModel(config), folder, unigram_tokenizer(), _clip_processor())


def chinese_clip(folder: Path) -> Path:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *map(chr, range(97, 123)), *(f"##{chr(i)}" for i in range(97, 123))]
    tokenizer = T.BertTokenizer(vocab={word: i for i, word in enumerate(words)}, model_max_length=52)
    config = T.ChineseCLIPConfig(projection_dim=24, vision_config=VISION, text_config=TEXT | dict(vocab_size=800))
    processor = T.ChineseCLIPImageProcessor(
        size={"height": 64, "width": 64}, crop_size={"height": 64, "width": 64}, do_center_crop=False
    )
    return saved(T.ChineseCLIPModel(config), folder, tokenizer, processor)


def _clip_processor() -> T.CLIPImageProcessor:
    return T.CLIPImageProcessor(size={"shortest_edge": 64}, crop_size={"height": 64, "width": 64})


SMALL = {  # open_clip's model → what makes it small
    "ViT-B-32": dict(embed_dim=32, vision_cfg=dict(image_size=64, layers=2, width=64, head_width=16, patch_size=16)),
    "ViT-B-32-quickgelu": dict(embed_dim=32, vision_cfg=dict(image_size=64, layers=2, width=64, head_width=16, patch_size=16)),
    "RN50": dict(vision_cfg=dict(layers=[1, 1, 1, 1], width=16, image_size=64), embed_dim=32),
    "coca_ViT-B-32": dict(vision_cfg=dict(image_size=64, layers=2, width=64, head_width=16, patch_size=16)),
    "MobileCLIP2-S0": {},
    "ViT-B-32-SigLIP2-256": {},
    "convnext_base": dict(vision_cfg=dict(timm_model_name="convnext_atto", image_size=64)),
}


def open_clip_folder(name: str, folder: Path, tokenizer, **preprocess) -> Path:
    """A small open_clip model of this name, as open_clip's push_to_hf_hub writes it."""
    config = copy.deepcopy(open_clip.get_model_config(name))
    text = {} if "SigLIP2" in name else dict(width=48, heads=4)
    for part, values in (SMALL[name] | {"text_cfg": dict(layers=2) | text}).items():
        config[part] = config.get(part, {}) | values if isinstance(values, dict) else values
    factory._MODEL_CONFIGS["tiny"] = config
    image = {f"image_{key}": value for key, value in preprocess.items()}
    model, _, _ = open_clip.create_model_and_transforms("tiny", **image)
    folder.mkdir()
    save_for_hf(randomised(model), tokenizer, config, folder, safe_serialization=True)
    return folder


def open_clip_tokenizer(tokenizer: T.PreTrainedTokenizerBase, folder: Path, **settings):
    """A transformers tokenizer in open_clip's wrapper."""
    tokenizer.save_pretrained(folder)
    return open_clip.tokenizer.HFTokenizer(str(folder), **settings)


def with_nan(folder: Path) -> Path:
    """The same checkpoint with one weight that is not a number."""
    from safetensors.torch import load_file, save_file

    copied = folder.with_name(folder.name + "-nan")
    shutil.copytree(folder, copied)
    file = copied / "model.safetensors"
    state = load_file(file)
    next(tensor for tensor in state.values() if tensor.is_floating_point() and tensor.ndim == 2)[0, 0] = torch.nan
    save_file(state, file, {"format": "pt"})
    return copied
