"""An exported model answers as ours does, without any of our code."""

import json
import runpy
import subprocess
import sys
from types import SimpleNamespace

import pytest
import soundfile
import torch
import transformers
from peft import PeftModel

from coat_ray.config import BackboneConfig
from coat_ray.model.backbones import load_backbone
from coat_ray.model.coat import CoatModel
from coat_ray.model.export import export_adapter, export_merged
from coat_ray.model.generate import Generator
from tests.model.families import full_windows

QUESTION = [{"role": "user", "content": "<audio>\nwhat sound is heard"}]


def trained(config, specs, *, block: bool = True) -> CoatModel:
    """A model whose LoRA and token rows are no longer what they start as."""
    model = CoatModel.create(config, block=block, specs=specs)
    torch.manual_seed(1)
    with torch.no_grad():
        for kind in ("lora", "tokens"):
            for _, parameter in model.trainable_parameters()[kind]:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


@torch.inference_mode()
def logits(model, clip):
    """Ours at every position of one prompt with its block, and what transformers needs to compute the same."""
    front = model.front
    layout = front.encode_row(QUESTION, [front.audio_length(len(clip))], block=model.block, with_response=False)
    ids_BS, audio_BS = torch.tensor([layout.input_ids]), torch.tensor([layout.audio])
    x_BSD = model.backbone.embed(ids_BS, audio_BS, model.backbone.encode_audio(front.features([clip])))
    return model.backbone.lm_head(model.backbone.decode(x_BSD, torch.ones_like(ids_BS))), ids_BS


def close(ours, theirs):
    assert ours.std() > 0.1
    torch.testing.assert_close(theirs, ours, rtol=0, atol=1e-5)


def script(folder):
    """The exported script as a module."""
    assert "import coat_ray" not in (folder / "ask.py").read_text()
    assert "from coat_ray" not in (folder / "ask.py").read_text()
    return SimpleNamespace(**runpy.run_path(str(folder / "ask.py")))


@torch.inference_mode()
def test_a_merged_model_gives_our_logits_and_answers_in_plain_transformers(config, specs, clips, family, tmp_path):
    model, clip = trained(config, specs), clips[1]
    ours, ids_BS = logits(model, clip)
    spoken = Generator(model.backbone, block=True).generate([QUESTION], [[clip]], 8).texts[0]
    assert spoken
    windows = full_windows(family, model.front, [clip])
    export_merged(model, tmp_path)
    facts = json.loads((tmp_path / "export.json").read_text())
    merged = getattr(transformers, facts["class"]).from_pretrained(tmp_path).eval()
    close(ours, merged(input_ids=ids_BS, attention_mask=torch.ones_like(ids_BS), **windows).logits)
    _, tokenizer, extractor, _ = script(tmp_path).load(tmp_path, None)
    placed = script(tmp_path).inputs(clip, "what sound is heard", tokenizer, extractor, facts)
    assert placed["input_ids"].tolist() == ids_BS.tolist()
    assert script(tmp_path).answer(tmp_path, clip, "what sound is heard", max_new_tokens=8) == spoken


@torch.inference_mode()
def test_an_adapter_gives_our_logits_in_plain_peft(config, specs, clips, family, tmp_path):
    """All but those of the block's own tokens, whose output rows are the base's and are never asked for."""
    model, clip = trained(config, specs), clips[1]
    ours, ids_BS = logits(model, clip)
    windows = full_windows(family, model.front, [clip])
    export_adapter(model, tmp_path)
    facts = json.loads((tmp_path / "export.json").read_text())
    base = getattr(transformers, facts["class"]).from_pretrained(config.backbone.weights, dtype="float32")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    if len(tokenizer) > len(base.get_input_embeddings().weight):
        base.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    peft = PeftModel.from_pretrained(base, str(tmp_path)).eval()
    theirs = peft(input_ids=ids_BS, attention_mask=torch.ones_like(ids_BS), **windows).logits
    others = [i for i in range(ours.shape[-1]) if i not in model.front.block_ids.as_list()]
    close(ours[..., others], theirs[..., others])
    spoken = Generator(model.backbone, block=True).generate([QUESTION], [[clip]], 8).texts[0]
    assert spoken
    heard = script(tmp_path).answer(tmp_path, clip, "what sound is heard", config.backbone.weights, 8)
    assert heard == spoken


@pytest.mark.parametrize("family", ["qwen2_audio"], indirect=True)
def test_the_sft_arm_is_exported_without_a_block(config, clips, tmp_path):
    model = trained(config, {}, block=False)
    spoken = Generator(model.backbone, block=False).generate([QUESTION], [[clips[0]]], 8).texts[0]
    export_merged(model, tmp_path)
    assert script(tmp_path).answer(tmp_path, clips[0], "what sound is heard", max_new_tokens=8) == spoken


@pytest.mark.parametrize("family", ["qwen2_audio"], indirect=True)
def test_the_script_runs_by_itself_on_a_file(config, specs, clips, tmp_path):
    export_merged(trained(config, specs), tmp_path / "model")
    soundfile.write(tmp_path / "clip.wav", clips[0], 16_000, subtype="FLOAT")
    command = [sys.executable, str(tmp_path / "model" / "ask.py"), str(tmp_path / "model"), str(tmp_path / "clip.wav")]
    ran = subprocess.run([*command, "which note"], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("family", ["qwen2_audio"], indirect=True)
def test_an_export_never_overwrites(config, specs, tmp_path):
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="is not empty"):
        export_adapter(trained(config, specs), tmp_path)


@pytest.mark.parametrize("family", ["qwen2_audio"], indirect=True)
def test_an_exported_model_is_no_base_to_train_on(config, specs, tmp_path):
    export_merged(trained(config, specs), tmp_path)
    with pytest.raises(ValueError, match="is an exported model"):
        load_backbone(BackboneConfig(weights=str(tmp_path)))


@pytest.mark.parametrize("family", ["qwen2_audio"], indirect=True)
def test_an_exported_adapter_opens_again_as_our_model(config, specs, clips, tmp_path):
    model = trained(config, specs)
    export_adapter(model, tmp_path)
    again = CoatModel.load(BackboneConfig(weights=config.backbone.weights), tmp_path)
    torch.testing.assert_close(logits(again, clips[0])[0], logits(model, clips[0])[0])
