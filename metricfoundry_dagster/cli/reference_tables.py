"""The tables of the guide that are made from code: settings, codes, and `.env.example`.

`python -m metricfoundry_dagster.cli.reference_tables` writes them between the marks in the documents of the
directory it is run in; a test fails when they are no longer what the code says.
"""

from collections.abc import Callable
from pathlib import Path

from metricfoundry_dagster.cli.exit_codes import INTERNAL, USAGE, USER, WORLD
from metricfoundry_dagster.domain.error_codes import ERROR_CODES
from metricfoundry_dagster.settings import describe_settings

_BEGIN = "<!-- made by metricfoundry_dagster.cli.reference_tables: begin -->"
_END = "<!-- made by metricfoundry_dagster.cli.reference_tables: end -->"
_BRANCHES = {
    "user": ("The user's", str(USER)),
    "world": ("The world's", str(WORLD)),
    "internal": ("Ours", str(INTERNAL)),
    "row": ("A row put aside", "none"),
}


def settings_table() -> str:
    """Every setting as a Markdown table."""
    rows = [f"| `{each.variable}` | {_code(each.default)} | {_cell(each.meaning)} |" for each in describe_settings()]
    return "\n".join(["| Variable | Default | Meaning |", "|---|---|---|", *rows])


def error_table() -> str:
    """Every code as a Markdown table."""
    rows = []
    for code, entry in ERROR_CODES.items():
        branch, exit_code = _BRANCHES[entry.branch]
        exit_code = str(USAGE) if code == "settings.invalid" else exit_code
        rows.append(f"| `{code}` | {branch} | {exit_code} | {_cell(entry.meaning)} | {_cell(entry.hint)} |")
    return "\n".join(["| Code | Whose | Exit code | Meaning | What to do |", "|---|---|---|---|---|", *rows])


def env_example() -> str:
    """A file of all settings, each commented out with its default."""
    head = "# Copy to `.env` and uncomment what you change. Variables of the environment win over this file.\n"
    return head + "".join(f"\n# {each.meaning}\n#{each.variable}={each.default}\n" for each in describe_settings())


def with_table(document: str, table: str) -> str:
    """The document with what stands between the marks replaced by the table."""
    before, _, rest = document.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return f"{before}{_BEGIN}\n\n{table}\n\n{_END}{after}"


#: Each document with what makes it anew out of what it is.
DOCUMENTS: dict[str, Callable[[str], str]] = {
    "docs/guide/settings.md": lambda document: with_table(document, settings_table()),
    "docs/guide/errors.md": lambda document: with_table(document, error_table()),
    ".env.example": lambda _document: env_example(),
}


def write_documents(root: Path) -> None:
    """Bring every document below the root up to date."""
    for name, renew in DOCUMENTS.items():
        path = root / name
        path.write_text(renew(path.read_text(encoding="utf-8") if path.exists() else ""), encoding="utf-8")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


if __name__ == "__main__":
    write_documents(Path.cwd())
