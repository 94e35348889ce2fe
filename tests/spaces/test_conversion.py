"""Checkpoints of many families: they give the vectors of the library that defines them, or nothing is installed."""

import json
import shutil

import numpy as np
import pytest
import tiny_checkpoints as tiny
from PIL import Image
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

import samespace
from samespace.assistant import transformers_folder
from samespace.cli.main import app
from samespace.core.errors import QueryError, UnknownAssistant, UnknownSpace
from samespace.spaces.checkpoints import checkpoint, families
from samespace.spaces.convert import conversion, install, verify
from samespace.spaces.convert.reference import Reference
from samespace.spaces.registry import STARTER

LAYOUTS = {
    "plain": {},
    "other mean and std, bilinear": dict(image_mean=[0.5] * 3, image_std=[0.4] * 3, resample=2),
    "squash": dict(size={"height": 64, "width": 64}, do_center_crop=False),
    "resized to 72, cut to 64": dict(size={"shortest_edge": 72}),
    "Lanczos": dict(resample=1),
    "not normalized": dict(do_normalize=False),
    "not rescaled": dict(do_rescale=False),
}

pytestmark = pytest.mark.usefixtures("traced_once")


@pytest.fixture(scope="module")
def clip_tokenizer(clip_tokenizer_folder):
    return tiny.clip_tokenizer(clip_tokenizer_folder)


def verified(folder):
    """What a folder's card says after it was compared with its library, and whose towers it has."""
    loaded, answers = conversion.read(folder)
    assert answers is not None, loaded.config.card
    return loaded.config.card["verified"], loaded.config.image.arch


@pytest.mark.parametrize(("name", "new_layout"), [*((name, False) for name in LAYOUTS), ("plain", True), ("squash", True)])
def test_every_setting_of_an_image_processor_counts(tmp_path, clip_tokenizer, name, new_layout):
    found, arch = verified(tiny.clip(tmp_path / "clip", clip_tokenizer, new_layout, **LAYOUTS[name]))
    assert arch == "vit" and max(found["image_difference"], found["text_difference"]) < 1e-5


OUR_TOWERS = {tiny.siglip1: "vit", tiny.siglip2: "vit", tiny.flex_siglip2: "flex_vit", tiny.metaclip2: "vit"}


@pytest.mark.parametrize(
    "make",
    [
        tiny.siglip1,
        tiny.siglip2,
        tiny.flex_siglip2,
        tiny.metaclip2,
        tiny.altclip,
        tiny.chinese_clip,
        tiny.align,
        tiny.two_encoders,
    ],
)
def test_families_of_transformers(tmp_path, make):
    found, arch = verified(make(tmp_path / "model"))
    assert found["by"].startswith("transformers ") and arch == OUR_TOWERS.get(make, "library")
    assert max(found["image_difference"], found["text_difference"]) < 1e-5


@pytest.mark.parametrize("name", ["ViT-B-32", "ViT-B-32-quickgelu", "RN50", "coca_ViT-B-32", "MobileCLIP2-S0", "convnext_base"])
def test_families_of_open_clip(tmp_path, clip_tokenizer, name):
    tokenizer = tiny.open_clip_tokenizer(clip_tokenizer, tmp_path / "tokenizer", context_length=77, clean="lower")
    found, arch = verified(tiny.open_clip_folder(name, tmp_path / "model", tokenizer))
    assert found["by"].startswith("open_clip ") and arch == ("vit" if name.startswith("ViT-B-32") else "library")
    assert max(found["image_difference"], found["text_difference"]) < 1e-5


@pytest.mark.parametrize("make", [tiny.dinov2, tiny.dinov3, tiny.vit, tiny.vit_classifier, tiny.timm_folder])
def test_models_that_know_pictures_only(tmp_path, photographs, make):
    """They are searched by picture; with words, one sentence says why not."""
    loaded, answers = conversion.read(make(tmp_path / "model"))
    assert loaded.config.card["verified"]["image_difference"] < 1e-5 and "text_difference" not in loaded.config.card["verified"]
    config = install.convert(tmp_path / "model", tmp_path / "space", precision="fp32")
    space = samespace.load(tmp_path / "space")
    assert verify.check_exact(space, answers)["image_difference"] < 1e-5 and not config.has_words
    library = samespace.Library(tmp_path / "library", space=space)
    library.add([photographs / "chelsea.png", photographs / "coffee.png"])
    shutil.copy(photographs / "coffee.png", tmp_path / "query.png")
    assert library.search(str(tmp_path / "query.png"))[0].path.endswith("coffee.png")
    with pytest.raises(UnknownSpace, match="pictures and no words"):
        library.search("a cat")


@pytest.mark.parametrize(
    ("make", "weight"),
    [(tiny.align, "text_projection.weight"), (tiny.dinov2, "encoder.layer.0.attention.attention.query.weight")],
)
def test_weights_that_are_not_there_are_not_made_up(tmp_path, make, weight):
    file = make(tmp_path / "model") / "model.safetensors"
    kept = {name: tensor for name, tensor in load_file(file).items() if name != weight}
    save_file(kept, file, {"format": "pt"})
    with pytest.raises(UnknownSpace, match="its weights lack (text_projection|encoder.layer.0.attention).*weight"):
        conversion.read(tmp_path / "model")


def test_a_temperature_is_the_models_own(tmp_path):
    loaded, _ = conversion.read(tiny.align(tmp_path / "model"))
    temperature = load_file(tmp_path / "model/model.safetensors")["temperature"]
    assert loaded.config.logit_scale == pytest.approx(1 / float(temperature), rel=1e-5)


@pytest.mark.parametrize("make", [tiny.siglip2, tiny.flex_siglip2])
def test_siglip_2_reads_lower_case(tmp_path, make):
    folder = make(tmp_path / "model")
    loaded, _ = conversion.read(folder)
    for words in (loaded.words, checkpoint.load(folder).words):
        assert (words.ids(["A Red Cat"]) == words.ids(["a red cat"])).all() and words.clean("A") == "a"


def test_parts_of_ones_own_in_a_text_model_are_refused(tmp_path):
    folder = tiny.sentences(tmp_path / "words")
    parts = json.loads((folder / "modules.json").read_text())
    (folder / "modules.json").write_text(json.dumps([*parts, {"idx": 9, "name": "9", "path": "", "type": "mine.Pooling"}]))
    with pytest.raises(UnknownSpace, match="mine.Pooling"):
        install.join(folder, STARTER, tmp_path / "joined", "joined", "org/words")


def test_a_text_model_joins_the_pictures_of_a_space(tmp_path, clip_tokenizer):
    install.convert(tiny.clip(tmp_path / "clip", clip_tokenizer), tmp_path / "space", precision="fp32")
    words = tiny.sentences(tmp_path / "words", prompt="find: ")
    with pytest.raises(UnknownSpace, match="--joins"):
        conversion.read(words)
    config = install.join(words, tmp_path / "space", tmp_path / "joined", "joined", "org/words")
    old, new, answers = samespace.load(tmp_path / "space"), samespace.load(tmp_path / "joined"), verify.read(tmp_path / "joined")
    assert "transformers" in answers.library and "sentence-transformers" in answers.library and config.prep.prefix == "find: "
    found = verify.check_exact(new, answers)
    assert max(found["image_difference"], found["text_difference"]) < 1e-5
    assert np.array_equal(old.image(answers.images()), new.image(answers.images())) and old.fingerprint != new.fingerprint
    other = tiny.sentences(tmp_path / "other words", prompt="find: ")
    again = install.join(other, tmp_path / "space", tmp_path / "again", "joined", "org/words")
    assert again.fingerprint != config.fingerprint  # other words are another space
    with pytest.raises(UnknownSpace, match="16 numbers"):
        install.join(tiny.sentences(tmp_path / "short", dim=16), tmp_path / "space", tmp_path / "no", "no", "")


def test_a_clip_of_sentence_transformers(tmp_path, clip_tokenizer):
    found, arch = verified(tiny.clip_of_sentence_transformers(tmp_path / "model", clip_tokenizer))
    assert arch == "vit" and max(found["image_difference"], found["text_difference"]) < 1e-5


def test_an_adapter_is_added_to_its_model(tmp_path, clip_tokenizer):
    base = tiny.clip(tmp_path / "base", clip_tokenizer)
    plain, _ = conversion.read(base)
    adapted, answers = conversion.read(tiny.lora(tmp_path / "adapter", base))
    assert adapted.config.card["verified"]["image_difference"] < 1e-5
    assert np.abs(plain.image(answers.images()) - adapted.image(answers.images())).max() > 1e-3
    weights = tmp_path / "adapter/adapter_model.safetensors"
    tensors = load_file(weights)
    save_file({name.replace("model.", "model.clip.", 1): tensor for name, tensor in tensors.items()}, weights, {"format": "pt"})
    with pytest.raises(UnknownSpace, match="in one of them only"):
        conversion.read(tmp_path / "adapter")
    file = tmp_path / "adapter/adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"base_model_name_or_path": "org/elsewhere"}))
    with pytest.raises(UnknownSpace, match="samespace spaces pull org/elsewhere"):
        conversion.read(tmp_path / "adapter")


@pytest.mark.parametrize("name", ["EVA02-B-16", "MobileCLIP-S1"])
def test_image_towers_of_timm_in_open_clip(tmp_path, clip_tokenizer, name):
    tokenizer = tiny.open_clip_tokenizer(clip_tokenizer, tmp_path / "tokenizer", context_length=77, clean="lower")
    found, arch = verified(tiny.open_clip_folder(name, tmp_path / "model", tokenizer))
    assert arch == "library" and max(found["image_difference"], found["text_difference"]) < 1e-5


TEXT_MODELS = {"xlm-roberta-base-ViT-B-32": "xlm-roberta", "nllb-clip-base": "m2m_100", "roberta-ViT-B-32": "roberta"}


def test_a_tokenizer_whose_end_becomes_padding(tmp_path):
    found, arch = verified(tiny.clipa(tmp_path / "model"))
    assert arch == "library" and max(found["image_difference"], found["text_difference"]) < 1e-5


@pytest.mark.parametrize("name", TEXT_MODELS)
def test_text_towers_of_transformers_in_open_clip(tmp_path, name):
    where, words = tiny.text_model(tmp_path / "text", TEXT_MODELS[name])
    tokenizer = tiny.open_clip_tokenizer(words, tmp_path / "tokenizer", context_length=77)
    found, arch = verified(tiny.open_clip_folder(name, tmp_path / "model", tokenizer, where))
    assert arch == "library" and max(found["image_difference"], found["text_difference"]) < 1e-5


def test_siglip_2_of_open_clip_pads_with_its_tokenizers_token(tmp_path):
    tokenizer = tiny.open_clip_tokenizer(tiny.gemma_tokenizer(), tmp_path / "tokenizer", context_length=64, clean="canonicalize")
    folder = tiny.open_clip_folder("ViT-B-32-SigLIP2-256", tmp_path / "model", tokenizer)
    loaded, _ = conversion.read(folder)
    assert (loaded.config.image.arch, loaded.config.prep.pad) == ("vit", 0)
    assert loaded.config.card["verified"]["text_difference"] < 1e-5


def test_resize_modes_of_open_clip(tmp_path, clip_tokenizer):
    tokenizer = tiny.open_clip_tokenizer(clip_tokenizer, tmp_path / "tokenizer", context_length=77, clean="lower")
    folder = tiny.open_clip_folder("ViT-B-32", tmp_path / "model", tokenizer, resize_mode="squash")
    written = (folder / "open_clip_config.json").read_text()
    for mode in ("squash", "longest"):
        (folder / "open_clip_config.json").write_text(written.replace('"squash"', f'"{mode}"'))
        loaded, _ = conversion.read(folder)
        assert loaded.config.card["verified"]["image_difference"] < 1e-5 and loaded.config.prep.resize == mode


def test_settings_as_the_hub_has_them(tmp_path, clip_tokenizer):
    """Files of several years: a side as a number, what was not set as null, and lists that have no effect."""
    folder = tiny.clip(tmp_path / "clip", clip_tokenizer)
    old = {"crop_size": 64, "do_center_crop": True, "do_normalize": True, "do_resize": True, "resample": 3, "size": 64,
           "feature_extractor_type": "CLIPFeatureExtractor", "image_mean": [0.5] * 3, "image_std": [0.25] * 3}  # fmt: skip
    new = old | {"crop_size": {"height": 64, "width": 64}, "size": {"shortest_edge": 64}, "data_format": "channels_first",
                 "device": None, "do_pad": None, "disable_grouping": None, "_valid_processor_keys": ["images"]}  # fmt: skip
    for settings in (old, new):
        (folder / "preprocessor_config.json").write_text(json.dumps(settings))
        found, _ = verified(folder)
        assert found["image_difference"] < 1e-5


def test_a_setting_that_is_not_known_is_named(tmp_path, clip_tokenizer):
    folder = tiny.clip(tmp_path / "clip", clip_tokenizer)
    file = folder / "preprocessor_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"do_sharpen": True}))
    with pytest.raises(UnknownSpace, match="do_sharpen"):
        conversion.read(folder)


def test_weights_that_are_not_numbers_are_refused(tmp_path, clip_tokenizer):
    with pytest.raises(UnknownSpace, match="nothing is installed"):
        conversion.read(tiny.with_nan(tiny.clip(tmp_path / "clip", clip_tokenizer)))


def test_an_installed_space_is_verified_again(tmp_path):
    """A model that only its library has: it searches without that, and its answers stay with it."""
    config = install.convert(tiny.altclip(tmp_path / "model"), tmp_path / "space", precision="fp32")
    space, answers = samespace.load(tmp_path / "space"), verify.read(tmp_path / "space")
    assert config.image.library.startswith("transformers") and max(verify.check_close(space, answers).values()) <= 1.0001
    assert space.text(["a cat", "a dog"]).shape == (2, 24)
    said = CliRunner().invoke(app, ["spaces", "verify", str(tmp_path / "space")])
    assert said.exit_code == 0 and json.loads(said.stdout)["text_cosine"] > 0.9999
    with pytest.raises(UnknownSpace, match="not be trained"):
        conversion.read(tmp_path / "space")


def test_pictures_of_any_shape_are_searched_and_trained(tmp_path):
    """SigLIP 2's NaFlex: one batch holds several shapes, from a strip to a square."""
    install.convert(tiny.flex_siglip2(tmp_path / "model"), tmp_path / "space", precision="fp32")
    space, answers = samespace.load(tmp_path / "space"), verify.read(tmp_path / "space")
    assert verify.check_exact(space, answers)["image_difference"] < 1e-5
    pictures = [*answers.images(), answers.images()[0].resize((900, 20))]
    one_by_one = np.concatenate([space.image([picture]) for picture in pictures])
    np.testing.assert_allclose(space.image(pictures), one_by_one, atol=1e-5)
    again, _ = conversion.read(tmp_path / "space")
    np.testing.assert_allclose(again.image(pictures), one_by_one, atol=1e-5)


def test_the_first_numbers_of_vectors_are_vectors(tmp_path, clip_tokenizer, photographs):
    """Matryoshka: a space of 8 of 24 numbers, in the library too."""
    folder = tiny.clip(tmp_path / "clip", clip_tokenizer)
    install.convert(folder, tmp_path / "short", precision="fp32", short=8)
    whole, short = conversion.read(folder)[0], samespace.load(tmp_path / "short")
    z = whole.text(["a cat", "a dog"])[:, :8]
    np.testing.assert_allclose(short.text(["a cat", "a dog"]), z / np.linalg.norm(z, axis=1, keepdims=True), atol=1e-6)
    assert short.dim == 8 and verify.check_close(short, verify.read(tmp_path / "short"))
    library = samespace.Library(tmp_path / "library", space=short)
    assert library.add([photographs / "coffee.png"]).added == 1 and library.search("coffee")[0].path.endswith("coffee.png")
    with pytest.raises(QueryError, match="8 to 24"):
        install.convert(folder, tmp_path / "none", short=1000)


def test_a_language_model_that_gives_vectors_of_pictures_and_words(tmp_path, photographs, album):
    """Qwen3-VL-Embedding: pictures in their own shape, texts in a conversation; indexed and found."""
    folder = tiny.qwen3_vl_embedding(tmp_path / "model")
    families.check(folder, "org/model")
    with pytest.raises(UnknownAssistant, match="samespace spaces pull org/model"):
        transformers_folder.settings(folder, "org/model")
    config = install.convert(folder, tmp_path / "space")
    space, answers = samespace.load(tmp_path / "space"), verify.read(tmp_path / "space")
    for found in (config.card["verified"], verify.differences(space, answers)):
        assert max(verify.largest_differences(found).values()) < 1e-5
    assert space.config.prep.prefix == "<|im_start|>system\nRepresent the user's input.<|im_end|>\n<|im_start|>user\n"
    library = samespace.Library(tmp_path / "library", space=space)
    assert library.add([album]).added == 4
    shutil.copy(photographs / "chelsea.png", tmp_path / "cat.png")
    best = library.search(str(tmp_path / "cat.png"))[0]
    assert best.path.endswith("chelsea.png") and best.score > 0.999
    assert len(library.search("a cat")) == 4
    strip = tmp_path / "strip.png"
    Image.new("RGB", (2010, 10)).save(strip)
    assert "times as long as wide" in library.add([strip]).skipped[0][1]
    values = json.loads((tmp_path / "space" / "space.json").read_text())
    (tmp_path / "space" / "space.json").write_text(json.dumps(values | {"short": 16}))
    assert samespace.load(tmp_path / "space").text(["a cat"]).shape == (1, 16)


def test_wrong_vectors_are_noticed(tiny_space):
    answers = verify.ask(_Reference(tiny_space, 0.0))
    assert verify.check_exact(tiny_space, answers)["image_difference"] == 0
    with pytest.raises(UnknownSpace, match="text vectors are not those of x 1"):
        verify.check_exact(tiny_space, verify.ask(_Reference(tiny_space, 0.01)))


class _Reference(Reference):
    library = "x 1"

    def __init__(self, space, error):
        self.space, self.error = space, error

    def image(self, pictures):
        return self.space.image(pictures)

    def text(self, texts):
        return self.space.text(list(texts)) + np.float32(self.error)
