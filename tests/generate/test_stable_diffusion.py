"""Stable Diffusion with our text towers: states, pictures and refusals as diffusers has them, on tiny random pipelines."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer
from typer.testing import CliRunner

from samespace.cli.main import app
from samespace.core.errors import QueryError, UnknownGenerator
from samespace.generate.stable_diffusion import StableDiffusion, needed, read_text_encoder, weighted

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # diffusers with NumPy 2
WORDS = ("a photograph of a cat", "two red apples, on the table!", "")


def text_encoder(kind, vocab: int, act: str, projection: int = 32):
    torch.manual_seed(1)
    return kind(
        CLIPTextConfig(
            vocab_size=vocab, hidden_size=32, intermediate_size=37, num_hidden_layers=3, num_attention_heads=4, hidden_act=act,
            max_position_embeddings=20, bos_token_id=vocab - 2, eos_token_id=vocab - 1, pad_token_id=vocab - 1, projection_dim=projection,
        )
    ).eval()  # fmt: skip


def vae():
    from diffusers import AutoencoderKL

    torch.manual_seed(2)
    return AutoencoderKL(
        block_out_channels=(8, 16), norm_num_groups=4, down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4, sample_size=32,
    )  # fmt: skip


def unet(cross: int, **more):
    from diffusers import UNet2DConditionModel

    torch.manual_seed(3)
    return UNet2DConditionModel(
        block_out_channels=(8, 16), layers_per_block=1, sample_size=16, norm_num_groups=4, in_channels=4, out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=cross, attention_head_dim=4, **more,
    )  # fmt: skip


def pipeline(kind: str, tokenizer: CLIPTokenizer):
    """Return a pipeline of diffusers with random weights."""
    import diffusers  # seconds, which collecting the tests need not wait for
    from diffusers import EulerDiscreteScheduler, PNDMScheduler

    vocab, scheduler = len(tokenizer), {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    if kind == "xl":
        return diffusers.StableDiffusionXLPipeline(
            vae=vae(), text_encoder=text_encoder(CLIPTextModel, vocab, "quick_gelu"), tokenizer=tokenizer, tokenizer_2=tokenizer,
            text_encoder_2=text_encoder(CLIPTextModelWithProjection, vocab, "gelu", 24),
            unet=unet(64, addition_embed_type="text_time", addition_time_embed_dim=8, projection_class_embeddings_input_dim=24 + 6 * 8),
            scheduler=EulerDiscreteScheduler(**scheduler, timestep_spacing="leading", steps_offset=1),
        )  # fmt: skip
    plain = {"skip_prk_steps": True, "set_alpha_to_one": False, "steps_offset": 1}
    return diffusers.StableDiffusionPipeline(
        vae=vae(), text_encoder=text_encoder(CLIPTextModel, vocab, "gelu" if kind == "2" else "quick_gelu"), tokenizer=tokenizer, unet=unet(32),
        scheduler=EulerDiscreteScheduler(**scheduler, timestep_spacing="trailing", steps_offset=1) if kind == "turbo" else PNDMScheduler(**scheduler, **plain),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip


@pytest.fixture(scope="module", params=["1", "2", "xl", "turbo"])
def made(request, tmp_path_factory, clip_tokenizer_folder):
    """A pipeline of diffusers, and ours of the same folder."""
    theirs = pipeline(request.param, CLIPTokenizer.from_pretrained(clip_tokenizer_folder, model_max_length=20))
    folder = tmp_path_factory.mktemp("diffusion") / f"sd-{request.param}"
    theirs.save_pretrained(folder)
    theirs.set_progress_bar_config(disable=True)
    return request.param, theirs, StableDiffusion(folder)


def pixels(pictures) -> np.ndarray:
    return np.stack([np.asarray(picture, np.float32) for picture in pictures])


def test_the_states_of_tokens_are_those_of_the_text_model(made):
    kind, theirs, ours = made
    models = [theirs.text_encoder] + ([theirs.text_encoder_2] if kind == "xl" else [])
    for model, encoder in zip(models, ours.encoders):
        for text in WORDS:
            ids = theirs.tokenizer(text, padding="max_length", max_length=20, truncation=True, return_tensors="pt").input_ids
            assert torch.equal(encoder.tokens([(text, 1.0)])[0], ids)
            with torch.no_grad():
                out = model(ids, output_hidden_states=True)
            states, pooled = encoder([(text, 1.0)])
            expected = out.hidden_states[-2] if kind == "xl" else out.last_hidden_state
            assert (states - expected).abs().max() < 1e-5
            if hasattr(out, "text_embeds"):
                assert (pooled - out.text_embeds).abs().max() < 1e-5


@pytest.mark.parametrize("guidance", [0.0, 5.0])
def test_pictures_are_those_of_diffusers(made, guidance):
    _, theirs, ours = made
    queries = [("a photograph of a cat", None), ("a cat - two red apples", "two red apples")]
    for query, negative in queries[: 2 if guidance else 1]:  # without guidance nothing is subtracted
        prompt = query.partition(" - ")[0]
        generators = [torch.Generator().manual_seed(5 + i) for i in range(2)]
        expected = theirs(
            prompt,
            negative_prompt=negative,
            num_images_per_prompt=2,
            num_inference_steps=4,
            guidance_scale=guidance,
            generator=generators,
        )
        drawn = ours.draw(query, 2, seed=5, steps=4, guidance=guidance)
        assert np.abs(pixels(drawn) - pixels(expected.images)).max() <= 1  # of 255
    assert (
        np.abs(
            pixels(ours.draw("a cat", seed=5, steps=4, guidance=5.0)) - pixels(ours.draw("a cat", seed=6, steps=4, guidance=5.0))
        ).max()
        > 1
    )


def test_weights_of_words_and_of_terms_change_the_drawing_and_one_does_not(made):
    _, _, ours = made
    plain = pixels(ours.draw("a red cat", steps=2))
    assert np.array_equal(pixels(ours.draw("a (red:1) cat", steps=2)), plain)
    states = [
        ours.encoders[0](pieces)[0] for pieces in (weighted("a red cat"), weighted("a (red:1.5) cat"), [("a red cat", 1.5)])
    ]
    assert (states[1] - states[0]).abs().max() > 1e-3 and states[1].norm() == pytest.approx(states[0].norm().item(), rel=1e-4)
    assert not np.array_equal(pixels(ours.draw("a (red:1.5) cat", steps=2)), plain)
    assert weighted("a (red:1.3) cat, (big dog:.5)") == [("a", 1.0), ("red", 1.3), ("cat,", 1.0), ("big dog", 0.5)]


def test_steps_are_counted_and_the_size_is_kept(made):
    _, _, ours = made
    seen = []
    (picture,) = ours.draw("a cat", steps=3, size=64, on_step=lambda done, of: seen.append((done, of)))
    assert seen[-1] == (3, 3) and picture.size == (64, 64) and picture.mode == "RGB"
    assert ours.defaults == ((1, 0.0) if made[0] == "turbo" else (25, 7.5))


@pytest.mark.parametrize(
    "query, settings, message",
    [
        ("", {}, "empty term"),
        ("a cat", {"steps": 0}, "steps is 0"),
        ("a cat", {"size": 65}, "multiple of 8"),
        ("a cat", {"n": 0}, "drawings is 0"),
        ("a cat", {"seed": 2**64}, "seed is"),
        ("a cat - dog", {"guidance": 1.0}, "nothing can be subtracted; leave 'dog' out"),
    ],
)
def test_what_cannot_be_drawn_is_refused(made, query, settings, message):
    with pytest.raises(QueryError, match=message):
        made[2].draw(query, **settings)


def test_a_turbo_is_known_by_the_name_that_people_use(made):
    """The folder of a hub's snapshot is called by its commit."""
    assert StableDiffusion(made[2].folder, "stabilityai/sd-turbo").defaults == (1, 0.0)


def test_many_are_drawn_a_few_at_a_time(made):
    ours, seen = made[2], []
    many = ours.draw("a cat", 5, steps=2, guidance=2.0, on_step=lambda done, of: seen.append((done, of)))
    assert len(many) == 5 and seen[-1] == (4, 4) and seen == sorted(seen)
    assert np.abs(pixels([many[4]]) - pixels(ours.draw("a cat", steps=2, guidance=2.0, seed=4))).max() <= 1


def test_too_little_memory_is_one_sentence(made, monkeypatch):
    def full(**given):
        raise RuntimeError(
            "[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes."
        )

    monkeypatch.setattr(made[2], "pipeline", full)
    with pytest.raises(QueryError, match="not enough memory"):
        made[2]._run({})


def test_words_that_are_not_read_are_noticed(made):
    assert not made[2].is_cut("a cat") and made[2].is_cut("a very " * 80 + "old cat") and made[2].is_cut("a cat - " + "big " * 80)


def test_a_picture_does_not_steer_it(made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("cat.png").write_bytes(b"x")
    with pytest.raises(QueryError, match=r"cat\.png is a file"):
        made[2].draw("cat.png")


def test_folders_that_lack_a_part_or_hold_something_else_are_refused(made, tmp_path):
    folder = shutil.copytree(made[2].folder, tmp_path / "pipeline")
    (folder / "unet" / "diffusion_pytorch_model.safetensors").rename(folder / "unet" / "diffusion_pytorch_model.bin")
    with pytest.raises(UnknownGenerator, match="no safetensors"):
        StableDiffusion(folder)
    (folder / "unet" / "diffusion_pytorch_model.bin").rename(folder / "unet" / "diffusion_pytorch_model.safetensors")
    weights = (folder / "text_encoder" / "model.safetensors").rename(folder / "text_encoder" / "pytorch_model.bin")
    with pytest.raises(UnknownGenerator, match="text_encoder has no safetensors"):
        StableDiffusion(folder)
    weights.rename(folder / "text_encoder" / "model.safetensors")
    shutil.rmtree(folder / "vae")
    with pytest.raises(UnknownGenerator, match="lacks vae"):
        StableDiffusion(folder)
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "FluxPipeline"}))
    with pytest.raises(UnknownGenerator, match="FluxPipeline"):
        StableDiffusion(folder)
    (folder / "model_index.json").unlink()
    with pytest.raises(UnknownGenerator, match="no readable"):
        StableDiffusion(folder)


def test_the_command_draws_with_it(made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(
        app, ["draw", "a cat", "--with", str(made[2].folder), "--grid", "2", "--steps", "2", "--size", "64"]
    )
    assert done.exit_code == 0 and done.stdout == "a cat.png\n", done.output
    from PIL import Image

    with Image.open("a cat.png") as picture:
        assert picture.size == (128, 64) and "steps 2" in picture.text["Comment"]


FILES = """model_index.json README.md v1-5-pruned.safetensors unet/config.json unet/diffusion_pytorch_model.safetensors
    unet/diffusion_pytorch_model.fp16.safetensors unet/diffusion_pytorch_model.bin vae/config.json vae/diffusion_pytorch_model.safetensors
    text_encoder/model.safetensors text_encoder/config.json tokenizer/merges.txt tokenizer/vocab.json safety_checker/model.safetensors
    scheduler/scheduler_config.json unet/nested/more.safetensors""".split()


def test_only_the_parts_that_are_needed_are_downloaded():
    assert needed(FILES) == sorted(
        """model_index.json unet/config.json unet/diffusion_pytorch_model.safetensors vae/config.json vae/diffusion_pytorch_model.safetensors
        text_encoder/model.safetensors text_encoder/config.json tokenizer/merges.txt tokenizer/vocab.json scheduler/scheduler_config.json""".split()
    )


def test_a_part_without_weights_that_are_opened_is_refused_before_it_is_downloaded():
    with pytest.raises(UnknownGenerator, match="its part vae has no safetensors in full precision"):
        needed([file for file in FILES if file != "vae/diffusion_pytorch_model.safetensors"] + ["vae/model.fp16.safetensors"])


def test_a_text_encoder_is_read_with_its_own_padding(made):
    if made[0] == "xl":
        folder = made[2].folder
        encoder = read_text_encoder(folder, "text_encoder_2", "tokenizer_2", True)
        assert encoder.tower.proj.out_features == 24 and encoder.words.ids(["a"]).shape == (1, 20)
