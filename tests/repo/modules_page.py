"""The module tables of docs/architecture.md, made from the modules' own first lines.

python -m tests.repo.modules_page      writes them into the page
"""

from __future__ import annotations

import ast
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
PAGE = PROJECT / "docs" / "architecture.md"
PACKAGES = ("server", "clients", "trainer", "demo")
_OPEN, _CLOSE = "<!-- modules -->\n", "<!-- /modules -->"


def tables() -> str:
    """One table for each folder: module and first line of its docstring."""
    folders = sorted({path.parent for package in PACKAGES for path in (PROJECT / package).rglob("*.py")})
    return "\n".join(table for folder in folders if (table := _table(folder)))


def _table(folder: Path) -> str:
    modules = [path for path in sorted(folder.glob("*.py")) if path.stem not in {"__init__", "__main__"}]
    if not modules:
        return ""
    rows = "".join(f"| `{path.stem}` | {_first_line(path)} |\n" for path in modules)
    title = f"### {folder.relative_to(PROJECT)}\n\n{_first_line(folder / '__init__.py')}"
    return f"{title}\n\n| module | |\n| --- | --- |\n{rows}"


def _first_line(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
    return docstring.split("\n", 1)[0].replace("|", "\\|")


def with_tables(page: str) -> str:
    """The page with its tables made anew."""
    before, rest = page.split(_OPEN)
    _, after = rest.split(_CLOSE)
    return f"{before}{_OPEN}\n{tables()}\n{_CLOSE}{after}"


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text()))
