"""Every published benchmark runs from its dataset's own schema to scores, on tiny data of ours."""

import json
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from coat_ray.corpus.manifest import Manifest, ManifestError
from coat_ray.evaluation.benchmarks import PUBLIC
from coat_ray.evaluation.benchmarks.data import DataMissing, benchmark_data
from coat_ray.evaluation.reports.evaluation_report import Found
from coat_ray.evaluation.suite import answer_questions, mark_answers, prepare
from coat_ray.storage import Storage

from .datasets_of_ours import DOCS, NUM_ROWS, Listening, docs_of, write_parquet

PAPER_TOKENS = {
    "mmau": 128,
    "mmar": 128,
    "mmsu": 256,
    "air_bench_speech": 256,
    "air_bench_sound": 256,
    "air_bench_music": 256,
    "muchomusic": 256,
    "librispeech_clean": 256,
    "librispeech_other": 256,
    "common_voice_15_en": 256,
    "gigaspeech": 256,
    "clotho_aqa": 8,
    "alpaca_audio": 1024,
    "wavcaps": 1024,
    "vocalsound": 20,
    "gtzan": 20,
    "meld": 20,
    "iemocap": 20,
    "voxpopuli_en": 2048,
    "spgispeech": 512,
    "switchboard": 512,
}


@contextmanager
def unwatched(name):
    yield lambda done, total: None


@pytest.fixture
def evaluated(tmp_path):
    def run(name, says=None, model="toy", docs=None):
        folder = tmp_path / model
        data = write_parquet(name, folder, docs)
        storage = Storage(folder / "home")
        settings = {"trained_on": None, "max_rows": None, "allow_leaks": False, "watch": unwatched}
        questions = prepare(PUBLIC[name], data, storage, **settings)
        answerer = Listening(questions.manifest.resolve, *([says] if says else []))
        path = folder / "answers.jsonl"
        answers = answer_questions(answerer, questions, path, identity="toy", batch_rows=2)
        return mark_answers(model, "toy", questions, answers)

    return run


def test_there_is_a_dataset_of_ours_for_each_benchmark() -> None:
    assert set(DOCS) == set(PUBLIC)


@pytest.mark.parametrize("name", PUBLIC)
def test_token_limits_are_the_papers(name) -> None:
    assert PUBLIC[name].max_new_tokens == PAPER_TOKENS[name]


@pytest.mark.parametrize("name", [name for name, b in PUBLIC.items() if not b.judge])
def test_a_perfect_model_is_right_by_both_rules(evaluated, name) -> None:
    result = evaluated(name)
    best = 0 if PUBLIC[name].family == "asr" else 1
    strict, compatible = result.score(result.strict), result.score(result.compatible)
    assert (strict.value, compatible.value) == (best, best)
    assert (strict.n, strict.unparsed) == (NUM_ROWS, 0)
    assert all(answer.audio_tokens == 10 and len(answer.audio) == 64 for answer in result.answers)


@pytest.mark.parametrize("name", [name for name, b in PUBLIC.items() if not b.judge])
def test_a_model_that_says_nothing_is_wrong_and_counted(evaluated, name) -> None:
    result = evaluated(name, says=lambda row: "…")
    strict = result.score(result.strict)
    assert strict.value == (1 if PUBLIC[name].family == "asr" else 0)
    assert strict.unparsed == NUM_ROWS


@pytest.mark.parametrize("name", ["alpaca_audio", "wavcaps"])
def test_a_judged_benchmark_without_a_judge_has_answers_and_no_score(evaluated, name, tmp_path) -> None:
    result = evaluated(name)
    assert result.strict is None
    assert "needs a judge" in Found("t", results=[result]).tables()["benchmarks"].to_markdown()
    Found("t", results=[result]).write(tmp_path / "report")


def test_the_harness_guesses_and_the_strict_rule_does_not(evaluated) -> None:
    result = evaluated("air_bench_music", says=lambda row: "no idea")
    assert result.score(result.strict).value == 0
    assert result.score(result.compatible).value == pytest.approx((1 / 2 + 1 / 4 + 1 / 4) / 3)


def test_meld_reports_a_weighted_f1_beside_accuracy(evaluated) -> None:
    result = evaluated("meld", says=lambda row: "joy")
    assert result.score(result.strict).value == pytest.approx(1 / 3)
    assert result.further["weighted_f1"].value == pytest.approx(1 / 3 * 0.5)


def test_without_data_one_line_says_how_to_obtain_them(tmp_path) -> None:
    for name, benchmark in PUBLIC.items():
        for data in (None, tmp_path):
            with pytest.raises(DataMissing, match=f"to obtain {name}: .+licence") as error:
                benchmark_data(benchmark, data, tmp_path / "cache")
            assert "\n" not in str(error.value)


def test_a_folder_of_other_benchmarks_is_not_taken_for_this_one(tmp_path) -> None:
    data = write_parquet("mmau", tmp_path)
    with pytest.raises(DataMissing, match="none called gtzan"):
        benchmark_data(PUBLIC["gtzan"], data, tmp_path / "cache")


def test_a_dataset_in_another_schema_names_the_column(tmp_path) -> None:
    docs = [{key: value for key, value in doc.items() if key != "choices"} for doc in docs_of("mmau")]
    with pytest.raises(ManifestError, match="no column 'choices'"):
        benchmark_data(PUBLIC["mmau"], write_parquet("mmau", tmp_path, docs), tmp_path / "cache")


def test_a_key_that_is_no_option_is_an_error(tmp_path) -> None:
    docs = [doc | {"answer": "thunder"} for doc in docs_of("mmau")]
    with pytest.raises(ManifestError, match="'thunder' is none of the options"):
        benchmark_data(PUBLIC["mmau"], write_parquet("mmau", tmp_path, docs), tmp_path / "cache")


def rows_alike(one: Manifest, other: Manifest) -> bool:
    return [(row.messages, row.meta) for row in one.rows] == [(row.messages, row.meta) for row in other.rows]


def test_saved_datasets_parquet_and_jsonl_hold_the_same_questions(tmp_path) -> None:
    from datasets import Audio, ClassLabel, Dataset, DatasetDict

    from coat_ray.audio import load_audio

    from .datasets_of_ours import RATE

    benchmark, docs = PUBLIC["gtzan"], docs_of("gtzan")
    parquet = benchmark_data(benchmark, write_parquet("gtzan", tmp_path / "p"), tmp_path / "cache")
    saved = Dataset.from_list(docs).cast_column("audio", Audio()).cast_column("genre", ClassLabel(num_classes=10))
    saved.save_to_disk(tmp_path / "one")
    DatasetDict({"train": saved}).save_to_disk(tmp_path / "several" / "gtzan")
    (tmp_path / "j" / "clips").mkdir(parents=True)
    lines = []
    for number, doc in enumerate(docs):
        (tmp_path / "j" / "clips" / f"{number}.wav").write_bytes(doc["audio"]["bytes"])
        lines.append(json.dumps(doc | {"audio": f"clips/{number}.wav"}) + "\n")
    (tmp_path / "j" / "rows.jsonl").write_text("".join(lines))
    clip = load_audio(parquet.resolve(parquet.rows[1].audios[0]), RATE)
    for folder in ("one", "several", "j"):
        other = benchmark_data(benchmark, tmp_path / folder, tmp_path / "cache")
        assert rows_alike(parquet, other)
        assert (load_audio(other.resolve(other.rows[1].audios[0]), RATE) == clip).all()


def test_a_split_that_is_not_there_is_named(tmp_path) -> None:
    from datasets import Dataset, DatasetDict

    DatasetDict({"test": Dataset.from_list(DOCS["iemocap"](0) and docs_of("iemocap"))}).save_to_disk(tmp_path / "d")
    with pytest.raises(ManifestError, match="no split 'session5'; there are test"):
        benchmark_data(PUBLIC["iemocap"], tmp_path / "d", tmp_path / "cache")


def test_results_lie_in_the_harness_layout_and_in_parquet(evaluated, tmp_path) -> None:
    results = [evaluated("mmau"), evaluated("mmau", says=lambda row: "(A)", model="other/m@2")]
    page, *_ = Found("mmau", results=results, reference="toy").write(tmp_path / "report")
    folder = tmp_path / "report" / "other__m@2"
    summary = json.loads((folder / "results.json").read_text())
    assert summary["results"]["mmau"]["accuracy,none"] == pytest.approx(1 / 3)
    assert summary["n-samples"]["mmau"] == {"original": 3, "effective": 3}
    assert summary["coat"]["benchmarks"]["mmau"]["strict"]["n"] == 3
    samples = [json.loads(line) for line in (folder / "samples_mmau.jsonl").read_text().splitlines()]
    assert [sample["doc_id"] for sample in samples] == [0, 1, 2]
    assert [sample["accuracy"] for sample in samples] == [1, 0, 0]
    assert all(len(sample["audio"]) == 64 and sample["audio_tokens"] == 10 for sample in samples)
    assert [row["answer"] for row in pq.read_table(folder / "samples.parquet").to_pylist()] == ["(A)"] * 3
    numbers = json.loads((tmp_path / "report" / "report.json").read_text())
    assert numbers["benchmark_differences"]["mmau: other/m@2 - toy"]["mcnemar"]["only_second"] == 2
    text = page.read_text()
    assert text.count("data:audio/flac;base64,") >= 3
    assert "http://" not in text.replace("http://www.w3.org", "")
    assert "worse than toy" in text


def test_the_document_lists_every_benchmark_with_its_data_and_tokens() -> None:
    text = (Path(__file__).parents[3] / "docs" / "evaluation.md").read_text()
    for name, benchmark in PUBLIC.items():
        (line,) = [line for line in text.splitlines() if line.startswith(f"| `{name}` |")]
        assert (benchmark.source.hub or "local") in line
        assert f"| {benchmark.max_new_tokens} |" in line
        assert benchmark.licence in line


def test_the_command_line_lists_them_all_with_how_to_obtain_each(coat) -> None:
    rows = json.loads(coat("benchmarks", "--json")[1])
    assert [row["name"] for row in rows] == list(PUBLIC)
    assert all(row["how_to_obtain"] and row["licence"] for row in rows)
    assert "librispeech_clean" in coat("benchmarks")[1]
