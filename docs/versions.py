"""Makes one site of several versions: `python docs/versions.py FOLDER URL`.

The folder has a folder for each version, such as `latest` and `v0.1.0`. Beside them it writes the list that
the theme's switcher reads, and a first page that leads to the newest release, or to `latest` without one.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path

from packaging.version import InvalidVersion, Version

LATEST = "latest"
_FIRST_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="refresh" content="0; url={version}/">
<title>pathorob-checks</title>
</head>
<body><a href="{version}/">pathorob-checks {version}</a></body>
</html>
"""


def newest_first(names: Iterable[str]) -> list[str]:
    """`latest`, then releases by their numbers; what is no version is left out.

    >>> newest_first(["v0.9.0", "latest", "v0.10.0", "switcher.json"])
    ['latest', 'v0.10.0', 'v0.9.0']
    """
    releases = {}
    names = list(names)
    for name in names:
        try:
            releases[name] = Version(name)
        except InvalidVersion:
            continue
    ordered = sorted(releases, key=releases.__getitem__, reverse=True)
    return [*([LATEST] if LATEST in names else []), *ordered]


def preferred(versions: Iterable[str]) -> str:
    """What readers are led to: the newest release that is no pre-release, else the first version.

    >>> preferred(["latest", "v1.0rc1", "v0.9"])
    'v0.9'
    """
    versions = list(versions)
    finished = (name for name in versions if name != LATEST and not Version(name).is_prerelease)
    return next(finished, versions[0])


def write(folder: Path, url: str) -> None:
    """Write the list of versions and the first page.

    Raises
    ------
    SystemExit
        The folder has no version.
    """
    versions = newest_first(path.name for path in folder.iterdir() if path.is_dir())
    if not versions:
        raise SystemExit(f"{folder} has no folder of a version; build one into {folder / LATEST}")
    first = preferred(versions)
    entries = [
        {"name": name, "version": name, "url": f"{url.rstrip('/')}/{name}/", "preferred": name == first}
        for name in versions
    ]
    (folder / "switcher.json").write_text(json.dumps(entries, indent=2) + "\n", encoding="utf-8")
    (folder / "index.html").write_text(_FIRST_PAGE.format(version=first), encoding="utf-8")
    (folder / ".nojekyll").touch()  # folders whose names begin with _ are pages, too


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="List the versions of the documentation site.")
    parser.add_argument("folder", type=Path, help="has a folder for each version")
    parser.add_argument("url", help="where the folder will stand, such as https://example.org/project")
    options = parser.parse_args()
    write(options.folder, options.url)


if __name__ == "__main__":
    main()
