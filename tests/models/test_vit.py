"""The ViT by hand: patches, positions, the hybrid, and what a tap sees."""

from dataclasses import replace

import pytest
import torch

from samespace.core.config import ForkedTextTower, HybridImageTower, ImageTower, TextTower
from samespace.models.layers import Attention, Block
from samespace.models.starter.hybrid_vit import HybridViT
from samespace.models.starter.text import ForkedTextTransformer
from samespace.models.text import TextTransformer
from samespace.models.vit import ViT, patchify, resize_position_embedding
from samespace.spaces.checkpoints.towers import dual_encoder

SMALL = dict(width=32, layers=2, heads=4, mlp=64, dim=16)


def test_patchify_cuts_row_by_row():
    picture = torch.arange(2 * 3 * 4 * 6).reshape(2, 3, 4, 6).float()
    patches = patchify(picture, 2)
    assert patches.shape == (2, 6, 12)
    assert torch.equal(patches[1, 4], picture[1, :, 2:4, 2:4].flatten())


def test_the_linear_projection_is_the_convolution_of_the_checkpoints():
    conv = torch.nn.Conv2d(3, 8, 4, 4)
    picture = torch.randn(1, 3, 12, 12)
    expected = conv(picture).flatten(2).mT
    ours = torch.nn.functional.linear(patchify(picture, 4), conv.weight.flatten(1), conv.bias)
    assert torch.allclose(ours, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "patch", "size", "width", "layers", "heads", "parameters"),
    [
        ("B/32", 32, 224, 768, 12, 12, 87_849_216),
        ("B/16", 16, 224, 768, 12, 12, 86_192_640),
        ("L/16", 16, 224, 1024, 24, 16, 304_089_088),
        ("L/14", 14, 224, 1024, 24, 16, 303_966_208),
    ],
)
def test_the_papers_sizes(name, patch, size, width, layers, heads, parameters):
    """Parameter counts of CLIP's image towers (their visual modules, projection included)."""
    dim = 512 if width == 768 else 768
    with torch.device("meta"):
        tower = ViT(ImageTower(image_size=size, patch=patch, width=width, layers=layers, heads=heads, mlp=4 * width, dim=dim))
    assert tower.grid**2 == (size // patch) ** 2
    assert sum(p.numel() for p in tower.parameters()) == parameters


def test_positions_keep_their_class_token_and_their_corners():
    pos = torch.randn(1 + 49, 8)
    larger = resize_position_embedding(pos, 14, 1)
    assert larger.shape == (1 + 196, 8)
    assert torch.equal(larger[0], pos[0])
    assert resize_position_embedding(pos, 7, 1) is pos
    ramp = torch.linspace(0, 1, 7).repeat(7)[:, None]
    wide = resize_position_embedding(ramp, 14, 0).reshape(14, 14)
    assert torch.all(wide[:, 1:] >= wide[:, :-1] - 1e-6)


def test_the_hybrid_reads_a_feature_map():
    tower = HybridViT(HybridImageTower(image_size=64, patch=1, classes=10, prior_dim=8, **SMALL)).eval()
    tap = {}
    with torch.no_grad():
        z = tower(torch.randn(2, 3, 64, 64), tap)
    assert z.shape == (2, 16)
    assert tap["patches"].shape == (2, 4, 32)
    assert torch.allclose(tap["classes"].sum(dim=1), torch.ones(2), atol=1e-5)


def test_the_fork_gives_a_second_reader_its_own_top():
    """With the trunk's own weights in the second top both readers see the same map; what is trained there stays there."""
    c = HybridImageTower(image_size=64, patch=1, second_branch_at=11, classes=10, prior_dim=8, **SMALL)
    tower, pixels = HybridViT(c).eval(), torch.randn(2, 3, 64, 64)
    for own, whole in zip([*tower.branch.trunk.blocks, tower.branch.trunk.head], [*tower.trunk.blocks[11:], tower.trunk.head]):
        own.load_state_dict(whole.state_dict())
    own = {k: v for k, v in tower.branch.state_dict().items() if not k.startswith("trunk.")}
    tower.load_state_dict(own, strict=False)  # the first reader gets the second's weights
    with torch.no_grad():
        z = tower(pixels)
        assert z.shape == (2, 16) and torch.allclose(z[:, 8:12], z[:, 12:], atol=1e-6)
        tower.branch.trunk.head.bias += 1
        moved = tower(pixels)
    assert torch.equal(moved[:, :12], z[:, :12]) and not torch.allclose(moved[:, 12:], z[:, 12:], atol=1e-3)


def test_only_the_second_reader_sees_colours():
    """Of two pictures with one middle map, the vectors differ where colours are seen, and only there."""
    c = HybridImageTower(image_size=64, patch=1, second_branch_at=11, colours=True, classes=10, prior_dim=8, **SMALL)
    tower = HybridViT(c).eval()
    with torch.no_grad():
        top, own, middle, colours = tower.maps(torch.randn(2, 3, 64, 64))
        assert tower.branch.patch_embed.in_features == 1280 + 4 * 3 and colours.shape == (2, 3, 4, 4)
        z, other = (tower.embedding([top, own, middle, seen]) for seen in (colours, -colours))
    assert torch.equal(z[:, :12], other[:, :12]) and not torch.allclose(z[:, 12:], other[:, 12:], atol=1e-3)


def test_a_tap_sees_every_block_and_changes_nothing():
    model = dual_encoder(ImageTower(image_size=32, patch=8, **SMALL), TextTower(vocab=50, context=9, end=49, **SMALL)).eval()
    pixels, ids = torch.randn(2, 3, 32, 32), torch.randint(0, 49, (2, 9))
    ids[:, -1] = 49
    image, text = {}, {}
    with torch.no_grad():
        assert torch.allclose(model.encode_image(pixels, image), model.encode_image(pixels), atol=1e-5)
        assert torch.allclose(model.encode_text(ids, text), model.encode_text(ids), atol=1e-5)
    assert image.keys() == {"patches", "embedded", "blocks.0", "blocks.0.attn.weights", "blocks.1", "blocks.1.attn.weights"}
    assert image["blocks.1.attn.weights"].shape == (2, 4, 17, 17)
    assert torch.allclose(text["blocks.0.attn.weights"].sum(dim=-1), torch.ones(2, 4, 9), atol=1e-5)


def test_attention_is_softmax_of_scaled_products():
    attention = Attention(8, 2)
    x = torch.randn(1, 5, 8)
    q, k, v = attention.qkv(x).chunk(3, dim=-1)
    heads = []
    for h in range(2):
        qh, kh, vh = (t[0, :, 4 * h : 4 * h + 4] for t in (q, k, v))
        heads.append(((qh @ kh.T) / 2).softmax(dim=-1) @ vh)
    assert torch.allclose(attention(x)[0], attention.out(torch.cat(heads, dim=-1)), atol=1e-6)


def test_a_causal_tower_does_not_look_ahead():
    tower = TextTransformer(TextTower(vocab=50, context=8, end=49, **SMALL)).eval()
    ids = torch.tensor([[1, 2, 3, 49, 5, 6, 7, 8]])
    other = ids.clone()
    other[0, 4:] = 9
    with torch.no_grad():
        assert torch.allclose(tower(ids), tower(other), atol=1e-6)


def test_padding_does_not_change_a_bert_vector():
    tower = TextTower(vocab=50, context=16, mask="padding", post_norm=True, pool="mean", **SMALL)
    tower = TextTransformer(tower).eval()
    short = torch.tensor([[4, 5, 6]])
    padded = torch.tensor([[4, 5, 6, 0, 0, 0]])
    with torch.no_grad():
        assert torch.allclose(tower(short), tower(padded), atol=1e-5)


def test_a_text_tower_that_forks_learns_without_moving_what_is_kept():
    """A branch that is a copy gives what the trunk gives; one that was trained moves the learned numbers only."""
    c = ForkedTextTower(
        vocab=50, context=16, mask="padding", post_norm=True, pool="mean", prior_dim=8, second_branch_at=1, **SMALL
    )
    tower, whole = ForkedTextTransformer(c).eval(), ForkedTextTransformer(replace(c, second_branch_at=0)).eval()
    whole.load_state_dict({k: v for k, v in tower.state_dict().items() if not k.startswith("branch.")})
    tower.branch.load_state_dict(tower.blocks[1:].state_dict())
    ids = torch.tensor([[4, 5, 6, 0], [7, 8, 9, 10]])
    with torch.no_grad():
        z = tower(ids)
        assert torch.allclose(z, whole(ids), atol=1e-6)
        tower.branch[0].mlp.fc2.bias += 1 + torch.arange(32) % 3
        moved = tower(ids)
    assert torch.equal(moved[:, :8], z[:, :8]) and not torch.allclose(moved[:, 8:], z[:, 8:], atol=1e-3)


def test_post_norm_blocks_end_in_a_norm():
    block = Block(16, 2, 32, "gelu", 1e-5, post_norm=True)
    out = block(torch.randn(3, 5, 16) * 10)
    assert torch.allclose(out.mean(dim=-1), torch.zeros(3, 5), atol=1e-5)
