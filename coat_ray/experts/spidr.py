"""SpidR, the speech teacher (arXiv 2512.20308): waveform to phone-like frames at 50 Hz.

Own inference path of the student network; parameter names are those of the official checkpoint ``spidr_base.pt``.
The tapped value of layer n is the output of its feed-forward part *before* the residual sum: that is what the model
was trained to predict units from, and what the authors' feature script stores (layer 6 by default).

Shapes: B batch, N samples, L frames, D width, H attention heads.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from coat_ray.experts import waveform
from coat_ray.experts.base import ClassifierHead, ExpertSpec, OfficialWeights
from coat_ray.experts.torch_expert import TorchExpert, identity
from coat_ray.experts.weights import LoadedWeights, WeightsError, load_strict, load_weights

CODE_VERSION = 1
OFFICIAL_WEIGHTS = OfficialWeights(
    file="spidr_base.pt",
    url="https://dl.fbaipublicfiles.com/shared/devai/assets/models/spidr_base.pt",
    licence="CC-BY-NC-4.0",
)
TRAINING_ONLY = ("teacher.", "codebooks.", "heads.", "mask_embedding", "current_step")
"""Official keys that inference does not need; ``heads`` are read apart, as the frozen read-out of the tapped layer."""
NUM_UNITS = 256


@dataclass(frozen=True)
class SpidrConfig:
    """Sizes of the network; the defaults are the official base model."""

    conv_dim: int = 512
    embed_dim: int = 768
    pos_groups: int = 16
    pos_kernel: int = 19
    pos_depth: int = 5
    num_layers: int = 12
    num_heads: int = 12
    ffn_dim: int = 3072
    layer: int = 6
    first_head: int = 5


OFFICIAL = SpidrConfig()
EMBEDDED = SpidrConfig(conv_dim=64, embed_dim=96, num_layers=4, num_heads=4, ffn_dim=288, layer=4)


class ConvLayer(nn.Module):
    """Strided convolution, layer norm over channels, GELU: (B, C, N) -> (B, C', N')."""

    def __init__(self, width_in: int, width: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(width_in, width, kernel, stride, bias=False)
        self.layer_norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return F.gelu(self.layer_norm(self.conv(x).transpose(1, 2)).transpose(1, 2))


class FeatureExtractor(nn.Module):
    """Waveform (B, N) -> local features (B, L, C)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        widths = (1, *[width] * len(waveform.KERNELS))
        sizes = zip(widths[:-1], widths[1:], waveform.KERNELS, waveform.STRIDES, strict=True)
        self.conv_layers = nn.ModuleList(ConvLayer(*size) for size in sizes)

    def forward(self, waves_BN: Tensor) -> Tensor:
        """See the class."""
        x = waves_BN.unsqueeze(1)
        for layer in self.conv_layers:
            x = layer(x)
        return x.transpose(1, 2)


class FeatureProjection(nn.Module):
    """Layer norm and a linear map to the encoder's width."""

    def __init__(self, width_in: int, width: int) -> None:
        super().__init__()
        self.layer_norm = nn.LayerNorm(width_in)
        self.projection = nn.Linear(width_in, width)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return self.projection(self.layer_norm(x))


class PositionalConvs(nn.Module):
    """Position from a stack of grouped convolutions, each followed by a plain layer norm and GELU."""

    def __init__(self, config: SpidrConfig) -> None:
        super().__init__()
        width = config.embed_dim
        self.convs = nn.ModuleList(
            nn.Conv1d(width, width, config.pos_kernel, padding=config.pos_kernel // 2, groups=config.pos_groups)
            for _ in range(config.pos_depth)
        )

    def forward(self, x_BLD: Tensor) -> Tensor:
        """See the class."""
        for conv in self.convs:
            x_BLD = conv(x_BLD.transpose(1, 2)).transpose(1, 2)
            x_BLD = F.gelu(F.layer_norm(x_BLD, x_BLD.shape[-1:]))
        return x_BLD


class Attention(nn.Module):
    """Self-attention with one bias-free projection for queries, keys and values."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.proj = nn.Linear(width, width)

    def forward(self, x_BLD: Tensor) -> Tensor:
        """See the class."""
        q_BHLd, k_BHLd, v_BHLd = self.qkv(x_BLD).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        mixed_BHLd = F.scaled_dot_product_attention(q_BHLd, k_BHLd, v_BHLd)
        return self.proj(mixed_BHLd.transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    """Two linear maps with GELU between."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.intermediate_dense = nn.Linear(width, hidden)
        self.output_dense = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return self.output_dense(F.gelu(self.intermediate_dense(x)))


class TransformerLayer(nn.Module):
    """Post-norm layer; returns its output and the feed-forward part before the residual sum."""

    def __init__(self, config: SpidrConfig) -> None:
        super().__init__()
        self.attention = Attention(config.embed_dim, config.num_heads)
        self.layer_norm = nn.LayerNorm(config.embed_dim)
        self.feed_forward = FeedForward(config.embed_dim, config.ffn_dim)
        self.final_layer_norm = nn.LayerNorm(config.embed_dim)

    def forward(self, x_BLD: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        x_BLD = self.layer_norm(x_BLD + self.attention(x_BLD))
        tapped_BLD = self.feed_forward(x_BLD)
        return self.final_layer_norm(x_BLD + tapped_BLD), tapped_BLD


class Student(nn.Module):
    """Positional convolutions, layer norm, transformer layers."""

    def __init__(self, config: SpidrConfig) -> None:
        super().__init__()
        self.pos_conv_embed = PositionalConvs(config)
        self.layer_norm = nn.LayerNorm(config.embed_dim)
        self.layers = nn.ModuleList(TransformerLayer(config) for _ in range(config.num_layers))

    def forward(self, x_BLD: Tensor, layer: int) -> Tensor:
        """The tapped value of *layer* (counted from 1); later layers do not run."""
        x_BLD = self.layer_norm(x_BLD + self.pos_conv_embed(x_BLD))
        for module in self.layers[: layer - 1]:
            x_BLD, _ = module(x_BLD)
        return self.layers[layer - 1](x_BLD)[1]


class SpidrEncoder(nn.Module):
    """Standardised waveform (B, N) at 16 kHz -> tapped frames (B, L, D)."""

    def __init__(self, config: SpidrConfig) -> None:
        super().__init__()
        self.config = config
        self.feature_extractor = FeatureExtractor(config.conv_dim)
        self.feature_projection = FeatureProjection(config.conv_dim, config.embed_dim)
        self.student = Student(config)

    def forward(self, waves_BN: Tensor, layer: int | None = None) -> Tensor:
        """Frames of *layer*, the configuration's own where None."""
        return self.from_local(self.feature_extractor(waves_BN), layer)

    def from_local(self, local_BLC: Tensor, layer: int | None = None) -> Tensor:
        """The same from the convolutions' output, so that training can compute it once."""
        return self.student(self.feature_projection(local_BLC), layer or self.config.layer)


class Spidr(TorchExpert):
    """The speech teacher. Official layer by default: 6, as in its authors' feature script."""

    official = OFFICIAL_WEIGHTS

    @classmethod
    def official_spec(cls) -> ExpertSpec:
        """The facts at official size and default layer."""
        return _spec(OFFICIAL, _unit_names(OFFICIAL.layer, OFFICIAL), embedded=False)

    def __init__(self, encoder: SpidrEncoder, head: ClassifierHead | None, spec: ExpertSpec, layer: int, id_: str):
        super().__init__(spec, encoder, head, id_)
        self.layer = layer

    @classmethod
    def load(cls, weights: str = "embedded", layer: int | None = None) -> Spidr:
        """Build from embedded or official weights, or from the path of a checkpoint.

        Raises:
            WeightsError: weights that are absent or do not fit.
            ValueError: a layer that the network does not have.
        """
        loaded = load_weights("spidr", weights, OFFICIAL_WEIGHTS)
        config = SpidrConfig(**loaded.meta["config"]) if loaded.embedded else OFFICIAL
        layer = config.layer if layer is None else layer
        if not 1 <= layer <= config.num_layers:
            raise ValueError(f"spidr: layer {layer} does not exist; choose 1 to {config.num_layers}")
        encoder = SpidrEncoder(config)
        load_strict(encoder, loaded.part("encoder") if loaded.embedded else loaded.state, TRAINING_ONLY, loaded.path)
        head, labels = _read_out(loaded, config, layer)
        id_ = identity(name="spidr", weights=loaded.sha256, layer=layer, code=CODE_VERSION)
        return cls(encoder, head, _spec(config, labels, loaded.embedded), layer, id_)

    def _frames(self, waves_BN: Tensor) -> Tensor:
        return self.encoder(waveform.standardise(waves_BN), self.layer)


def _read_out(loaded: LoadedWeights, config: SpidrConfig, layer: int) -> tuple[ClassifierHead | None, tuple[str, ...]]:
    """The frozen classifier that belongs to the tapped layer, if there is one."""
    if loaded.embedded:
        labels = tuple(loaded.meta["labels"]) if layer == config.layer else ()
        state = loaded.part("head")
    else:
        labels = _unit_names(layer, config)
        state = {f"linear.{k}": v for k, v in loaded.part(f"heads.{layer - config.first_head}.0").items()}
    if not labels:
        return None, ()
    if not state:
        raise WeightsError(f"{loaded.path} has no read-out for layer {layer}")
    head = ClassifierHead(config.embed_dim, len(labels))
    load_strict(head, state, (), loaded.path)
    return head, labels


def _unit_names(layer: int, config: SpidrConfig) -> tuple[str, ...]:
    """Names of the units that the official read-out of a layer tells apart; none below ``first_head``."""
    return tuple(f"unit {n}" for n in range(NUM_UNITS)) if layer >= config.first_head else ()


def _spec(config: SpidrConfig, labels: tuple[str, ...], embedded: bool) -> ExpertSpec:
    return ExpertSpec(
        name="spidr",
        sample_rate=waveform.SAMPLE_RATE,
        rate=waveform.RATE,
        first_center=waveform.FIRST_CENTER,
        width=config.embed_dim,
        loss="mse",
        licence="Apache-2.0" if embedded else OFFICIAL_WEIGHTS.licence,
        commercial_use=embedded,
        source="coat_ray, trained on SoundWorld" if embedded else OFFICIAL_WEIGHTS.url,
        min_samples=waveform.MIN_SAMPLES,
        labels=labels,
    )


def config_json(config: SpidrConfig) -> dict[str, int]:
    """The sizes as plain data, for the header of embedded weights."""
    return asdict(config)
