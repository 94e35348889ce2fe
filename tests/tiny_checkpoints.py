"""Tiny random checkpoints of many families, written as the libraries that define them write them."""

import copy
import json
import shutil
import warnings
from pathlib import Path

import open_clip
import torch
import transformers as T
from open_clip import factory
from open_clip.push_to_hf_hub import save_for_hf
from random_weights import randomised
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

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


def bert_tokenizer(length: int) -> T.PreTrainedTokenizerBase:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *map(chr, range(97, 123)), *(f"##{chr(i)}" for i in range(97, 123))]
    return T.BertTokenizer(vocab={word: i for i, word in enumerate(words)}, model_max_length=length)


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
    tokenizer = bert_tokenizer(52)
    config = T.ChineseCLIPConfig(projection_dim=24, vision_config=VISION, text_config=TEXT | dict(vocab_size=800))
    processor = T.ChineseCLIPImageProcessor(
        size={"height": 64, "width": 64}, crop_size={"height": 64, "width": 64}, do_center_crop=False
    )
    return saved(T.ChineseCLIPModel(config), folder, tokenizer, processor)


def align(folder: Path) -> Path:
    vision = dict(image_size=64, width_coefficient=0.1, depth_coefficient=0.1, hidden_dim=320)
    config = T.AlignConfig(projection_dim=32, text_config=TEXT | dict(vocab_size=800), vision_config=vision)
    processor = T.EfficientNetImageProcessor(size={"height": 64, "width": 64}, do_center_crop=False, include_top=False)
    return saved(T.AlignModel(config), folder, bert_tokenizer(512), processor)


def two_encoders(folder: Path) -> Path:
    """A VisionTextDualEncoder of a ViT and a BERT."""
    parts = T.ViTConfig(**VISION), T.BertConfig(**TEXT, vocab_size=800)
    config = T.VisionTextDualEncoderConfig.from_vision_text_configs(*parts, projection_dim=24)
    processor = T.ViTImageProcessor(size={"height": 64, "width": 64})
    return saved(T.VisionTextDualEncoderModel(config), folder, bert_tokenizer(512), processor)


def siglip1(folder: Path) -> Path:
    """SigLIP 1 as its repository has it: SentencePiece's file, and no tokenizer.json."""
    text = TEXT | dict(hidden_size=64, vocab_size=800, max_position_embeddings=64)
    model = T.SiglipModel(T.SiglipConfig(vision_config=VISION, text_config=text))
    randomised(model).save_pretrained(folder)
    siglip_processor().save_pretrained(folder)
    (folder / "spiece.model").write_bytes(sentencepiece_model(folder.parent / "words"))
    settings = {
        "tokenizer_class": "SiglipTokenizer",
        "model_max_length": 64,
        "pad_token": "</s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def sentencepiece_model(stem: Path) -> bytes:
    """A unigram vocabulary as SentencePiece writes it, with T5's special tokens."""
    import sentencepiece

    stem.with_suffix(".txt").write_text("\n".join(LINES), "utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(stem.with_suffix(".txt")), model_prefix=str(stem), vocab_size=800, pad_id=0, eos_id=1, unk_id=2, bos_id=-1,
        minloglevel=2,
    )  # fmt: skip
    return stem.with_suffix(".model").read_bytes()


def dinov2(folder: Path) -> Path:
    return pictures_only(T.Dinov2Model(T.Dinov2Config(**VISION)), folder, T.BitImageProcessor)


def dinov3(folder: Path) -> Path:
    model = T.DINOv3ViTModel(T.DINOv3ViTConfig(**VISION))
    randomised(model).save_pretrained(folder)
    T.DINOv3ViTImageProcessor(size={"height": 64, "width": 64}).save_pretrained(folder)
    return folder


def vit(folder: Path) -> Path:
    model = T.ViTModel(T.ViTConfig(**VISION))
    randomised(model).save_pretrained(folder)
    T.ViTImageProcessor(size={"height": 64, "width": 64}).save_pretrained(folder)
    return folder


def vit_classifier(folder: Path) -> Path:
    """A ViT as those with a classifier are: without a pooler."""
    model = T.ViTForImageClassification(T.ViTConfig(**VISION))
    randomised(model).save_pretrained(folder)
    T.ViTImageProcessor(size={"height": 64, "width": 64}).save_pretrained(folder)
    return folder


def pictures_only(model, folder: Path, processor) -> Path:
    randomised(model).save_pretrained(folder)
    processor(size={"shortest_edge": 72}, crop_size={"height": 64, "width": 64}).save_pretrained(folder)
    return folder


def timm_folder(folder: Path, name: str = "vit_tiny_patch16_224", **settings) -> Path:
    """A model of timm, as its push_to_hf_hub writes it."""
    import timm

    model = randomised(timm.create_model(name, pretrained=False, num_classes=5, **settings))
    timm.models.save_for_hf(model, folder, model_config={"label_names": list("abcde")}, safe_serialization=True)
    return folder


def sentences(folder: Path, dim: int = 24, prompt: str = "") -> Path:
    """A text model whose vectors are those of another model's space: DistilBERT, mean pooling, a linear layer."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import modules

    bert = folder.with_name(folder.name + "-bert")
    config = T.DistilBertConfig(dim=64, n_layers=2, n_heads=4, hidden_dim=128, vocab_size=800, max_position_embeddings=128)
    randomised(T.DistilBertModel(config)).save_pretrained(bert)
    bert_tokenizer(128).save_pretrained(bert)
    words = modules.Transformer(str(bert), max_seq_length=128)
    dense = modules.Dense(64, dim, bias=False, activation_function=torch.nn.Identity())
    settings = {"prompts": {"query": prompt}, "default_prompt_name": "query"} if prompt else {}
    model = SentenceTransformer(modules=[words, modules.Pooling(64), dense], device="cpu", **settings)
    model.save(str(folder))
    return folder


QWEN_TOKENS = ("endoftext", "im_start", "im_end", "vision_start", "vision_end", "image_pad", "video_pad")
QWEN_TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}{% for part in m.content %}{% if part.type == 'image' %}"
    "{{ '<|vision_start|><|image_pad|><|vision_end|>' }}{% else %}{{ part.text }}{% endif %}{% endfor %}{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def qwen_tokenizer() -> T.PreTrainedTokenizerBase:
    """Byte-pair encoding, an <|endoftext|> after every text, which is the padding, too."""
    made, special = Tokenizer(models.BPE()), [f"<|{name}|>" for name in QWEN_TOKENS]
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(LINES, trainers.BpeTrainer(vocab_size=500, special_tokens=special, initial_alphabet=alphabet))
    made.post_processor = processors.TemplateProcessing(single=f"$A {special[0]}", special_tokens=[(special[0], 0)])
    return T.PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token=special[0], eos_token="<|im_end|>", padding_side="right", additional_special_tokens=special[1:],
        model_max_length=512,
    )  # fmt: skip


def qwen3_vl(tokenizer: T.PreTrainedTokenizerBase, template: str = QWEN_TEMPLATE) -> tuple:
    """A Qwen3-VL and its processor, whose pictures have 1,024 to 16,384 pixels."""
    text = dict(
        model_type="qwen3_vl_text", hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=4, head_dim=16,
        num_key_value_heads=2, vocab_size=len(tokenizer) + 3, max_position_embeddings=4096, eos_token_id=1, pad_token_id=0,
        rope_parameters=dict(rope_type="default", rope_theta=1e5, mrope_section=[3, 3, 2]),
    )  # fmt: skip
    vision = dict(
        depth=3, hidden_size=32, intermediate_size=64, num_heads=4, patch_size=8, num_position_embeddings=36, out_hidden_size=32,
        deepstack_visual_indexes=[0, 1],
    )  # fmt: skip
    ids = {f"{name}_token_id": tokenizer.convert_tokens_to_ids(f"<|{name}|>") for name in ("vision_start", "vision_end")}
    ids |= {f"{name}_token_id": tokenizer.convert_tokens_to_ids(f"<|{name}_pad|>") for name in ("image", "video")}
    pictures = T.Qwen2VLImageProcessorPil(
        size={"shortest_edge": 32 * 32, "longest_edge": 128 * 128}, patch_size=8, image_mean=[0.5] * 3, image_std=[0.5] * 3
    )
    model = randomised(T.Qwen3VLForConditionalGeneration(T.Qwen3VLConfig(vision_config=vision, text_config=text, **ids)))
    return model, T.Qwen3VLProcessor(pictures, tokenizer, T.Qwen3VLVideoProcessor(patch_size=8), chat_template=template)


def qwen3_vl_embedding(folder: Path) -> Path:
    """A Qwen3-VL-Embedding, as sentence-transformers has it."""
    model, processor = qwen3_vl(qwen_tokenizer())
    model.save_pretrained(folder), processor.save_pretrained(folder)
    output = {"method": "forward", "method_output_name": "last_hidden_state"}
    modules = {"": "base.modules.transformer.Transformer", "1_Pooling": "sentence_transformer.modules.pooling.Pooling"}
    modules["2_Normalize"] = "sentence_transformer.modules.normalize.Normalize"
    files = {
        "modules.json": [
            {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.{name}"}
            for i, (path, name) in enumerate(modules.items())
        ],
        "1_Pooling/config.json": {"embedding_dimension": 32, "pooling_mode": "lasttoken", "include_prompt": True},
        "sentence_bert_config.json": {
            "transformer_task": "feature-extraction", "module_output_name": "token_embeddings", "unpad_inputs": False,
            "modality_config": {"text": output, "image": output, "message": output | {"format": "structured"}},
            "processing_kwargs": {"chat_template": {"add_generation_prompt": True}},
        },
        "config_sentence_transformers.json": {
            "prompts": {"default": "Represent the user's input."}, "default_prompt_name": "default", "similarity_fn_name": "cosine",
        },
    }  # fmt: skip
    for path in ("1_Pooling", "2_Normalize"):
        (folder / path).mkdir()
    for file, values in files.items():
        (folder / file).write_text(json.dumps(values))
    return folder


def clip_of_sentence_transformers(folder: Path, tokenizer: T.PreTrainedTokenizerBase) -> Path:
    """A CLIP as sentence-transformers has it: in a folder of its own, which modules.json names."""
    clip(folder / "0_CLIPModel", tokenizer)
    (folder / "modules.json").write_text(
        json.dumps([{"idx": 0, "name": "0", "path": "0_CLIPModel", "type": "sentence_transformers.models.CLIPModel"}])
    )
    return folder


def lora(folder: Path, base: Path) -> Path:
    """An adapter of a CLIP, as peft writes it."""
    import peft

    config = peft.LoraConfig(r=4, target_modules=["q_proj", "v_proj", "fc1"], init_lora_weights=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = peft.get_peft_model(T.AutoModel.from_pretrained(base), config)
    model.save_pretrained(folder)
    return folder


class _Tower(torch.nn.Module):
    def __init__(self, model, method):
        super().__init__()
        self.model, self.method = model, method

    def forward(self, x):
        return getattr(self.model, self.method)(x)


def write_graph(module, x, file: Path, **settings) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module.eval(), (x,), file, dynamo=True, external_data=False, verbose=False, **settings)


def immich(folder: Path, name: str, tokenizer, words: T.PreTrainedTokenizerBase) -> Path:
    """An open_clip model as Immich publishes it: a graph for each tower that takes one input, and settings beside them."""
    source = open_clip_folder(name, folder.with_name(folder.name + "-open_clip"), tokenizer)
    torch.backends.mha.set_fastpath_enabled(False)
    model, _ = open_clip.create_model_from_pretrained(f"local-dir:{source}")
    values = json.loads((source / "open_clip_config.json").read_text())
    size = model.visual.image_size if isinstance(model.visual.image_size, int) else model.visual.image_size[0]
    context = values["model_cfg"]["text_cfg"].get("context_length", 77)
    for part, method, x in (
        ("visual", "encode_image", torch.zeros(1, 3, size, size)), ("textual", "encode_text", torch.ones(1, context, dtype=torch.int32)),
    ):  # fmt: skip
        (folder / part).mkdir(parents=True)
        write_graph(_Tower(model, method), x, folder / part / "model.onnx")
    (folder / "config.json").write_text(json.dumps(values["model_cfg"]))
    (folder / "visual/preprocess_cfg.json").write_text(
        json.dumps(values["preprocess_cfg"] | {"size": [size, size], "mode": "RGB"})
    )
    words.save_pretrained(folder / "textual")
    return folder


def transformers_js(folder: Path, source: Path) -> Path:
    """A CLIP or SigLIP of transformers as transformers.js publishes it: two graphs with several outputs, and its settings."""
    model = T.AutoModel.from_pretrained(source, attn_implementation="eager")
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    (folder / "onnx").mkdir()
    side, context = model.config.vision_config.image_size, model.config.text_config.max_position_embeddings
    inputs = {"vision": torch.zeros(2, 3, side, side), "text": torch.ones(2, context, dtype=torch.int64)}
    takes = {"vision": "pixel_values", "text": "input_ids"}
    for part, x in inputs.items():
        if model.config.model_type == "clip":
            names = ["image_embeds" if part == "vision" else "text_embeds"]
        else:
            names = ["last_hidden_state", "pooler_output"]
        batch = {0: torch.export.Dim("batch")}
        write_graph(
            _Outputs(model, part, takes[part]), x, folder / f"onnx/{part}_model.onnx", input_names=[takes[part]], output_names=names,
            dynamic_shapes=(batch,),
        )  # fmt: skip
    return folder


class _Outputs(torch.nn.Module):
    def __init__(self, model, part, takes):
        super().__init__()
        self.model, self.part, self.takes = model, part, takes

    def forward(self, x):
        inputs = {self.takes: x}
        if self.model.config.model_type == "clip":
            features = self.model.get_image_features if self.part == "vision" else self.model.get_text_features
            return features(**inputs).pooler_output
        out = (self.model.vision_model if self.part == "vision" else self.model.text_model)(**inputs)
        return out.last_hidden_state, out.pooler_output


def _clip_processor() -> T.CLIPImageProcessor:
    return T.CLIPImageProcessor(size={"shortest_edge": 64}, crop_size={"height": 64, "width": 64})


SMALL = {  # open_clip's model → what makes it small
    "ViT-B-32": dict(embed_dim=32, vision_cfg=dict(image_size=64, layers=2, width=64, head_width=16, patch_size=16)),
    "ViT-B-32-quickgelu": dict(embed_dim=32, vision_cfg=dict(image_size=64, layers=2, width=64, head_width=16, patch_size=16)),
    "RN50": dict(vision_cfg=dict(layers=[1, 1, 1, 1], width=16, image_size=64), embed_dim=32),
    "coca_ViT-B-32": dict(vision_cfg=dict(image_size=64, layers=2, width=64, head_width=16, patch_size=16)),
    "MobileCLIP2-S0": {},
    "ViT-B-32-SigLIP2-256": dict(text_cfg=dict(vocab_size=1000)),
    "convnext_base": dict(vision_cfg=dict(timm_model_name="convnext_atto", image_size=64)),
    "EVA02-B-16": dict(vision_cfg=dict(timm_model_name="eva02_tiny_patch14_224", image_size=224)),
    "ViTamin-S": {},
    "PE-Core-T-16-384": {},
    "MobileCLIP-S1": dict(),
    "ViT-L-14-CLIPA": dict(vision_cfg=dict(image_size=56, layers=2, width=64, head_width=16)),
    "ViT-B-16-SigLIP": dict(vision_cfg=dict(timm_model_name="vit_base_patch32_siglip_256", image_size=256)),
    "xlm-roberta-base-ViT-B-32": dict(
        embed_dim=32, vision_cfg=dict(image_size=64, layers=2, width=64, head_width=16, patch_size=16)
    ),
    "nllb-clip-base": dict(embed_dim=32, vision_cfg=dict(image_size=64, layers=2, width=64, head_width=16, patch_size=16)),
    "roberta-ViT-B-32": dict(embed_dim=32, vision_cfg=dict(image_size=64, layers=2, width=64, head_width=16, patch_size=16)),
}


def open_clip_folder(name: str, folder: Path, tokenizer, text_model: str = "", **preprocess) -> Path:
    """A small open_clip model of this name, as open_clip's push_to_hf_hub writes it.

    `text_model`: the folder of transformers' config and tokenizer for its text tower, where that is one of transformers'.
    """
    config = copy.deepcopy(open_clip.get_model_config(name))
    if "hf_model_name" in config["text_cfg"]:
        text = dict(hf_model_name=text_model, hf_tokenizer_name=text_model, hf_model_pretrained=False)
    else:
        text = dict(layers=2) | ({} if "SigLIP2" in name else dict(width=48, heads=4))
    for part, values in ({"text_cfg": text} | SMALL[name]).items():
        values = text | values if part == "text_cfg" else values
        config[part] = config.get(part, {}) | values if isinstance(values, dict) else values
    factory._MODEL_CONFIGS["tiny"] = config
    image = {f"image_{key}": value for key, value in preprocess.items()}
    model, _, _ = open_clip.create_model_and_transforms("tiny", pretrained_hf=False, **image)
    folder.mkdir()
    save_for_hf(randomised(model), tokenizer, config, folder, safe_serialization=True)
    return folder


def clipa(folder: Path) -> Path:
    """An open_clip CLIPA, whose tokenizer is BERT's, with the end of a text made padding."""
    settings = dict(context_length=32, strip_sep_token=True)
    tokenizer = open_clip_tokenizer(bert_tokenizer(32), folder.with_name(folder.name + "-bert-words"), **settings)
    return open_clip_folder("ViT-L-14-CLIPA", folder, tokenizer)


def text_model(folder: Path, kind: str = "xlm-roberta") -> tuple[str, T.PreTrainedTokenizerBase]:
    """A folder with config and tokenizer of a small text model, for an open_clip model that has transformers' text tower."""
    kinds = {
        "xlm-roberta": lambda: T.XLMRobertaConfig(**TEXT, vocab_size=800, max_position_embeddings=514, pad_token_id=1),
        "roberta": lambda: T.RobertaConfig(**TEXT, vocab_size=800, max_position_embeddings=514, pad_token_id=1),
        "m2m_100": lambda: T.M2M100Config(
            d_model=48, encoder_layers=2, encoder_attention_heads=4, encoder_ffn_dim=96, decoder_layers=1, decoder_attention_heads=4,
            decoder_ffn_dim=96, vocab_size=800, max_position_embeddings=514,
        ),
    }  # fmt: skip
    config, tokenizer = kinds[kind](), unigram_tokenizer()
    config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder), tokenizer


def open_clip_tokenizer(tokenizer: T.PreTrainedTokenizerBase, folder: Path, **settings):
    """A transformers tokenizer in open_clip's wrapper."""
    tokenizer.save_pretrained(folder)
    return open_clip.tokenizer.HFTokenizer(str(folder), **settings)


def in_shards(folder: Path) -> Path:
    """The same checkpoint with its weights in several files."""
    T.AutoModel.from_pretrained(folder).save_pretrained(folder, max_shard_size="4MB")
    (folder / "model.safetensors").unlink()
    return folder


def half(folder: Path) -> Path:
    """The same checkpoint in bfloat16."""
    T.AutoModel.from_pretrained(folder).to(torch.bfloat16).save_pretrained(folder)
    return folder


def as_pickle(folder: Path) -> Path:
    """The same checkpoint with its weights in pytorch_model.bin."""
    from safetensors.torch import load_file

    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    return folder


def clip_of_other_words(folder: Path) -> Path:
    """A CLIP with a small vocabulary of its own."""
    text = TEXT | dict(vocab_size=800, bos_token_id=0, eos_token_id=2, pad_token_id=1)
    config = T.CLIPConfig(projection_dim=24, vision_config=VISION, text_config=text)
    return saved(T.CLIPModel(config), folder, unigram_tokenizer(), _clip_processor())


def config_only(folder: Path, values) -> Path:
    """A folder with a config.json and nothing else."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(values))
    return folder


def with_strange_setting(folder: Path) -> Path:
    """The same checkpoint with a setting of its image processor that nobody knows."""
    file = folder / "preprocessor_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"do_sharpen": True}))
    return folder


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
