"""Convolutional networks: every kind of convolution, pooling and normalization, and skips."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from tests.linearized.zoo_truth import Architecture, Flow, real


def head(*features: nn.Module, at: Callable[[int], nn.Module] = nn.LazyLinear) -> nn.Module:
    """Some features, then 3 outputs from all of them."""
    return nn.Sequential(*features, nn.ReLU(), nn.Flatten(), at(3))


def materialized(model: nn.Module, *shape: int) -> nn.Module:
    model(torch.zeros(2, *shape))
    return model


def lenet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1), nn.Tanh(), nn.AvgPool2d(2),
        nn.Conv2d(3, 4, 3), nn.Tanh(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3),
    )  # fmt: skip


class BasicBlock(nn.Module):
    """ResNet's, with `out += x` and activations in place."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += x
        return self.relu(out)


def resnet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(inplace=True),
        BasicBlock(3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 3),
    )  # fmt: skip


def downsampling(m: Flow, x: Tensor) -> Tensor:
    h = nn.functional.relu(m.norm(m.conv(x)) + m.shortcut(x))
    return m.last(h.mean((2, 3)))


def preactivation(m: Flow, x: Tensor) -> Tensor:
    h = m.stem(x)
    h = h + m.conv2(nn.functional.relu(m.norm2(m.conv1(nn.functional.relu(m.norm1(h))))))
    return m.last(nn.functional.adaptive_avg_pool2d(nn.functional.relu(h), 1).flatten(1))


def densenet(m: Flow, x: Tensor) -> Tensor:
    h = x
    for layer in m.layers:
        h = torch.cat([h, layer(h)], dim=1)
    return m.last(h.mean((2, 3)))


def squeeze_excite(m: Flow, x: Tensor) -> Tensor:
    h = nn.functional.relu(m.conv(x))
    gate = torch.sigmoid(m.up(nn.functional.relu(m.down(h.mean((2, 3))))))
    return m.last((h * gate[:, :, None, None]).flatten(1))


def unet(m: Flow, x: Tensor) -> Tensor:
    top = nn.functional.relu(m.first(x))
    deep = nn.functional.relu(m.deep(nn.functional.max_pool2d(top, 2)))
    h = torch.cat([top, m.up(deep)], dim=1)
    return m.last(h).flatten(1)


def inception(m: Flow, x: Tensor) -> Tensor:
    pooled = m.pooled(nn.functional.max_pool2d(x, 3, stride=1, padding=1))
    return m.last(torch.cat([m.one(x), m.three(x), pooled], 1).relu().amax((2, 3)))


def bottleneck() -> nn.Module:
    """MobileNet's inverted residual."""
    return Flow(
        lambda m, x: m.last((x + m.block(x)).mean((2, 3))),
        block=nn.Sequential(
            nn.Conv2d(2, 6, 1, bias=False), nn.BatchNorm2d(6), nn.ReLU6(inplace=True),
            nn.Conv2d(6, 6, 3, padding=1, groups=6, bias=False), nn.BatchNorm2d(6),
            nn.ReLU6(inplace=True), nn.Conv2d(6, 2, 1, bias=False), nn.BatchNorm2d(2),
        ),
        last=nn.Linear(2, 3),
    )  # fmt: skip


def convnext() -> nn.Module:
    def block(m: Flow, x: Tensor) -> Tensor:
        h = m.depthwise(x).permute(0, 2, 3, 1)
        h = m.shrink(nn.functional.gelu(m.grow(m.norm(h)))) * m.scale
        return m.last((x + h.permute(0, 3, 1, 2)).mean((2, 3)))

    return Flow(
        block, depthwise=nn.Conv2d(2, 2, 3, padding=1, groups=2), norm=nn.LayerNorm(2),
        grow=nn.Linear(2, 5), shrink=nn.Linear(5, 2), last=nn.Linear(2, 3),
        scale=nn.Parameter(0.5 * torch.ones(2)),
    )  # fmt: skip


def wavenet(m: Flow, x: Tensor) -> Tensor:
    for signal, gate in zip(m.signals, m.gates, strict=True):
        x = x + torch.tanh(signal(x)) * torch.sigmoid(gate(x))
    return m.last(x.flatten(1))


def autoencoder() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 2, 3, stride=2, padding=1), nn.ReLU(),
        nn.ConvTranspose2d(2, 1, 3, stride=2, padding=1, output_padding=1), nn.Flatten(),
    )  # fmt: skip


FEATURES: dict[str, tuple[tuple[int, ...], Callable[[], list[nn.Module]]]] = {
    "1d": ((2, 7), lambda: [nn.Conv1d(2, 3, 3)]),
    "2d": ((2, 5, 5), lambda: [nn.Conv2d(2, 3, 3)]),
    "3d": ((1, 4, 4, 4), lambda: [nn.Conv3d(1, 2, 2)]),
    "without bias": ((2, 5, 5), lambda: [nn.Conv2d(2, 3, 3, bias=False)]),
    "strided": ((2, 6, 6), lambda: [nn.Conv2d(2, 3, 3, stride=2, padding=1)]),
    "oblong": ((2, 5, 6), lambda: [nn.Conv2d(2, 3, (1, 4), stride=(2, 1), padding=(1, 2))]),
    "grouped": ((4, 5, 5), lambda: [nn.Conv2d(4, 4, 3, groups=2)]),
    "depthwise separable": (
        (3, 5, 5),
        lambda: [nn.Conv2d(3, 6, 3, groups=3), nn.ReLU(), nn.Conv2d(6, 2, 1)],
    ),
    "grouped 1d": ((4, 6), lambda: [nn.Conv1d(4, 6, 3, groups=2, padding=1)]),
    "dilated": ((1, 7, 7), lambda: [nn.Conv2d(1, 2, 3, dilation=2)]),
    "same": ((2, 5, 5), lambda: [nn.Conv2d(2, 2, 4, padding="same")]),
    "same dilated 1d": ((2, 7), lambda: [nn.Conv1d(2, 3, 4, padding="same", dilation=2)]),
    "valid": ((2, 5, 5), lambda: [nn.Conv2d(2, 2, 3, padding="valid")]),
    "circular": ((2, 4, 4), lambda: [nn.Conv2d(2, 2, 3, padding=1, padding_mode="circular")]),
    "reflected": ((2, 4, 4), lambda: [nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect")]),
    "transposed 1d": ((2, 4), lambda: [nn.ConvTranspose1d(2, 3, 3, stride=2)]),
    "transposed 2d": ((2, 3, 3), lambda: [nn.ConvTranspose2d(2, 3, 3, groups=1)]),
    "transposed 3d": ((1, 2, 2, 2), lambda: [nn.ConvTranspose3d(1, 2, 2)]),
    "transposed grouped": ((2, 3, 3), lambda: [nn.ConvTranspose2d(2, 4, 2, groups=2)]),
    "unfolded by hand": ((2, 4, 4), lambda: [nn.Unfold(3), nn.Linear(4, 4)]),
    "PReLU per channel": ((2, 5, 5), lambda: [nn.Conv2d(2, 3, 3), nn.PReLU(3)]),
    "BatchNorm1d": ((2, 6), lambda: [nn.Conv1d(2, 3, 3), nn.BatchNorm1d(3)]),
    "BatchNorm2d": ((2, 5, 5), lambda: [nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3)]),
    "BatchNorm2d not affine": (
        (2, 5, 5),
        lambda: [nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3, affine=False)],
    ),
    "BatchNorm3d": ((1, 3, 3, 3), lambda: [nn.Conv3d(1, 2, 2), nn.BatchNorm3d(2)]),
    "GroupNorm": ((2, 5, 5), lambda: [nn.Conv2d(2, 4, 3), nn.GroupNorm(2, 4)]),
    "InstanceNorm2d": ((2, 5, 5), lambda: [nn.Conv2d(2, 3, 3), nn.InstanceNorm2d(3, affine=True)]),
    "InstanceNorm1d with statistics": (
        (2, 6),
        lambda: [nn.Conv1d(2, 3, 3), nn.InstanceNorm1d(3, track_running_stats=True)],
    ),
    "local response norm": ((2, 4, 4), lambda: [nn.Conv2d(2, 4, 3), nn.LocalResponseNorm(2)]),
    "Dropout2d in eval": ((2, 5, 5), lambda: [nn.Conv2d(2, 3, 3), nn.Dropout2d(0.5)]),
    "max pool 1d": ((2, 8), lambda: [nn.Conv1d(2, 3, 3), nn.MaxPool1d(2)]),
    "max pool 3d": ((1, 5, 5, 5), lambda: [nn.Conv3d(1, 2, 2), nn.MaxPool3d(2)]),
    "overlapping max pool": ((2, 6, 6), lambda: [nn.Conv2d(2, 2, 3), nn.MaxPool2d(3, 2, 1)]),
    "average pool 1d": ((2, 8), lambda: [nn.Conv1d(2, 3, 3), nn.AvgPool1d(2)]),
    "average pool 3d": ((1, 5, 5, 5), lambda: [nn.Conv3d(1, 2, 2), nn.AvgPool3d(2)]),
    "LP pool": ((2, 6, 6), lambda: [nn.Conv2d(2, 2, 3), nn.Softplus(), nn.LPPool2d(2, 2)]),
    "adaptive max pool": ((2, 6, 6), lambda: [nn.Conv2d(2, 3, 3), nn.AdaptiveMaxPool2d(2)]),
    "adaptive average pool": ((2, 6, 6), lambda: [nn.Conv2d(2, 3, 3), nn.AdaptiveAvgPool2d(3)]),
    "global average 1d": ((2, 6), lambda: [nn.Conv1d(2, 3, 3), nn.AdaptiveAvgPool1d(1)]),
    "pixel shuffle": ((1, 4, 4), lambda: [nn.Conv2d(1, 4, 3), nn.PixelShuffle(2)]),
    "upsampled": ((1, 4, 4), lambda: [nn.Conv2d(1, 2, 3), nn.Upsample(scale_factor=2)]),
    "bilinear upsampling": (
        (1, 4, 4),
        lambda: [nn.Conv2d(1, 2, 3), nn.Upsample(scale_factor=2, mode="bilinear")],
    ),
    "reflection pad": ((1, 4, 4), lambda: [nn.ReflectionPad2d(1), nn.Conv2d(1, 2, 3)]),
    "zero pad 1d": ((1, 5), lambda: [nn.ConstantPad1d(2, 0.0), nn.Conv1d(1, 2, 3)]),
    "channel shuffle": ((2, 4, 4), lambda: [nn.Conv2d(2, 4, 3), nn.ChannelShuffle(2)]),
}
CONV = {
    f"conv, {name}": Architecture(
        lambda shape=shape, make=make: materialized(head(*make()), *shape), real(*shape)
    )
    for name, (shape, make) in FEATURES.items()
} | {
    "LeNet": Architecture(lenet, real(1, 8, 8)),
    "ResNet, out += x": Architecture(resnet, real(2, 4, 4)),
    "ResNet, strided shortcut": Architecture(
        lambda: Flow(
            downsampling, conv=nn.Conv2d(2, 3, 3, stride=2, padding=1), norm=nn.BatchNorm2d(3),
            shortcut=nn.Conv2d(2, 3, 1, stride=2), last=nn.Linear(3, 3),
        ),
        real(2, 5, 5),
    ),
    "ResNet, activation first": Architecture(
        lambda: Flow(
            preactivation, stem=nn.Conv2d(1, 2, 3), norm1=nn.BatchNorm2d(2),
            conv1=nn.Conv2d(2, 2, 3, padding=1), norm2=nn.BatchNorm2d(2),
            conv2=nn.Conv2d(2, 2, 3, padding=1), last=nn.Linear(2, 3),
        ),
        real(1, 5, 5),
    ),
    "DenseNet": Architecture(
        lambda: Flow(
            densenet, last=nn.Linear(6, 3),
            layers=nn.ModuleList(
                nn.Sequential(nn.BatchNorm2d(k), nn.ReLU(), nn.Conv2d(k, 2, 3, padding=1))
                for k in (2, 4)
            ),
        ),
        real(2, 4, 4),
    ),
    "squeeze and excite": Architecture(
        lambda: Flow(
            squeeze_excite, conv=nn.Conv2d(1, 4, 3), down=nn.Linear(4, 2), up=nn.Linear(2, 4),
            last=nn.Linear(16, 3),
        ),
        real(1, 4, 4),
    ),
    "U-Net": Architecture(
        lambda: Flow(
            unet, first=nn.Conv2d(1, 2, 3, padding=1), deep=nn.Conv2d(2, 3, 3, padding=1),
            up=nn.ConvTranspose2d(3, 2, 2, stride=2), last=nn.Conv2d(4, 1, 1),
        ),
        real(1, 4, 4),
    ),
    "Inception": Architecture(
        lambda: Flow(
            inception, one=nn.Conv2d(2, 2, 1), three=nn.Conv2d(2, 2, 3, padding=1),
            pooled=nn.Conv2d(2, 2, 1), last=nn.Linear(6, 3),
        ),
        real(2, 4, 4),
    ),
    "MobileNet": Architecture(bottleneck, real(2, 4, 4)),
    "ConvNeXt": Architecture(convnext, real(2, 4, 4)),
    "WaveNet": Architecture(
        lambda: Flow(
            wavenet, last=nn.Linear(14, 3),
            signals=nn.ModuleList(nn.Conv1d(2, 2, 3, padding=d, dilation=d) for d in (1, 2)),
            gates=nn.ModuleList(nn.Conv1d(2, 2, 3, padding=d, dilation=d) for d in (1, 2)),
        ),
        real(2, 7),
    ),
    "autoencoder": Architecture(autoencoder, real(1, 4, 4)),
}  # fmt: skip
