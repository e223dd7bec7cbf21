"""What the help of each command shows: examples, and the groups in which commands are listed."""

from __future__ import annotations

from collections.abc import Mapping

GROUPS: Mapping[str, tuple[str, ...]] = {
    "begin": ("init", "doctor", "recipes", "demo-cohort", "import", "prefetch"),
    "say what must hold": ("criteria", "plan"),
    "read and pass on what a run has come to": (
        "ci",
        "verdict",
        "report",
        "compare",
        "merge",
        "history",
        "model-card",
        "badge",
        "schema",
    ),
    "look closer at an FM": ("sensitivity", "repair"),
    "keep evidence": ("verify", "sign", "reproduce", "qualify"),
    "look after stored embeddings": ("cache",),
}
"""Every command, in the order in which a new user meets it."""

EXAMPLES: Mapping[str, tuple[str, ...]] = {
    "": (
        "pytest --fm=demo:stain-invariant            the gate, without any download",
        "pathorob-checks init                        files to start from, in this folder",
        "pathorob-checks doctor --fm=virchow2        what would stop a run",
    ),
    "init": ("pathorob-checks init", "pathorob-checks init gate --profile=release --ci=gitlab"),
    "doctor": (
        "pathorob-checks doctor",
        "pathorob-checks doctor --fm=virchow2",
        "pathorob-checks doctor --fm=virchow2 --fm-cohort=our_patches --fm-criteria=release",
    ),
    "recipes": ("pathorob-checks recipes", "pathorob-checks recipes virchow2"),
    "demo-cohort": ("pathorob-checks demo-cohort demo-patches",),
    "import": (
        "pathorob-checks import job/features_uni_v1 --manifest slides.csv --out uni --cohort lyon",
        "pytest --fm=embeddings:uni --fm-cohort=uni/lyon",
    ),
    "ci": ("PATHOROB_CI_FM=virchow2 pathorob-checks ci",),
    "prefetch": ("pathorob-checks prefetch --fm=virchow2 --to carried",),
    "criteria": ("pathorob-checks criteria show floor", "pathorob-checks criteria check ours.toml"),
    "criteria show": ("pathorob-checks criteria show release --fm-cohort=camelyon",),
    "criteria check": ("pathorob-checks criteria check ours.toml --fm-cohort=our_patches",),
    "criteria diff": ("pathorob-checks criteria diff floor ours.toml",),
    "criteria template": ("pathorob-checks criteria template --standard=ai-act --out=ours.toml",),
    "plan": ("pathorob-checks plan --fm=results.json",),
    "verdict": ("pathorob-checks verdict results.json --complete",),
    "report": ("pathorob-checks report results.json --html=report.html",),
    "compare": ("pathorob-checks compare released.json next.json",),
    "merge": ("pathorob-checks merge camelyon.json tcga.json --out=results.json",),
    "history": ("pathorob-checks history --fm='our-fm*' --figure=trend.png",),
    "history add": ("pathorob-checks history add results.json",),
    "model-card": ("pathorob-checks model-card results.json --readme=README.md",),
    "badge": ("pathorob-checks badge results.json --out=badge.svg",),
    "schema": ("pathorob-checks schema",),
    "sensitivity": (
        "pathorob-checks sensitivity --fm=virchow2 --fm-cohort=camelyon",
        "pathorob-checks sensitivity --fm=local-dir:our-fm --fm-cohort=slides --only=pooling --only=k",
        "pathorob-checks sensitivity --fm=virchow2 --only=batch-size --batch-size=1 --batch-size=64",
    ),
    "repair": (
        "pathorob-checks repair --fm=virchow2 --fm-cohort=camelyon --method=combat --out=repaired",
        "pytest --fm=virchow2 --fm-cohort=camelyon --fm-method=combat",
    ),
    "verify": ("pathorob-checks verify evidence",),
    "sign": (
        "pathorob-checks sign evidence --key=key.pem",
        "pathorob-checks sign evidence --key=jane.pem --name='Jane Doe' --role=reviewer --meaning=review",
    ),
    "reproduce": (
        "pathorob-checks reproduce evidence",
        "pathorob-checks reproduce evidence --out=again --by='Jane Doe'",
    ),
    "qualify": ("pathorob-checks qualify --out=qualification --by='Jane Doe'",),
    "cache": ("pathorob-checks cache ls", "pathorob-checks cache prune --keep=50GB"),
    "cache ls": ("pathorob-checks cache ls",),
    "cache verify": ("pathorob-checks cache verify",),
    "cache prune": ("pathorob-checks cache prune --keep=50GB",),
    "cache export": ("pathorob-checks cache export 3f2a exported --fm-cohort=camelyon",),
}
"""Commands that the parser takes, by the words that name the command."""
