"""Whether a program is one as the cells show it: core's functions, pandas, and nothing else.

A kept cell may come from a file of anybody's. Its code is never run here; but who exports the
notebook and runs it elsewhere runs what is in it. So only a program that is made of the parts below
becomes a cell to run there; any other one is shown as text.
"""

from __future__ import annotations

import ast

import core

# Core's functions that write files, or fetch.
NOT_CALLED = {"download_model", "export_model", "save_counterfact", "unpack_gguf"}
CORE = frozenset(core.__all__) - NOT_CALLED
# Attributes that are read or called, of tables, results and studies.
ATTRIBUTES = {
    "DataFrame", "Study", "assign", "changes", "claims", "columns", "concat", "cosines",
    "cosine", "exceptions", "failures", "gradient_ranks", "groups", "head", "iloc", "load", "loc",
    "merge",
    "norms", "of_group", "prompts", "ranks_by_length", "rename", "reset_index", "segments",
    "settings", "sort_values", "table", "tables", "target", "token", "token_ranks", "tokens",
    "vocabulary_size",
}  # fmt: skip
BUILTINS = {"dict", "enumerate", "len", "list", "max", "min", "range", "round", "sorted", "str",
            "sum", "tuple", "zip"}  # fmt: skip
NODES = (
    ast.Module, ast.Assign, ast.Expr, ast.Constant, ast.Name, ast.Load, ast.Store, ast.Tuple,
    ast.List, ast.Dict, ast.Call, ast.keyword, ast.Attribute, ast.Subscript, ast.Slice,
    ast.ListComp, ast.DictComp, ast.GeneratorExp, ast.comprehension, ast.Compare,
    ast.BinOp, ast.UnaryOp, ast.BoolOp,
    ast.And, ast.Or, ast.USub, ast.Not, ast.Invert, ast.BitAnd, ast.BitOr,
    ast.operator, ast.cmpop, ast.IfExp, ast.ImportFrom, ast.Import, ast.alias,
)  # fmt: skip
FORBIDDEN_ARGUMENTS = {"save_to"}  # of a study: a folder to write


def is_ours(code: str) -> bool:
    try:
        tree = ast.parse(code)
        return all(map(allowed, ast.walk(tree))) and names_are_known(tree)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False


def allowed(node: ast.AST) -> bool:
    if not isinstance(node, NODES):
        return False
    if isinstance(node, ast.ImportFrom):
        return node.module == "core" and all(n.name in CORE and not n.asname for n in node.names)
    if isinstance(node, ast.Import):
        return [(n.name, n.asname) for n in node.names] == [("pandas", "pd")]
    if isinstance(node, ast.Attribute):
        return node.attr in ATTRIBUTES
    if isinstance(node, ast.keyword):
        return node.arg is not None and node.arg not in FORBIDDEN_ARGUMENTS
    if isinstance(node, ast.Name):
        return not node.id.startswith("_")
    return not isinstance(node, ast.Call) or may_be_called(node.func)


def may_be_called(function: ast.expr) -> bool:
    """Core's and a few of Python's own by their names, and what has a known attribute."""
    if isinstance(function, ast.Name):
        return function.id in CORE | BUILTINS
    return isinstance(function, ast.Attribute)


def names_are_known(tree: ast.Module) -> bool:
    """Every name is one that the program imports or gives a value, or one of Python's few above;
    and what is called is what it is called."""
    nodes = list(ast.walk(tree))
    names = [node for node in nodes if isinstance(node, ast.Name)]
    stored = {node.id for node in names if isinstance(node.ctx, ast.Store)}
    imported = {
        alias.asname or alias.name
        for node in nodes
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    called = {getattr(node.func, "id", "") for node in nodes if isinstance(node, ast.Call)}
    used = {node.id for node in names if isinstance(node.ctx, ast.Load)}
    return used <= stored | imported | BUILTINS and not stored & (
        called | {"pd", "Benchmark", "Edit", "Study"}
    )
