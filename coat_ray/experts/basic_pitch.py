"""basic-pitch (ICASSP 2022), the pitch teacher (arXiv 2203.09893): the real model, from its wheel, in onnxruntime.

The tapped value is the input of the contour convolution h, eight planes of 264 bins (three per semitone, bin 1 = A0).
Windows, trimming and frame times follow the published inference: 3840 zeros in front, windows of 43,844 samples every
36,164, frames 15 to 156 of each kept. Frames are 256 samples apart inside a window but 142 frames span 36,164 samples,
so the rate over a clip is 86.58 Hz; ``frame_times`` gives the exact times, the spec the best even spacing (at most
4.3 ms off).

Shapes: W windows, T frames, E = 8 * 264.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from google.protobuf.message import DecodeError
from onnx import helper, numpy_helper

from coat_ray.experts.base import ContourHead, Expert, ExpertSpec
from coat_ray.experts.torch_expert import check_clips, identity
from coat_ray.experts.weights import WeightsError

CODE_VERSION = 1
SAMPLE_RATE, FRAME_HOP = 22_050, 256
WINDOW = 2 * SAMPLE_RATE - FRAME_HOP
OVERLAP_FRAMES = 30
LEAD = OVERLAP_FRAMES // 2 * FRAME_HOP
WINDOW_HOP = WINDOW - OVERLAP_FRAMES * FRAME_HOP
KEPT_FRAMES = 2 * (SAMPLE_RATE // FRAME_HOP) - OVERLAP_FRAMES
RATE = KEPT_FRAMES * SAMPLE_RATE / WINDOW_HOP
MIN_SAMPLES = -(-WINDOW_HOP // KEPT_FRAMES)

INPUT, TAP = "serving_default_input_2:0", "Relu__38:0"
OUTPUTS = {
    "contour": "StatefulPartitionedCall:0",
    "note": "StatefulPartitionedCall:1",
    "onset": "StatefulPartitionedCall:2",
}
KERNEL, BIAS = "const_fold_opt__710", "model_1/contours-reduced/BiasAdd/ReadVariableOp"
MODEL_FILE = Path("saved_models/icassp_2022/nmp.onnx")
INSTALL = "pip install --no-deps basic-pitch==0.4.0"


def num_frames(num_samples: int) -> int:
    """Frames of a signal of *num_samples* at 22,050 Hz."""
    return int(num_samples / WINDOW_HOP * KEPT_FRAMES)


def frame_times(num: int) -> np.ndarray:
    """Exact centres of the first *num* frames, in seconds."""
    window, frame = np.divmod(np.arange(num), KEPT_FRAMES)
    return (window * WINDOW_HOP + frame * FRAME_HOP) / SAMPLE_RATE


def _first_center() -> float:
    """Start of the evenly spaced frames that lie nearest to the exact times of one window."""
    drift = frame_times(KEPT_FRAMES) - np.arange(KEPT_FRAMES) / RATE
    return round(float(drift.max() + drift.min()) / 2, 6)


def model_path() -> Path:
    """The model file inside the installed wheel, found without importing the package (it would ask for TensorFlow).

    Raises:
        WeightsError: the wheel is not installed.
    """
    spec = find_spec("basic_pitch")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (path := Path(folder) / MODEL_FILE).is_file():
            return path
    raise WeightsError(f"basic_pitch: the model is not installed; it comes with a wheel: {INSTALL}")


@cache
def _graph(path: Path) -> tuple[bytes, dict[str, np.ndarray]]:
    """The model with its tap among the outputs, and the two arrays of h.

    Raises:
        WeightsError: a file that is no model, or another one.
    """
    try:
        model = onnx.load(path)
    except DecodeError as error:
        raise WeightsError(f"{path} is no ONNX model; basic-pitch 0.4.0 brings the right one: {INSTALL}") from error
    model.graph.output.append(helper.make_tensor_value_info(TAP, onnx.TensorProto.FLOAT, None))
    arrays = {}
    for item in model.graph.initializer:
        if item.name == KERNEL:
            arrays["kernel"] = numpy_helper.to_array(item)
        elif item.name.startswith(BIAS):
            arrays["bias"] = numpy_helper.to_array(item)
    if arrays.keys() != {"kernel", "bias"}:
        raise WeightsError(f"{path} is not the model of basic-pitch 0.4.0; install that version: {INSTALL}")
    return model.SerializeToString(), arrays


def load_head(path: Path) -> ContourHead:
    """The contour convolution h with the model's own weights."""
    _, arrays = _graph(path)
    head = ContourHead()
    head.conv.weight.copy_(torch.tensor(arrays["kernel"]))
    head.conv.bias.copy_(torch.tensor(arrays["bias"]).reshape(1))  # type: ignore[union-attr]
    return head


class BasicPitch(Expert):
    """The pitch teacher; each clip runs on its own."""

    obtain = f"it comes with its wheel: {INSTALL}"

    @classmethod
    def official_spec(cls) -> ExpertSpec:
        """The facts, whether the wheel is installed or not."""
        return _spec()

    @classmethod
    def official_path(cls) -> Path | None:
        """The model file inside the wheel; None where it is not installed."""
        try:
            return model_path()
        except WeightsError:
            return None

    def __init__(self, path: Path) -> None:
        graph, _ = _graph(path)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        self.head = load_head(path)
        weights = hashlib.sha256(path.read_bytes()).hexdigest()
        self._fingerprint = identity(name="basic_pitch", weights=weights, layer=TAP, code=CODE_VERSION)
        self.spec = _spec()

    @classmethod
    def load(cls, weights: str = "embedded", layer: int | None = None) -> BasicPitch:
        """The model of the installed wheel ("embedded" and "official" are the same here), or a path to ``nmp.onnx``.

        Raises:
            WeightsError: the wheel is not installed, the path holds no file or another model.
            ValueError: a layer was asked for; this teacher has one tap.
        """
        if layer is not None:
            raise ValueError("basic_pitch: there is one tap, the input of the contour convolution; leave layer out")
        path = model_path() if weights in ("embedded", "official") else Path(weights).expanduser()
        if not path.is_file():
            raise WeightsError(f"basic_pitch: no model at {path}; leave weights at 'embedded' after {INSTALL}")
        return cls(path)

    @property
    def fingerprint(self) -> str:
        """Hex digest over name, weights, tap and code version."""
        return self._fingerprint

    def encode(self, clips: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Encode mono float32 clips at 22,050 Hz into float32 frames (T_i, 2112)."""
        check_clips(clips, self.spec)
        return [self.run(clip, TAP)[0] for clip in clips]

    def run(self, clip: np.ndarray, *outputs: str) -> list[np.ndarray]:
        """Named model outputs of one clip, each (T, width): the tap or values of ``OUTPUTS``."""
        per_window: list[list[Any]] = [
            self._session.run(list(outputs), {INPUT: window[None, :, None]}) for window in _windows(clip)
        ]
        return [_unwrap(np.concatenate(parts), len(clip)) for parts in zip(*per_window, strict=True)]


def _spec() -> ExpertSpec:
    return ExpertSpec(
        name="basic_pitch",
        sample_rate=SAMPLE_RATE,
        rate=RATE,
        first_center=_first_center(),
        width=ContourHead.channels * ContourHead.bins,
        loss="mse_focal",
        licence="Apache-2.0",
        commercial_use=True,
        source="basic-pitch==0.4.0",
        min_samples=MIN_SAMPLES,
    )


def _windows(clip: np.ndarray) -> list[np.ndarray]:
    padded = np.concatenate([np.zeros(LEAD, np.float32), clip.astype(np.float32, copy=False)])
    pieces = [padded[start : start + WINDOW] for start in range(0, len(padded), WINDOW_HOP)]
    return [np.pad(piece, (0, WINDOW - len(piece))) for piece in pieces]


def _unwrap(windows: np.ndarray, num_samples: int) -> np.ndarray:
    """(W, [8,] 172, bins) -> (T, width): edges dropped, windows joined, trimmed to the clip."""
    if windows.ndim == 4:
        windows = windows.swapaxes(1, 2)
    kept = windows[:, OVERLAP_FRAMES // 2 : -(OVERLAP_FRAMES // 2)]
    return np.ascontiguousarray(kept.reshape(-1, int(np.prod(windows.shape[2:])))[: num_frames(num_samples)])
