"""The student: a LoRA backbone, the block's token rows, and a projection head for each expert (paper 3).

Shapes: B rows, S positions, D hidden size, P = sum L_a block positions of the batch, E expert width.
"""

from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from coat_ray.config import RECON, BackboneConfig, LoraSection, ProjectorConfig, RunConfig
from coat_ray.experts.base import HEAD_KINDS, ExpertSpec, FrozenHead
from coat_ray.model.answer_loss import answer_loss
from coat_ray.model.backbones import load_backbone
from coat_ray.model.backbones.base import AudioFeatures, Backbone
from coat_ray.model.batch import Batch, StepOutput
from coat_ray.model.losses import LOSSES, FocalSettings
from coat_ray.model.packing import pad_groups, unpad_groups
from coat_ray.model.projectors import make_projector


@dataclass(frozen=True)
class Teacher:
    """What training keeps of an expert: its facts and its frozen head, if its loss or a reader needs one."""

    width: int
    loss: str
    head: FrozenHead | None = None
    spec: ExpertSpec | None = None

    @classmethod
    def of(cls, spec: ExpertSpec, head: FrozenHead | None) -> Teacher:
        """The teacher behind a target dataset."""
        return cls(spec.width, spec.loss, head, spec)


class CoatModel(nn.Module):
    """Backbone + heads. ``forward`` gives every loss term; only LoRA, three token rows and the heads train."""

    def __init__(
        self,
        backbone: Backbone,
        lora: LoraSection,
        projector: ProjectorConfig,
        teachers: Mapping[str, Teacher],
        focal: FocalSettings,
        *,
        block: bool,
    ) -> None:
        super().__init__()
        self.block, self.focal, self.projector_config = block, focal, projector
        self.backbone = backbone
        self.front = backbone.front
        with warnings.catch_warnings():  # PEFT asks transformers for a property by its old name
            warnings.simplefilter("ignore", FutureWarning)
            self.peft = get_peft_model(backbone.hf, self._lora_config(lora))
        self.widths = {role: teacher.width for role, teacher in teachers.items()}
        self.losses = {role: teacher.loss for role, teacher in teachers.items()}
        hidden = backbone.hidden_size
        self.heads = nn.ModuleDict({r: make_projector(hidden, t.width, projector) for r, t in teachers.items()})
        self.frozen = nn.ModuleDict({r: _constant(t.head) for r, t in teachers.items() if t.head is not None})
        self.teacher_specs = {role: t.spec for role, t in teachers.items()}

    @classmethod
    def create(
        cls, config: RunConfig, *, block: bool, specs: Mapping[str, tuple[ExpertSpec, FrozenHead | None]]
    ) -> CoatModel:
        """Build the model of a run with fresh LoRA and heads; the seed fixes them.

        Args:
            config: the run.
            block: False for the SFT arm, which has neither a block nor heads.
            specs: role -> facts and frozen head of each expert, as its target dataset carries them.
        """
        backbone = load_backbone(config.backbone)
        torch.manual_seed(config.seed)
        teachers: dict[str, Teacher] = {}
        if block:
            teachers = {role: Teacher.of(*specs[role]) for role in sorted(specs)}
            teachers[RECON] = Teacher(backbone.hidden_size, "mse")
        settings = config.training
        focal = FocalSettings(settings.focal_weight, settings.focal_alpha, settings.focal_gamma)
        return cls(backbone, config.lora, config.projector, teachers, focal, block=block)

    def _lora_config(self, lora: LoraSection) -> LoraConfig:
        rows = {"embed_tokens": self.front.block_ids.as_list()} if self.block else None
        return LoraConfig(
            r=lora.rank,
            lora_alpha=lora.alpha,
            lora_dropout=lora.dropout,
            target_modules=self.backbone.linear_names(lora.target_modules),
            trainable_token_indices=rows,
        )

    def forward(self, batch: Batch, active: tuple[str, ...] = ()) -> StepOutput:
        """One pass: answers' cross-entropy and the losses of the active experts, as sums with their counts."""
        z_audio = self.encode_audio(batch)
        x_BSD = self.backbone.embed(batch.input_ids_BS, batch.audio_mask_BS, z_audio)
        hidden_BSD = self.backbone.decode(x_BSD, batch.attention_mask_BS)
        ce_sum, correct, count = self._answer_loss(hidden_BSD, batch)
        output = StepOutput(ce_sum=ce_sum, num_response_tokens=count, correct=correct)
        if self.block and len(batch.lengths_N):  # every clip has a block; to ask the mask would wait for the device
            output.h_think = hidden_BSD[batch.think_mask_BS]
            for role in active:
                self._expert_loss(role, output, batch, z_audio)
        return output

    def encode_audio(self, batch: Batch) -> Tensor:
        """The tower's output for every clip of the batch (P, D), once, without gradients: input and recon target."""
        with torch.no_grad():
            if batch.features_NMF.shape[0] == 0:
                return torch.zeros(0, self.backbone.hidden_size, device=batch.input_ids_BS.device)
            return self.backbone.encode_audio(AudioFeatures(batch.features_NMF, batch.frames_N, batch.lengths_N))

    def _answer_loss(self, hidden_BSD: Tensor, batch: Batch) -> tuple[Tensor, Tensor, int]:
        """Cross-entropy over response tokens only: their positions are gathered before the output layer."""
        answered_BS = batch.response_mask_BS[:, 1:]
        labels_P = batch.input_ids_BS[:, 1:][answered_BS]
        ce_sum, correct = answer_loss(self.backbone.lm_head, hidden_BSD[:, :-1][answered_BS], labels_P)
        return ce_sum, correct, labels_P.numel()

    def predict(self, role: str, h_think: Tensor, row_lengths: Tensor) -> Tensor:
        """P_k on packed block states (P, D) -> (P, E); attention stays inside a row's block.

        In the head's own dtype: DeepSpeed trains it in that of the backbone with a float32 copy of its weights, and
        outside of training it is float32.
        """
        head = self.heads[role]
        padded, mask = pad_groups(h_think.to(next(head.parameters()).dtype), row_lengths)
        return unpad_groups(head(padded, mask), mask)

    def _expert_loss(self, role: str, output: StepOutput, batch: Batch, z_audio: Tensor) -> None:
        target = z_audio if role == RECON else batch.targets[role]
        have = batch.target_masks.get(role, torch.ones(len(target), dtype=torch.bool))
        assert output.h_think is not None
        tap = output.h_think.view_as(output.h_think)
        if tap.requires_grad:
            tap.register_hook(_norm_recorder(output.block_grad_norms, role))
        rows = batch.think_mask_BS.sum(1)
        z_hat = self.predict(role, tap, rows[rows > 0]).float()
        z_hat_NLE, mask_NL = pad_groups(z_hat, batch.lengths_N)
        z_NLE, _ = pad_groups(target.float(), batch.lengths_N)
        have_NL, _ = pad_groups(have.to(mask_NL.device), batch.lengths_N)
        head = self.frozen_head(role)
        loss = LOSSES[self.losses[role]]
        output.expert_sums[role] = loss(z_hat_NLE, z_NLE, mask_NL & have_NL, head, self.focal)
        output.num_positions[role] = int(have.sum())

    def frozen_head(self, role: str) -> FrozenHead | None:
        """The teacher's own last layer, where its targets carry one."""
        return cast("FrozenHead", self.frozen[role]) if role in self.frozen else None

    def checkpoint_activations(self) -> None:
        """Train with less memory and the same result; see ``Backbone.checkpoint_activations``."""
        self.backbone.checkpoint_activations()

    def compile_layers(self) -> None:
        """Train faster on a GPU; see ``Backbone.compile_layers``."""
        self.backbone.compile_layers()

    def trainable_parameters(self) -> dict[str, list[tuple[str, nn.Parameter]]]:
        """Trainable parameters by group: ``lora``, ``tokens`` (the block's rows) and ``heads``."""
        groups: dict[str, list[tuple[str, nn.Parameter]]] = {"lora": [], "tokens": [], "heads": []}
        for name, parameter in self.named_parameters():
            if parameter.requires_grad:
                group = "heads" if name.startswith("heads.") else "tokens" if "trainable_tokens" in name else "lora"
                groups[group].append((name, parameter))
        return groups

    def save_adapter(self, folder: Path) -> None:
        """Write LoRA and token rows in PEFT's own format, heads and what they need to be read beside them."""
        folder.mkdir(parents=True, exist_ok=True)
        save_file(
            {k: v.contiguous() for k, v in get_peft_model_state_dict(self.peft).items()},
            folder / "adapter_model.safetensors",
        )
        self.peft.peft_config["default"].save_pretrained(str(folder))
        save_file({k: v.contiguous() for k, v in self.heads.state_dict().items()}, folder / "heads.safetensors")
        save_file({k: v.contiguous() for k, v in self.frozen.state_dict().items()}, folder / "frozen.safetensors")
        (folder / "heads.json").write_text(json.dumps(self._heads_card(), indent=2))

    def _heads_card(self) -> dict[str, object]:
        teachers = {}
        for role in self.heads:
            spec = self.teacher_specs[role]
            head = self.frozen_head(role)
            teachers[role] = {
                "width": self.widths[role],
                "loss": self.losses[role],
                "spec": spec.to_json() if spec else None,
                "head": {"kind": head.kind, "config": head.config()} if head is not None else None,
            }
        return {"block": self.block, "projector": self.projector_config.model_dump(), "teachers": teachers}

    @classmethod
    def load(cls, backbone: BackboneConfig, folder: Path) -> CoatModel:
        """Rebuild a trained model from what ``save_adapter`` wrote, on the base it was trained on."""
        card = json.loads((folder / "heads.json").read_text())
        peft = LoraConfig.from_pretrained(str(folder))
        leaves = sorted({name.rsplit(".", 1)[-1] for name in peft.target_modules})
        lora = LoraSection(rank=peft.r, alpha=peft.lora_alpha, dropout=peft.lora_dropout, target_modules=tuple(leaves))
        projector = ProjectorConfig(**card["projector"])
        teachers = {role: _teacher(facts) for role, facts in card["teachers"].items()}
        model = cls(load_backbone(backbone), lora, projector, teachers, FocalSettings(), block=card["block"])
        model.load_adapter(folder)
        model.frozen.load_state_dict(load_file(folder / "frozen.safetensors"))
        return model.eval()

    def load_adapter(self, folder: Path) -> None:
        """Read what ``save_adapter`` wrote into a model of the same shape."""
        set_peft_model_state_dict(self.peft, load_file(folder / "adapter_model.safetensors"))
        self.heads.load_state_dict(load_file(folder / "heads.safetensors"))


def _teacher(facts: dict[str, Any]) -> Teacher:
    head = HEAD_KINDS[facts["head"]["kind"]](**facts["head"]["config"]) if facts["head"] else None
    spec = ExpertSpec(**facts["spec"]) if facts["spec"] else None
    return Teacher(facts["width"], facts["loss"], head, spec)


def _constant(head: FrozenHead) -> FrozenHead:
    """A copy with buffers for parameters: DeepSpeed leaves them in float32 and in one piece on every worker."""
    head = copy.deepcopy(head)
    for part in head.modules():
        for name, parameter in list(part.named_parameters(recurse=False)):
            delattr(part, name)
            part.register_buffer(name, parameter.detach())
    return head


def _norm_recorder(norms: dict[str, Any], role: str) -> Callable[[Tensor], None]:
    """Keeps the norm as a tensor: to read it would wait for the device."""

    def record(gradient: Tensor) -> None:
        norms[role] = torch.linalg.vector_norm(gradient.detach(), dtype=torch.float32)

    return record
