"""No run ends with a score when a clip did not reach the model, or when training has seen it."""

import numpy as np
import pytest
import soundfile

from coat_ray.audio import AudioError, load_audio
from coat_ray.corpus.manifest import Manifest, Message, Row
from coat_ray.evaluation.asking.answers import AudioNotHeardError, EvaluationError, Said, ask
from coat_ray.evaluation.benchmarks import PUBLIC
from coat_ray.evaluation.clips import inspect_clips
from coat_ray.evaluation.leakage import LeakageError, find_leaks, refuse_leaks
from coat_ray.evaluation.suite import answer_questions, prepare
from coat_ray.storage import Storage
from tests.evaluation.benchmarks.datasets_of_ours import Listening, docs_of, wav, write_parquet
from tests.evaluation.benchmarks.test_public import unwatched
from tests.evaluation.kept import read_answers


@pytest.fixture
def questions(tmp_path):
    def made(name="mmau", trained_on=None, allow_leaks=False, docs=None):
        data = write_parquet(name, tmp_path / "data", docs)
        storage = Storage(tmp_path / "home")
        return prepare(
            PUBLIC[name],
            data,
            storage,
            trained_on=trained_on,
            max_rows=None,
            allow_leaks=allow_leaks,
            watch=unwatched,
        )

    return made


def row_of(folder, name: str, data: bytes, dataset: str = "ours") -> Row:
    (folder / f"{name}.wav").write_bytes(data)
    turns = (Message(role="user", content="<audio>\nwhat?"), Message(role="assistant", content="a tone"))
    return Row(id=name, messages=turns, audios=(f"{name}.wav",), task="audio_qa", dataset=dataset)


@pytest.mark.parametrize(
    "drop",
    [
        lambda said: Said(said.text),
        lambda said: Said(said.text, said.clips, 0),
        lambda said: Said(said.text, (), 25),
        lambda said: Said(said.text, (*said.clips, "x"), 25),
    ],
)
def test_an_answer_without_its_clip_ends_the_run(rows, scripted, tmp_path, drop) -> None:
    class Deaf:
        def answer(self, batch, max_new_tokens):
            said = scripted().answer(batch, max_new_tokens)
            return [drop(one) if row.audios and row.id[0] == "3" else one for row, one in zip(batch, said, strict=True)]

    path = tmp_path / "a.jsonl"
    with pytest.raises(AudioNotHeardError, match="row 3-"):
        ask(Deaf(), rows, path, model="m", batch_rows=5, max_new_tokens=8)
    assert all(answer.audio_tokens for answer in read_answers(path) if answer.task != "text")


def test_another_clip_than_the_datas_ends_the_run(questions, tmp_path) -> None:
    asked = questions()

    class Swapped(Listening):
        def answer(self, rows, max_new_tokens):
            said = super().answer(rows, max_new_tokens)
            return [Said(one.text, ("0" * 64,), one.audio_tokens) for one in said]

    with pytest.raises(AudioNotHeardError, match="the model heard clip 000000000000"):
        answer_questions(Swapped(asked.manifest.resolve), asked, tmp_path / "a", identity="m", batch_rows=2)


def test_clips_over_two_minutes_are_skipped_and_the_reason_kept(questions, tmp_path) -> None:
    docs = docs_of("mmau")
    docs[1]["audio"] = {"bytes": wav(1, seconds=120.1), "path": "long.wav"}
    docs[2]["audio"] = {"bytes": wav(2, seconds=0.05), "path": "short.wav"}
    asked = questions(docs=docs)
    assert asked.skipped == {"q1": "longer than 120 s", "q2": "shorter than 0.1 s"}
    assert [row.id for row in asked.rows] == ["q0"]
    assert asked.rows[0].seconds == pytest.approx(0.4)


def test_a_row_without_a_reference_is_skipped_and_counted(questions) -> None:
    docs = docs_of("voxpopuli_en")
    docs[2]["normalized_text"] = ""
    asked = questions("voxpopuli_en", docs=docs)
    assert list(asked.skipped.values()) == ["no reference"]
    assert len(asked.rows) == 2


def test_a_benchmark_of_skipped_clips_alone_is_an_error(questions) -> None:
    docs = [doc | {"audio": {"bytes": wav(0, seconds=0.05), "path": "x.wav"}} for doc in docs_of("mmau")]
    with pytest.raises(EvaluationError, match="all of its 3 questions are skipped"):
        questions(docs=docs)


def test_a_broken_clip_of_a_benchmark_is_an_error_and_of_training_is_not(questions, tmp_path) -> None:
    docs = docs_of("mmau")
    docs[1]["audio"] = {"bytes": b"no sound", "path": "x.wav"}
    with pytest.raises(AudioError, match="cannot use"):
        questions(docs=docs)
    train = Manifest((row_of(tmp_path, "broken", b"no sound"), row_of(tmp_path, "whole", wav(9))), tmp_path)
    clips = inspect_clips(train, tmp_path / "cache", broken=True)
    assert clips["broken.wav"].skipped.startswith("broken")
    with pytest.raises(AudioError):
        inspect_clips(train, tmp_path / "cache")


def test_a_look_at_clips_that_was_cut_off_goes_on(tmp_path, monkeypatch) -> None:
    manifest = Manifest(tuple(row_of(tmp_path, f"r{n}", wav(n)) for n in range(4)), tmp_path)
    whole = inspect_clips(manifest, tmp_path / "cache")
    (path,) = (tmp_path / "cache").iterdir()
    text = path.read_bytes()
    path.write_bytes(text[: len(text) // 2 + 10])
    decoded: list[object] = []
    monkeypatch.setattr(
        "coat_ray.evaluation.clips.load_audio", lambda *args: decoded.append(args[0]) or load_audio(*args)
    )
    assert inspect_clips(manifest, tmp_path / "cache") == whole
    assert len(decoded) == 2  # of four, two were known whole
    monkeypatch.setattr("coat_ray.evaluation.clips.load_audio", None)  # nothing is decoded a second time
    assert inspect_clips(manifest, tmp_path / "cache") == whole


def test_a_test_clip_in_training_stops_the_run_under_whatever_name(questions, tmp_path) -> None:
    train = Manifest((row_of(tmp_path, "other", wav(7)), row_of(tmp_path, "renamed", wav(1))), tmp_path)
    with pytest.raises(LeakageError, match=r"mmau: 1 leaks .+test q1, train renamed: the same clip"):
        questions(trained_on=train)


def test_a_leak_that_is_allowed_is_kept_for_the_report(questions, tmp_path) -> None:
    train = Manifest((row_of(tmp_path, "renamed", wav(1)),), tmp_path)
    asked = questions(trained_on=train, allow_leaks=True)
    assert [(leak.test, leak.train) for leak in asked.leaks] == [("q1", "renamed")]


def test_the_same_sound_in_another_container_is_the_same_clip(tmp_path) -> None:
    row = row_of(tmp_path, "a", wav(3))
    signal, rate = soundfile.read(tmp_path / "a.wav")
    soundfile.write(tmp_path / "b.flac", signal, rate)
    again = row.model_copy(update={"id": "b", "audios": ("b.flac",)})
    clips = inspect_clips(Manifest((row, again), tmp_path), tmp_path / "cache")
    assert find_leaks("x", [row], clips, [again], clips)
    soundfile.write(tmp_path / "c.wav", np.append(signal[1:], 0), rate)  # shifted by a sample: not seen as the same
    moved = row.model_copy(update={"id": "c", "audios": ("c.wav",)})
    clips |= inspect_clips(Manifest((moved,), tmp_path), tmp_path / "cache")
    assert not find_leaks("x", [row], clips, [moved], clips)


@pytest.mark.parametrize("train_name", ["IEMOCAP/Ses05F_impro01_F001", "iemocap/session5/clip"])
def test_session_five_of_iemocap_is_never_trained_on(tmp_path, train_name) -> None:
    test, train = row_of(tmp_path, "t", wav(0)), row_of(tmp_path, "u", wav(1))
    train = train.model_copy(update={"id": train_name, "dataset": "iemocap"})
    clips = inspect_clips(Manifest((test, train), tmp_path), tmp_path / "cache")
    leaks = find_leaks("iemocap", [test], clips, [train], clips)
    with pytest.raises(LeakageError, match="session 5 of IEMOCAP is the test"):
        refuse_leaks("iemocap", leaks)
    other = train.model_copy(update={"id": "IEMOCAP/Ses04F_impro01_F001"})
    assert not find_leaks("iemocap", [test], clips, [other], clips)


def test_another_session_of_iemocap_is_no_test(tmp_path) -> None:
    row = row_of(tmp_path, "t", wav(0)).model_copy(update={"id": "Ses03F_impro01_F001"})
    clips = inspect_clips(Manifest((row,), tmp_path), tmp_path / "cache")
    with pytest.raises(LeakageError, match="session 3 of IEMOCAP is no test"):
        refuse_leaks("iemocap", find_leaks("iemocap", [row], clips, [], clips))
