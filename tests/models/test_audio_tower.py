"""The audio tower's parts."""

import torch
from torch.nn.functional import normalize, scaled_dot_product_attention

from samespace.core.config import AudioTower
from samespace.models.starter.audio import AudioTransformer, HopfieldLayer


def test_the_memory_is_attention_over_what_it_knows():
    torch.manual_seed(0)
    memory, z = HopfieldLayer(7, 24), normalize(torch.randn(5, 24), dim=-1)
    known = scaled_dot_product_attention(z[None], memory.keys.weight[None], memory.values.weight.T[None], scale=1.0)[0]
    torch.testing.assert_close(memory(z), normalize(z + known, dim=-1))


def test_what_is_like_a_key_moves_to_its_value():
    memory, eye = HopfieldLayer(3, 8), torch.eye(8)
    memory.keys.weight.data = 40 * eye[:3]
    memory.values.weight.data = 0.5 * eye[3:6].T
    moved = memory(eye[:3])
    assert (moved.argmax(dim=1) == torch.arange(3)).all()
    torch.testing.assert_close(moved[:, 3:6] / moved[:, :3].amax(dim=1, keepdim=True), 0.5 * torch.eye(3))


def test_a_tower_without_associations_has_no_weights_for_them():
    small = dict(frames=80, strides=(2, 2), width=32, layers=1, heads=2, mlp=64, dim=24)
    plain, knowing = (AudioTransformer(AudioTower(**small, hopfield_pairs=pairs)).state_dict() for pairs in (0, 3))
    assert knowing.keys() - plain.keys() == {"associate.keys.weight", "associate.values.weight"}
