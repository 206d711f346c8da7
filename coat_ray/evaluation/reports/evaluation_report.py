"""``coat evaluate``'s tables and its report: one page that needs nothing else, Markdown, JSON and the samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from coat_ray.corpus.manifest import Manifest
from coat_ray.evaluation.reports import figures, findings
from coat_ray.evaluation.reports.examples import Answered, example_sections
from coat_ray.evaluation.reports.outputs import write_outputs
from coat_ray.evaluation.reports.page import Section, to_html
from coat_ray.evaluation.reports.report import Table, score_table, skill_table, write_report
from coat_ray.evaluation.scores import Evaluation
from coat_ray.evaluation.suite import Result
from coat_ray.provenance import git_label, versions
from coat_ray.storage import atomic_write

NO_PICTURES = "no pictures: matplotlib is not installed (pip install 'coat-ray[draw]')"
NO_ROWS = Manifest((), Path())


@dataclass(frozen=True)
class Found:
    """What was evaluated.

    ``evaluations`` are of a corpus of our own, whose rows *manifest* holds; ``results`` are of published benchmarks;
    ``reference`` is the model that the others are compared with.
    """

    title: str
    evaluations: Sequence[Evaluation] = ()
    manifest: Manifest = NO_ROWS
    results: Sequence[Result] = ()
    reference: str | None = None
    facts: Sequence[tuple[str, str]] = field(default_factory=list)

    def tables(self) -> dict[str, Table]:
        """For the terminal, Markdown and JSON."""
        return self._corpus_tables() | (findings.tables_of(self.results, self.reference) if self.results else {})

    def sections(self) -> list[Section]:
        """Of the page."""
        parts = [Section(table.title, table=table) for table in self._corpus_tables().values()]
        if self.results:
            parts += findings.sections(self.results, self.reference)
        answered = {e.model: Answered(e, self.manifest) for e in self.evaluations}
        reference = answered.get(self.reference or "")
        for model, own in answered.items():
            if model != self.reference:
                parts += example_sections(f"{own.evaluation.benchmark}, {model}", own, reference)
        return parts

    def _corpus_tables(self) -> dict[str, Table]:
        if not self.evaluations:
            return {}
        models, reference = [e.model for e in self.evaluations], self.reference
        pairs = [(model, reference) for model in models if reference and model != reference]
        title = f"{self.title}: scores in % [95 % interval]"
        return {"scores": score_table(self.evaluations, pairs, title), "skills": skill_table(self.evaluations)}

    def write(self, folder: Path) -> list[Path]:
        """Write ``report.html``, ``report.md``, ``report.json``, and each model's samples; returns what was written."""
        models = dict.fromkeys([e.model for e in self.evaluations] + [result.model for result in self.results])
        facts = [("models", ", ".join(models)), *self.facts]
        facts += findings.facts_of(self.results) if self.results else []
        facts.append(("versions", ", ".join(f"{name} {version}" for name, version in versions().items())))
        facts += [("commit", label)] if (label := git_label()) else []
        facts += [] if figures.can_draw() else [("pictures", NO_PICTURES)]
        page = folder / "report.html"
        written = list(write_report(folder, self.tables()))
        atomic_write(page, to_html(self.title, facts, self.sections()))
        return [page, *written, *(write_outputs(folder, self.results) if self.results else [])]
