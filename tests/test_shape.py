"""The shape that keeps the code readable, measured: lengths, branches, and no ring of imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("client_sdk", "config_center", "device_gateway")
FILE_LINES = 400
BRANCHES = 10
P90_FUNCTION_LINES = 35

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
DECISIONS = (
    ast.If,
    ast.For,
    ast.AsyncFor,
    ast.While,
    ast.ExceptHandler,
    ast.IfExp,
    ast.Assert,
    ast.match_case,
)


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def functions(path: Path) -> Iterator[FunctionNode]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, FunctionNode):
            yield node


def own_nodes(function: FunctionNode) -> Iterator[ast.AST]:
    """The nodes of a function without those of functions inside it, which count on their own."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, FunctionNode):
            continue
        yield node
        waiting.extend(ast.iter_child_nodes(node))


def branches(function: FunctionNode) -> int:
    count = 1
    for node in own_nodes(function):
        if isinstance(node, ast.BoolOp):
            count += len(node.values) - 1
        elif isinstance(node, ast.comprehension):
            count += len(node.ifs)
        else:
            count += isinstance(node, DECISIONS)
    return count


def length(function: FunctionNode) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def loaded_imports(path: Path, known: set[str]) -> set[str]:
    """Our modules imported on loading: not those under TYPE_CHECKING or inside a function."""
    found: set[str] = set()
    waiting: list[ast.AST] = list(ast.parse(path.read_text(encoding="utf-8")).body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, FunctionNode):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting.extend(node.orelse)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names} & known
        elif isinstance(node, ast.ImportFrom) and node.module:
            submodules = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (submodules & known) or ({node.module} & known)
        else:
            waiting.extend(ast.iter_child_nodes(node))
    return found - {module_name(path)}


def ring(graph: dict[str, set[str]]) -> list[str]:
    """What is left after taking away, again and again, modules that import nothing left."""
    left = {module: set(targets) for module, targets in graph.items()}
    while leaves := [module for module, targets in left.items() if not targets & left.keys()]:
        for leaf in leaves:
            del left[leaf]
    return sorted(left)


@pytest.mark.parametrize(
    "path", sources(*PACKAGES, "tools"), ids=lambda p: str(p.relative_to(ROOT))
)
def test_a_file_fits_in_one_sitting(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= FILE_LINES


@pytest.mark.parametrize(
    "path", sources(*PACKAGES, "tools"), ids=lambda p: str(p.relative_to(ROOT))
)
def test_no_function_branches_more_than_a_reader_can_hold(path: Path) -> None:
    over = {f.name: branches(f) for f in functions(path) if branches(f) > BRANCHES}

    assert over == {}


@pytest.mark.parametrize("package", PACKAGES)
def test_nine_functions_of_ten_fit_on_a_screen(package: str) -> None:
    lengths = sorted(length(f) for path in sources(package) for f in functions(path))

    assert not lengths or lengths[int(len(lengths) * 0.9)] <= P90_FUNCTION_LINES


def test_no_ring_of_imports() -> None:
    paths = sources(*PACKAGES)
    known = {module_name(path) for path in paths}

    assert ring({module_name(path): loaded_imports(path, known) for path in paths}) == []


def test_the_measure_sees_a_ring() -> None:
    assert ring({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == ["a", "b", "c"]


def test_the_measure_counts_branches_without_those_of_inner_functions() -> None:
    source = (
        "def f(a):\n if a and a:\n  pass\n def g():\n  while a: pass\n return [x for x in a if x]"
    )
    outer, inner = (node for node in ast.walk(ast.parse(source)) if isinstance(node, FunctionNode))

    assert (branches(outer), branches(inner)) == (4, 2)
