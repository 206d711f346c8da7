"""What a line says about speed: padding and filled-up silence are not work."""

from __future__ import annotations

from dataclasses import replace

import torch

from coat_ray.training.progress import progress_line
from coat_ray.training.throughput import speed, workload
from tests.training.toy import toy_batch

ROW = {"stage": "one", "step": 10, "steps": 5, "seconds": 2.0, "rows": 8.0, "loss": 1.5, "ce": 1.0}
ROW |= {"token_accuracy": 0.5, "recon/mse": 0.25, "recon/grad": 9.0, "recon/weight": 7.0, "recon/log_variance": 6.0}
ROW |= {"real_token_share": 0.97, "audio_seconds": 40.0, "peak_rss_mib": 2048.0}


def test_padding_and_an_added_row_are_no_real_tokens() -> None:
    batch = toy_batch(["1", "2"], ("recon",))
    batch.attention_mask_BS[1, -4:] = 0
    shortened = replace(batch, row_ids=["1"])
    assert (int(workload(batch)["real_tokens"]), workload(batch)["padded_tokens"]) == (20, 24)
    assert int(workload(shortened)["real_tokens"]) == 12
    assert workload(shortened)["padded_tokens"] == 24


def test_silence_behind_a_short_clip_is_not_counted() -> None:
    batch = toy_batch(["1", "2"], ("recon",))
    assert float(workload(batch)["audio_seconds"]) == 10 / 25
    batch.target_masks["recon"][5:] = False
    assert float(workload(batch)["audio_seconds"]) == 5 / 25
    no_block = replace(batch, target_masks={}, lengths_N=torch.tensor([50]))
    assert float(workload(no_block)["audio_seconds"]) == 2.0


def test_a_person_reads_speed_memory_and_each_loss() -> None:
    shown = progress_line(ROW | speed(ROW, ROW["seconds"]), "coat", 20)
    assert "4.0 rows/s  97% real tokens  20.0 h audio/h  2.0 GiB  0:04 left" in shown
    assert "recon/mse 0.250" in shown
    assert not any(key in shown for key in ("grad", "weight", "log_variance"))
    assert "2.0 GiB + 1.0 on the GPU" in progress_line(ROW | speed(ROW, 2.0) | {"peak_gpu_mib": 1024.0}, "coat", 20)
