"""Speech by eSpeak NG through ctypes, one fresh copy of the library per utterance.

The library keeps phase and flutter between utterances, so the same call twice gives two signals. Unloading it
after each utterance (about 7 ms) makes speech a pure function of its arguments.
"""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np

from coat_ray.corpus.soundworld.facts import Prosody

ESPEAK_RATE = 22050
_RATE, _VOLUME, _PITCH, _RANGE = 1, 2, 3, 4  # espeak_PARAMETER
_SYNCHRONOUS, _UTF8_AND_PHONEMES, _SEED = 2, 0x101, 7
_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


class SpeechUnavailableError(RuntimeError):
    """eSpeak NG is not installed, or does not know the voice."""


def speak(text: str, voice: str, prosody: Prosody) -> np.ndarray:
    """Say *text*; float32 (n,) at 22,050 Hz, silence at both ends removed.

    Raises:
        SpeechUnavailableError: espeakng-loader is missing, or the voice is unknown.
    """
    library_path, data_folder = _paths()
    library = ctypes.CDLL(library_path)
    blocks: list[np.ndarray] = []

    @_Callback
    def receive(wave: ctypes.Array[ctypes.c_short], count: int, _events: int) -> int:
        if wave and count > 0:
            blocks.append(np.ctypeslib.as_array(wave, (count,)).copy())
        return 0

    try:
        _start(library, receive, data_folder, voice)
        _say(library, text, prosody)
    finally:
        _unload(library)
    return _trim(np.concatenate(blocks).astype(np.float32) / 32768)


def _start(library: ctypes.CDLL, receive: object, data_folder: str, voice: str) -> None:
    library.espeak_Initialize(_SYNCHRONOUS, 0, data_folder.encode(), 0)
    library.espeak_SetSynthCallback(receive)
    library.espeak_ng_SetRandSeed(ctypes.c_long(_SEED))
    if library.espeak_SetVoiceByName(voice.encode()) != 0:
        raise SpeechUnavailableError(f"eSpeak NG has no voice named {voice!r}")


def _say(library: ctypes.CDLL, text: str, prosody: Prosody) -> None:
    settings = ((_RATE, prosody.rate), (_VOLUME, prosody.volume), (_PITCH, prosody.pitch), (_RANGE, prosody.range))
    for parameter, value in settings:
        library.espeak_SetParameter(parameter, value, 0)
    spoken = text.encode() + b"\0"
    library.espeak_Synth(spoken, len(spoken), 0, 1, 0, _UTF8_AND_PHONEMES, None, None)
    library.espeak_Synchronize()
    library.espeak_Terminate()


def _paths() -> tuple[str, str]:
    try:
        import espeakng_loader  # noqa: PLC0415 - only corpus making needs it
    except ImportError as error:
        raise SpeechUnavailableError(
            "speech needs eSpeak NG, which is not installed: pip install 'coat-ray[world]'"
        ) from error
    return espeakng_loader.get_library_path(), str(Path(espeakng_loader.get_data_path()).parent)


def _unload(library: ctypes.CDLL) -> None:
    close = ctypes.CDLL(None).dlclose
    close.argtypes = [ctypes.c_void_p]
    close(library._handle)  # noqa: SLF001 - ctypes offers no public way to unload a library


def _trim(signal: np.ndarray, floor: float = 1e-3) -> np.ndarray:
    loud = np.flatnonzero(np.abs(signal) > floor)
    return signal[loud[0] : loud[-1] + 1]
