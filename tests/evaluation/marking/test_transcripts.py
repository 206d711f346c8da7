"""Transcriptions as models write them, and words counted after Whisper's normaliser, beside jiwer's own count."""

import jiwer
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coat_ray.evaluation.marking.rules import WORDS, Item
from coat_ray.evaluation.marking.transcripts import english, parse_transcript, word_distance


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("the red bird sings", "the red bird sings"),
        ("  the red bird  ", "the red bird"),
        ('"Hello there."', "Hello there."),
        ("'hello'", "hello"),
        ("\u201cHello\u201d", "Hello"),
        ("\u2018Hello\u2019", "Hello"),
        ("`hello`", "hello"),
        ("**Hello**", "Hello"),
        ("<|en|> hello", "hello"),
        ("hello<|im_end|>", "hello"),
        ("The transcription is: hello", "hello"),
        ("The transcription is: 'hello'", "hello"),
        ("Transcription: hello", "hello"),
        ("**Transcription:** hello", "hello"),
        ("Transcript: hello", "hello"),
        ("Speaker: hello", "hello"),
        ("Here is the transcription: hello", "hello"),
        ("Here's the transcript: hello", "hello"),
        ("Sure, here is the transcription of the audio: hello", "hello"),
        ("The audio says: hello", "hello"),
        ("The speaker said: hello", "hello"),
        ("The content of the audio is: hello", "hello"),
        ("The spoken text is: hello", "hello"),
        ("Text: hello", "hello"),
        ("Answer: hello", "hello"),
        ("the speaker says hello", "the speaker says hello"),
        ("he said: wait", "he said: wait"),
        ('he said "hi"', 'he said "hi"'),
        ('"Hi," he said, "bye."', '"Hi," he said, "bye."'),
        ("Note: bring a coat", "Note: bring a coat"),
        ("don't", "don't"),
        ("don\u2019t", "don't"),
        ("sorry, I can't hear you", "sorry, I can't hear you"),
        ("I'm sorry I am late", "I'm sorry I am late"),
        ("I cannot come", "I cannot come"),
        ("unable to stay, he left", "unable to stay, he left"),
        ("I'm sorry, but I cannot transcribe this.", None),
        ("Sorry, I can't process audio.", None),
        ("I am unable to listen to audio files.", None),
        ("As an AI, I cannot hear.", None),
        ("Unable to transcribe", None),
        ("", None),
        ("   ", None),
        ("...", None),
        ("Transcription:", None),
        ('""', None),
        ("<|en|>", None),
    ],
)
def test_transcriptions_are_taken_out_of_what_surrounds_them(answer, words) -> None:
    assert parse_transcript(answer) == words


@pytest.mark.parametrize(
    ("reference", "answer", "errors", "total"),
    [
        ("Mister Smith has twenty-two dogs", "Mr. Smith has 22 dogs.", 0, 5),
        ("the colour of the sea", "The color of the sea", 0, 5),
        ("um we do not know", "We don't know", 0, 4),
        ("the red bird sings", "", 4, 4),
        ("the red bird sings", "I'm sorry, I cannot transcribe audio", 4, 4),
        ("the red bird", "the red red bird", 1, 3),
        ("um", "", 0, 0),
        ("um", "hello", 1, 0),
    ],
)
def test_words_are_counted_after_whispers_normaliser(reference, answer, errors, total) -> None:
    mark = WORDS.mark(Item(reference), answer)
    assert (mark.numerator, mark.denominator) == (errors, total)


words = st.lists(st.sampled_from(["red", "bird", "twenty", "two", "colour", "don't", "uh", "sings"]), max_size=8)


@given(st.lists(st.tuples(words, words), min_size=1, max_size=5))
def test_summed_counts_are_jiwers_corpus_wer_of_the_normalised_texts(pairs) -> None:
    texts = [(english(" ".join(a)), english(" ".join(b))) for a, b in pairs]
    counts = [word_distance(a, b) for a, b in texts]
    with_words = [(a, b) for a, b in texts if a.split()]
    if with_words:
        errors = sum(count for (count, _), (a, _) in zip(counts, texts, strict=True) if a.split())
        expected = jiwer.wer([a for a, _ in with_words], [b for _, b in with_words])
        assert errors / sum(total for _, total in counts) == pytest.approx(expected)
