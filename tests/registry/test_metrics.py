"""metrics.jsonl can be read at any moment and continued after a kill."""

from coat_ray.registry.metrics import append_metrics, read_metrics, rewind_metrics


def test_rows_come_back_in_order(tmp_path):
    path = tmp_path / "run" / "metrics.jsonl"
    rows = [{"step": step, "loss": 1 / step} for step in range(1, 4)]
    for row in rows:
        append_metrics(path, row)
    assert read_metrics(path) == rows


def test_a_missing_file_has_no_rows(tmp_path):
    assert read_metrics(tmp_path / "none.jsonl") == []


def test_an_unfinished_line_is_neither_read_nor_kept(tmp_path):
    path = tmp_path / "metrics.jsonl"
    append_metrics(path, {"step": 1})
    with path.open("a") as file:
        file.write('{"step": 2, "lo')
    assert read_metrics(path) == [{"step": 1}]
    append_metrics(path, {"step": 2})
    assert read_metrics(path) == [{"step": 1}, {"step": 2}]


def test_a_file_that_holds_only_an_unfinished_line_starts_anew(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step"')
    append_metrics(path, {"step": 1})
    assert read_metrics(path) == [{"step": 1}]


def test_rewinding_drops_what_will_be_reported_again(tmp_path):
    path = tmp_path / "metrics.jsonl"
    for step in range(1, 6):
        append_metrics(path, {"step": step})
    rewind_metrics(path, 3)
    assert [row["step"] for row in read_metrics(path)] == [1, 2, 3]


def test_rewinding_nothing_makes_nothing(tmp_path):
    rewind_metrics(tmp_path / "none.jsonl", 3)
    assert not (tmp_path / "none.jsonl").exists()
