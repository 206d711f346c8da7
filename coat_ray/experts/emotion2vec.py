"""emotion2vec, the affect teacher (arXiv 2312.15185): waveform to affect-bearing frames at 50 Hz.

Own inference path; parameter names are those of the official checkpoint ``emotion2vec_base.pt``: convolutions,
positional convolutions, ten extra tokens, a pre-net and the main blocks (post-norm), with a symmetric linear attention
bias (ALiBi) whose scale per head is learned. The tapped value is the last block's output without the extra tokens.

Shapes: B batch, N samples, L frames, X extra tokens, D width, H attention heads.
"""

from __future__ import annotations

import math
from typing import ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coat_ray.experts import waveform
from coat_ray.experts.base import ClassifierHead, ExpertSpec, OfficialWeights
from coat_ray.experts.emotion2vec_sizes import EMBEDDED, OFFICIAL, Emotion2vecConfig, sizes_of
from coat_ray.experts.torch_expert import TorchExpert, identity
from coat_ray.experts.weights import LoadedWeights, WeightsError, load_strict, load_weights

__all__ = ["EMBEDDED", "OFFICIAL", "Emotion2vec", "Emotion2vecConfig", "Emotion2vecEncoder"]

CODE_VERSION = 1
OFFICIAL_WEIGHTS = OfficialWeights(
    file="emotion2vec_base.pt",
    url="https://huggingface.co/emotion2vec/emotion2vec_base/resolve/main/emotion2vec_base.pt",
    licence="model-license (emotion2vec)",
)
TRAINING_ONLY = ("modality_encoders.AUDIO.decoder.", "_ema", "proj.")
"""Official keys that inference does not need; ``proj``, the emotion read-out of the plus models, is read apart."""
EMOTIONS = ("angry", "disgusted", "fearful", "happy", "neutral", "other", "sad", "surprised", "unknown")
"""Classes of that read-out, in its order."""
NORM_EPS = 1e-5
"""As in the configuration published with the checkpoint; the code's own default differs."""


def alibi_slopes(num_heads: int) -> list[float]:
    """Slope of the linear attention bias per head; a geometric series where the number of heads is a power of two."""
    power = 2 ** math.floor(math.log2(num_heads))
    start = 2.0 ** (-8.0 / power)
    slopes = [start ** (n + 1) for n in range(power)]
    return slopes if power == num_heads else slopes + alibi_slopes(2 * power)[0::2][: num_heads - power]


def alibi(num_heads: int, length: int, device: torch.device | None = None) -> Tensor:
    """Symmetric bias (H, L, L): minus the slope times the distance in frames."""
    at = torch.arange(length, device=device, dtype=torch.float32)
    distance_LL = (at[None, :] - at[:, None]).abs()
    return -torch.tensor(alibi_slopes(num_heads), device=device)[:, None, None] * distance_LL


class Swap(nn.Module):
    """Exchange the last two axes; without parameters, it keeps the official numbering of the modules around it."""

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return x.transpose(-2, -1)


def _conv_layer(width_in: int, width: int, kernel: int, stride: int) -> nn.Sequential:
    norm = nn.Sequential(Swap(), nn.LayerNorm(width), Swap())
    conv = nn.Conv1d(width_in, width, kernel, stride, bias=False)
    return nn.Sequential(conv, nn.Identity(), norm, nn.GELU())


def _positional_layer(config: Emotion2vecConfig) -> nn.Sequential:
    width, kernel = config.embed_dim, config.pos_kernel
    conv = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=config.pos_groups)
    return nn.Sequential(conv, Swap(), nn.LayerNorm(width, elementwise_affine=False), Swap(), nn.GELU())


class LocalEncoder(nn.Module):
    """Waveform (B, N) -> local features (B, C, L)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        widths = (1, *[width] * len(waveform.KERNELS))
        sizes = zip(widths[:-1], widths[1:], waveform.KERNELS, waveform.STRIDES, strict=True)
        self.conv_layers = nn.ModuleList(_conv_layer(*size) for size in sizes)

    def forward(self, waves_BN: Tensor) -> Tensor:
        """See the class."""
        x = waves_BN.unsqueeze(1)
        for layer in self.conv_layers:
            x = layer(x)
        return x


class Attention(nn.Module):
    """Self-attention with an additive bias (B, H, L, L)."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x_BLD: Tensor, bias_BHLL: Tensor) -> Tensor:
        """See the class."""
        q_BHLd, k_BHLd, v_BHLd = self.qkv(x_BLD).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        mixed_BHLd = F.scaled_dot_product_attention(q_BHLd, k_BHLd, v_BHLd, attn_mask=bias_BHLL)
        return self.proj(mixed_BHLd.transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    """Two linear maps with GELU between, four times as wide inside."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    """Post-norm transformer block."""

    def __init__(self, config: Emotion2vecConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.embed_dim, eps=NORM_EPS)
        self.attn = Attention(config.embed_dim, config.num_heads)
        self.norm2 = nn.LayerNorm(config.embed_dim, eps=NORM_EPS)
        self.mlp = Mlp(config.embed_dim)

    def forward(self, x_BLD: Tensor, bias_BHLL: Tensor) -> Tensor:
        """See the class."""
        x_BLD = self.norm1(x_BLD + self.attn(x_BLD, bias_BHLL))
        return self.norm2(x_BLD + self.mlp(x_BLD))


class ContextEncoder(nn.Module):
    """The pre-net: a layer norm, then blocks."""

    def __init__(self, config: Emotion2vecConfig) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.prenet_depth))
        self.norm = nn.LayerNorm(config.embed_dim, eps=NORM_EPS)

    def forward(self, x_BLD: Tensor, bias_BHLL: Tensor) -> Tensor:
        """See the class."""
        x_BLD = self.norm(x_BLD)
        for block in self.blocks:
            x_BLD = block(x_BLD, bias_BHLL)
        return x_BLD


class AudioEncoder(nn.Module):
    """Everything before the main blocks: waveform (B, N) -> ((B, X + L, D), bias (1, H, X + L, X + L))."""

    def __init__(self, config: Emotion2vecConfig) -> None:
        super().__init__()
        width = config.embed_dim
        self.local_encoder = LocalEncoder(config.conv_dim)
        self.project_features = nn.Sequential(Swap(), nn.LayerNorm(config.conv_dim), nn.Linear(config.conv_dim, width))
        layers = [_positional_layer(config) for _ in range(config.pos_depth)]
        self.relative_positional_encoder = nn.Sequential(Swap(), *layers, Swap())
        self.context_encoder = ContextEncoder(config)
        self.extra_tokens = nn.Parameter(torch.zeros(1, config.num_extra_tokens, width))
        self.alibi_scale = nn.Parameter(torch.ones(1, 1, config.num_heads, 1, 1))

    def forward(self, waves_BN: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        return self.from_local(self.local_encoder(waves_BN))

    def from_local(self, local_BCL: Tensor) -> tuple[Tensor, Tensor]:
        """The same from the convolutions' output. The extra tokens are attended without bias."""
        x_BLD = self.project_features(local_BCL)
        x_BLD = x_BLD + self.relative_positional_encoder(x_BLD)
        num_extra, num_heads = self.extra_tokens.shape[1], self.alibi_scale.shape[2]
        bias_HLL = alibi(num_heads, x_BLD.shape[1], x_BLD.device) * self.alibi_scale.clamp_min(0)[0, 0]
        bias_BHLL = F.pad(bias_HLL, (num_extra, 0, num_extra, 0)).unsqueeze(0)
        x_BLD = torch.cat([self.extra_tokens.expand(len(x_BLD), -1, -1), x_BLD], dim=1)
        return self.context_encoder(x_BLD, bias_BHLL), bias_BHLL


class Emotion2vecEncoder(nn.Module):
    """Standardised waveform (B, N) at 16 kHz -> frames (B, L, D)."""

    def __init__(self, config: Emotion2vecConfig) -> None:
        super().__init__()
        self.config = config
        self.modality_encoders = nn.ModuleDict({"AUDIO": AudioEncoder(config)})
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))

    @property
    def audio(self) -> AudioEncoder:
        """Everything before the main blocks."""
        return cast("AudioEncoder", self.modality_encoders["AUDIO"])

    def forward(self, waves_BN: Tensor, layer: int | None = None) -> Tensor:
        """Output of main block *layer* (counted from 1; None: the last), the extra tokens removed."""
        return self.from_local(self.audio.local_encoder(waves_BN), layer)

    def from_local(self, local_BCL: Tensor, layer: int | None = None) -> Tensor:
        """The same from the convolutions' output, so that training can compute it once."""
        x_BLD, bias_BHLL = self.audio.from_local(local_BCL)
        for block in self.blocks[:layer]:
            x_BLD = block(x_BLD, bias_BHLL)
        return x_BLD[:, self.config.num_extra_tokens :]


class Emotion2vec(TorchExpert):
    """The affect teacher. A path may hold any published size: base, or one of the plus models."""

    name: ClassVar[str] = "emotion2vec"
    official = OFFICIAL_WEIGHTS
    width: ClassVar[int] = OFFICIAL.embed_dim
    emotions: ClassVar[int] = 0
    layer: int

    @classmethod
    def official_spec(cls) -> ExpertSpec:
        """The facts at official size."""
        return cls._spec(cls.width, EMOTIONS[: cls.emotions], embedded=False)

    @classmethod
    def load(cls, weights: str = "embedded", layer: int | None = None) -> Emotion2vec:
        """Build from embedded or official weights, or from the path of a checkpoint.

        Raises:
            WeightsError: weights that are absent or do not fit.
            ValueError: a main block that the network does not have.
        """
        loaded = load_weights(cls.name, weights, cls.official)
        config = Emotion2vecConfig(**loaded.meta["config"]) if loaded.embedded else sizes_of(loaded.state)
        if weights == "official" and config.embed_dim != cls.width:
            raise WeightsError(f"{loaded.path} is {config.embed_dim} wide, {cls.name} is {cls.width}; pull it again")
        layer = config.depth if layer is None else layer
        if not 1 <= layer <= config.depth:
            raise ValueError(f"{cls.name}: main block {layer} does not exist; choose 1 to {config.depth}")
        encoder = Emotion2vecEncoder(config)
        state = loaded.part("encoder") if loaded.embedded else loaded.state
        load_strict(encoder, state, TRAINING_ONLY, loaded.path)
        head, labels = _read_out(loaded, config) if layer == config.depth else (None, ())
        id_ = identity(name=cls.name, weights=loaded.sha256, layer=layer, code=CODE_VERSION)
        expert = cls(cls._spec(config.embed_dim, labels, loaded.embedded), encoder, head, id_)
        expert.layer = layer
        return expert

    def _frames(self, waves_BN: Tensor) -> Tensor:
        return self.encoder(waveform.standardise(waves_BN), self.layer)

    @classmethod
    def _spec(cls, width: int, labels: tuple[str, ...], embedded: bool) -> ExpertSpec:
        return ExpertSpec(
            name=cls.name,
            sample_rate=waveform.SAMPLE_RATE,
            rate=waveform.RATE,
            first_center=waveform.FIRST_CENTER,
            width=width,
            loss="mse",
            licence="Apache-2.0" if embedded else cls.official.licence,
            commercial_use=embedded,  # the official licence does not grant it in plain words
            source="coat_ray, trained on SoundWorld" if embedded else cls.official.url,
            min_samples=waveform.MIN_SAMPLES,
            labels=labels,
        )


def _read_out(loaded: LoadedWeights, config: Emotion2vecConfig) -> tuple[ClassifierHead | None, tuple[str, ...]]:
    """The frozen classifier of the last block, where the weights have one."""
    if loaded.embedded:
        labels, state = tuple(loaded.meta["labels"]), loaded.part("head")
    else:
        state = {f"linear.{key}": value for key, value in loaded.part("proj").items()}
        labels = EMOTIONS if state else ()
    if not labels:
        return None, ()
    head = ClassifierHead(config.embed_dim, len(labels))
    load_strict(head, state, (), loaded.path)
    return head, labels
