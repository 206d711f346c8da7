"""The published sizes, built without weights: where LoRA goes, which rows train, and how many parameters that makes."""

import re

import pytest
import torch
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from coat_ray.config import LoraSection, ProjectorConfig
from coat_ray.model.backbones.base import Backbone, add_block_tokens
from coat_ray.model.coat import CoatModel, Teacher
from coat_ray.model.losses import FocalSettings
from tests.model.published import PUBLISHED

WIDTHS = {"recon": None, "speech": 768, "sed": 2048, "paralinguistic": 768, "pitch": 2112}
LEAVES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


class Opened(Backbone):
    """A published model with the tokens of its block and no front end behind them."""

    def __init__(self, facts):
        super().__init__()
        self.hf = facts.build()
        tokenizer = Tokenizer(models.WordLevel({f"w{i}": i for i in range(facts.tokens)}, unk_token="w0"))
        self.front = type("Front", (), {})()
        self.front.tokenizer = PreTrainedTokenizerFast(tokenizer_object=tokenizer)
        self.front.block_ids = add_block_tokens(self.hf, self.front.tokenizer, header_end=198)

    @classmethod
    def load(cls, weights, dtype):
        raise NotImplementedError

    @classmethod
    def outline(cls, weights):
        raise NotImplementedError

    def encode_audio(self, audio):
        raise NotImplementedError


@pytest.fixture(params=PUBLISHED, scope="module")
def facts(request):
    return PUBLISHED[request.param]


@pytest.fixture(scope="module")
def opened(facts):
    with torch.device("meta"):
        return Opened(facts)


@pytest.fixture(scope="module")
def model(opened):
    """With the heads of the paper's five targets, each head as wide as a single linear map."""
    teachers = {role: Teacher(width or opened.hidden_size, "mse") for role, width in WIDTHS.items()}
    with torch.device("meta"):
        projector = ProjectorConfig(kind="linear")
        return CoatModel(opened, LoraSection(), projector, teachers, FocalSettings(), block=True)


def test_block_tokens_take_spare_rows_or_three_new_ones(opened, facts):
    assert opened.front.block_ids.as_list() == [facts.tokens, facts.tokens + 1, facts.tokens + 2]
    rows = opened.hf.get_input_embeddings().weight.shape[0]
    assert rows == opened.lm_head.weight.shape[0] == max(facts.rows, facts.tokens + 3)
    assert (rows > facts.rows) == (facts.tokens == facts.rows)


def test_lora_goes_to_every_layer_of_the_language_model_and_nowhere_else(opened, facts):
    names = opened.linear_names(LEAVES)
    pattern = re.compile(r"model\.language_model\.layers\.\d+\.(self_attn\.[qkvo]_proj|mlp\.(gate|up|down)_proj)")
    assert len(names) == 7 * facts.layers
    assert all(pattern.fullmatch(name) for name in names)


def test_what_trains_at_rank_16_is_as_large_as_the_sizes_say(model, facts):
    groups = {kind: sum(p.numel() for _, p in members) for kind, members in model.trainable_parameters().items()}
    hidden = facts.hidden
    heads = sum((hidden + 1) * (width or hidden) for width in WIDTHS.values())
    assert groups == {"lora": facts.lora, "tokens": 3 * hidden, "heads": heads}


@pytest.mark.parametrize("name", [name for name, facts in PUBLISHED.items() if facts.parameters])
def test_the_model_is_as_large_as_the_published_one(name):
    stated, precision = PUBLISHED[name].parameters
    with torch.device("meta"):
        built = sum(p.numel() for p in PUBLISHED[name].build().parameters())
    assert built == pytest.approx(stated, rel=precision, abs=0)
