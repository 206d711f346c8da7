"""The only way from an audio file to a signal: where it lies, what it holds, and why it cannot be used."""

from coat_ray.audio.decode import DEFAULT_LIMITS, AudioLimits, clip_id, decode_audio, load_audio, resample
from coat_ray.audio.errors import AudioError

__all__ = ["DEFAULT_LIMITS", "AudioError", "AudioLimits", "clip_id", "decode_audio", "load_audio", "resample"]
