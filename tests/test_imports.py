"""The arrows of the house: which room may import which, read from the source, and what must not load early."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ENTRY_ROOMS = ("jobs", "sweeps", "serve", "ui")
HEAVY = ("torch", "transformers", "ray", "deepspeed", "peft", "numpy", "pandas", "pyarrow", "onnxruntime", "pydantic")

PAGE_MAKES_CLIPS = (
    "coat_ray.corpus.soundworld.facts",
    "coat_ray.corpus.soundworld.questions",
    "coat_ray.corpus.soundworld.render",
)
"""For ``ui/examples/make.py``, which is run by hand."""

FORBIDDEN = [
    # (room, may not import, except)
    ("coat_ray.experts", "coat_ray.model", ()),
    ("coat_ray.model", "coat_ray.experts", ("coat_ray.experts.base",)),
    ("coat_ray.training", "coat_ray.experts", ("coat_ray.experts.base",)),
    ("coat_ray.targets.store", "coat_ray.experts", ("coat_ray.experts.base",)),
    ("coat_ray.tenancy", "coat_ray.audio", ()),
    ("coat_ray.tenancy", "coat_ray.corpus", ()),
    *(("coat_ray", room, ()) for room in ENTRY_ROOMS),
    # the page speaks HTTP: no model, no database, no server
    ("ui", "coat_ray", ("coat_ray.client", "coat_ray.audio", *PAGE_MAKES_CLIPS)),
    *(("ui", room, ()) for room in ("serve", "jobs", "sweeps", "torch", "transformers", "ray")),
]


def _modules() -> dict[str, Path]:
    files = sorted(path for room in ("coat_ray", "ui") for path in (ROOT / room).rglob("*.py"))
    return {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in files}


MODULES = _modules()


def _imports(module: str, tree: ast.AST) -> Iterator[str]:
    """Every name that a module imports, anywhere in it, as absolute dotted names."""
    package = module if MODULES[module].name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *filter(None, [node.module])])
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("importlib.import_module", "import_module"):
            yield from (arg.value for arg in node.args if isinstance(arg, ast.Constant))


def _inside(name: str, room: str) -> bool:
    return name == room or name.startswith(f"{room}.")


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_along_the_arrows(module):
    imported = set(_imports(module, ast.parse(MODULES[module].read_text())))
    wrong = [
        f"{module} imports {name}"
        for room, target, allowed in FORBIDDEN
        if _inside(module, room)
        for name in imported
        if _inside(name, target) and not any(_inside(name, exception) for exception in allowed)
    ]
    assert wrong == []


@pytest.mark.parametrize("room", ["coat_ray.training", "coat_ray.model"])
def test_no_encoder_is_within_reach_of_the_student_by_any_way(room):
    todo, reached = [module for module in MODULES if _inside(module, room)], set()
    while todo:
        module = todo.pop()
        if module not in reached:
            reached.add(module)
            names = _imports(module, ast.parse(MODULES[module].read_text()))
            todo += [m for name in names for m in (name, name.rpartition(".")[0]) if m in MODULES]
    assert {module for module in reached if _inside(module, "coat_ray.experts")} == {"coat_ray.experts.base"}


def test_the_check_sees_every_kind_of_import():
    source = "import a.b\nfrom c import d\nfrom . import e\nfrom ..f import g\ndef h():\n    import i\n"
    assert set(_imports("coat_ray.model.block", ast.parse(source))) == {
        "a.b",
        "c.d",
        "coat_ray.model.e",
        "coat_ray.f.g",
        "i",
    }


def test_ray_starts_in_one_place():
    calls = [
        module
        for module, path in MODULES.items()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "ray.init"
    ]
    assert set(calls) == {"coat_ray.cluster"}
    jobs = [path for room in ENTRY_ROOMS for path in (ROOT / room).rglob("*.py") if "ray.init" in path.read_text()]
    assert jobs == []


def test_tests_start_ray_only_in_conftest():
    starts = [
        path.name
        for path in (ROOT / "tests").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "ray.init"
    ]
    assert set(starts) <= {"conftest.py"}


@pytest.mark.parametrize("module", ["coat_ray", "coat_ray.cli", "coat_ray.cluster", "coat_ray.local.job"])
def test_nothing_heavy_is_imported_before_it_is_needed(module):
    code = f"import sys, {module}; print(*sorted(set({HEAVY!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    loaded = done.stdout.split()
    assert [name for name in loaded if not (name == "pydantic" and module == "coat_ray.local.job")] == []


def test_the_page_loads_no_model_code():
    heavy = ("torch", "transformers", "ray", "sqlalchemy", "deepspeed")
    code = f"import sys, ui.app; print(*sorted(set({heavy!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == []


def test_every_module_says_what_it_is():
    assert [name for name, path in MODULES.items() if not ast.get_docstring(ast.parse(path.read_text()))] == []
