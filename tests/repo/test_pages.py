"""The docs say what is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.repo.modules_page import PAGE, PROJECT, with_tables

PAGES = sorted([*PROJECT.glob("*.md"), *(PROJECT / "docs").rglob("*.md")])


def test_the_architecture_page_lists_every_module_with_its_first_line():
    assert PAGE.read_text() == with_tables(PAGE.read_text()), "run `make docs`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_inside_the_project_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_make_target_that_a_page_names_is_there(page):
    makefile = (PROJECT / "Makefile").read_text()
    for target in re.findall(r"`make ([a-z-]+)`", page.read_text()):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_names_in_code_is_there(page):
    for name in re.findall(r"`((?:server|clients|trainer|tests|proto|docs)/[\w/.-]+)`", page.read_text()):
        assert (PROJECT / name).exists(), name


def test_readme_names_every_page():
    readme = (PROJECT / "README.md").read_text()
    for page in (PROJECT / "docs").glob("*.md"):
        assert f"docs/{page.name}" in readme


def test_every_command_that_pyproject_installs_is_in_the_readme_or_the_docs():
    text = "".join(page.read_text() for page in PAGES)
    for command in re.findall(r"^(facestream-\w+) =", Path(PROJECT / "pyproject.toml").read_text(), re.MULTILINE):
        assert command in text
