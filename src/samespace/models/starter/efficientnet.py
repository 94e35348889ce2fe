"""EfficientNet-Lite: the CNN backbone below the hybrid image tower.

Tan & Le 2019, "EfficientNet", with the Lite changes: no squeeze-excite, ReLU6, stem and head of fixed width.
Batch norms are folded into their convolutions when weights are read, so a backbone is convolutions only.
"""

import math

from torch import Tensor, nn
from torch.nn.functional import relu6

STAGES = [  # (repeats, kernel, stride, expansion, channels) of B0
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
]
SCALES = {"efficientnet_lite0": (1.0, 1.0), "efficientnet_lite2": (1.1, 1.2)}  # width, depth
STEM, HEAD, STRIDE = 32, 1280, 32


def round_channels(channels: float) -> int:
    """To a multiple of 8, never below 90% of what was asked for."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def conv(cin: int, cout: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """A convolution that keeps the map's size at stride 1."""
    return nn.Conv2d(cin, cout, kernel, stride, padding=(kernel - 1) // 2, groups=groups)


class MBConv(nn.Module):
    """Inverted residual: expand, depthwise, project; a shortcut where shapes allow. (B, C, h, w) → (B, C', h/s, w/s)"""

    def __init__(self, cin: int, cout: int, kernel: int, stride: int, expansion: int):
        super().__init__()
        hidden = cin * expansion
        self.shortcut = stride == 1 and cin == cout
        self.expand = conv(cin, hidden) if expansion > 1 else None
        self.depthwise = conv(hidden, hidden, kernel, stride, groups=hidden)
        self.project = conv(hidden, cout)

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.expand is None else relu6(self.expand(x))
        y = self.project(relu6(self.depthwise(y)))
        return x + y if self.shortcut else y


class EfficientNetLite(nn.Module):
    """float32 (B, 3, H, W) → feature map (B, 1280, H/32, W/32).

    With `first`, only the blocks from there on, for a second branch over the same lower blocks.
    """

    channels = HEAD
    stride = STRIDE

    def __init__(self, name: str, first: int = 0):
        super().__init__()
        width, depth = SCALES[name]
        self.stem = None if first else conv(3, STEM, 3, 2)
        blocks, channels_in, cin = [], [], STEM
        for i, (repeats, kernel, stride, expansion, channels) in enumerate(STAGES):
            cout = round_channels(channels * width)
            fixed = i in (0, len(STAGES) - 1)  # the Lite models do not deepen the first and last stage
            for j in range(repeats if fixed else math.ceil(repeats * depth)):
                channels_in.append(cin)
                blocks.append(MBConv(cin, cout, kernel, stride if j == 0 else 1, expansion))
                cin = cout
        self.blocks = nn.Sequential(*blocks[first:])
        self.first_channels = channels_in[first]
        self.head = conv(cin, HEAD)

    def forward(self, x: Tensor) -> Tensor:
        return self.top(self.bottom(x, 0), 0)

    def bottom(self, x: Tensor, blocks: int) -> Tensor:
        """Run the stem and the first blocks: (B, 3, H, W) → a middle map."""
        assert self.stem is not None  # a second branch has none
        return self.blocks[:blocks](relu6(self.stem(x)))

    def top(self, x: Tensor, blocks: int) -> Tensor:
        """Run what follows the first blocks: a middle map → (B, 1280, H/32, W/32)."""
        return relu6(self.head(self.blocks[blocks:](x)))

    @property
    def in_channels(self) -> int:
        """Channels of the map that the first block reads."""
        return self.first_channels
