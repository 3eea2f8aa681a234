"""facestream-admin gallery: what to know of a gallery as a whole."""

from __future__ import annotations

from typing import Annotated

import typer

from clients.checkup import Checkup, Finding
from clients.commands.admin_context import AdminContext, Output
from clients.commands.look import Far
from clients.output import checkup_json
from clients.text import printable

app = typer.Typer(help="The gallery as a whole.", no_args_is_help=True, rich_markup_mode=None)

_COLUMNS = ("trouble", "person", "looks like", "what", "mend it with")


@app.command(epilog="Example: facestream-admin gallery check --output json | jq '.findings[].remedy'")
def check(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, max=1000, metavar="N", help="Findings to show.")] = 100,
    target_far: Far = 0.0,
) -> None:
    """Look for references that mislead, and say how to mend each.

    Finds people who are enrolled twice, people who can be taken for each other, pictures that are nearer to somebody
    else than to their own person, and poor pictures; and advises a stricter threshold where the people are very alike.
    Changes nothing. Look at the pictures before you follow a remedy.
    """
    admin: AdminContext = context.obj
    found = admin.call(lambda client: client.check_gallery(limit=limit, target_far=target_far))
    admin.answer(checkup_json(found), _COLUMNS, [_row(finding) for finding in found.findings])
    if admin.output is Output.TABLE:
        for line in _notes(found):
            admin.terminal.note(line)


def _row(finding: Finding) -> tuple[str, ...]:
    other = printable(finding.other.display_name) if finding.other else "-"
    return str(finding.trouble), printable(finding.template.display_name), other, finding.meaning, finding.remedy


def _notes(found: Checkup) -> list[str]:
    looked = f"{found.checked_count} of {found.template_count} templates looked at, {found.finding_count} findings"
    if found.finding_count > len(found.findings):
        looked += f", {len(found.findings)} shown (--limit shows more)"
    if found.advised_target_far is None:
        return [looked, f"the threshold {found.threshold:.3f} suits this gallery"]
    return [
        looked,
        f"at the threshold {found.threshold:.3f}, {100 * found.observed_far:.2g} % of the templates would be taken for "
        f"somebody else; {found.advised_threshold:.3f} suits this gallery: "
        f"facestream-server --target-far {found.advised_target_far:.1e}",
    ]
