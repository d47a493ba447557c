"""Findings as people, programs and code hosts read them. A file is named as it is reached from here: directory/file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Literal

from server.policy.lint.frame import LintFinding
from server.policy.problem import PolicyInvalid, PolicyProblem

Format = Literal["text", "json", "github"]
COMMANDS = {"error": "error", "warn": "warning", "info": "notice"}


def problems(invalid: PolicyInvalid) -> list[LintFinding]:
    """What keeps the files from being a policy set, as findings: errors that no waiver can answer for."""
    return [
        LintFinding("POLICY_INVALID", "error", e.path, e.file, e.line, e.column, _sentence(e), "")
        for e in invalid.errors
    ]


def _sentence(problem: PolicyProblem) -> str:
    end = "" if problem.sentence.endswith((".", "?", "!")) else "."
    return f"{problem.path}: {problem.sentence}{end}"


def below(directory: str, findings: Sequence[LintFinding]) -> list[LintFinding]:
    """The same findings with their files named as `directory/file`."""
    return [replace(f, file=f"{directory.rstrip('/')}/{f.file}" if f.file else directory) for f in findings]


def shown(findings: Sequence[LintFinding], form: Format, revision: str | None) -> str:
    """The findings in one form. `revision` is the set's, None for files that are no set."""
    if form == "json":
        return _json(findings, revision)
    lines = [_annotation(f) if form == "github" else str(f) for f in findings]
    return "\n".join([*lines, _summary(findings, revision)])


def counts(findings: Sequence[LintFinding]) -> dict[str, int]:
    """How many errors, warnings and notes stand, and how many findings somebody answers for."""
    standing = [f.severity for f in findings if f.waived is None]
    return {
        "errors": standing.count("error"),
        "warnings": standing.count("warn"),
        "notes": standing.count("info"),
        "waived": len(findings) - len(standing),
    }


def _summary(findings: Sequence[LintFinding], revision: str | None) -> str:
    said = ", ".join(f"{n} {word.removesuffix('s') if n == 1 else word}" for word, n in counts(findings).items())
    return f"Revision {revision[:12]}: {said}." if revision else f"No policy set: {said}."


def _json(findings: Sequence[LintFinding], revision: str | None) -> str:
    content = {"revision": revision, **counts(findings), "findings": [asdict(f) for f in findings]}
    return json.dumps(content, ensure_ascii=False, indent=2)


def _annotation(finding: LintFinding) -> str:
    """One workflow command of a code host: `::error file=…,line=…,col=…,title=CODE::sentence`."""
    command = "notice" if finding.waived else COMMANDS[finding.severity]
    title = f"{finding.code} (waived)" if finding.waived else finding.code
    place = f"file={_property(finding.file)},line={max(finding.line, 1)},col={max(finding.column, 1)}"
    said = " ".join(part for part in (finding.sentence, finding.remedy, finding.waived) if part)
    return f"::{command} {place},title={_property(title)}::{_data(said)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
