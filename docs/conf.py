"""The documentation site: `python -m sphinx -W --keep-going -n -b html docs build/site`.

It is built without network, and its pages load nothing from elsewhere: they can be read on a machine without
network, too.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "_ext"), str(HERE.parent)]

from pathorob_checks.version import version as version_of_code  # noqa: E402

project = "pathorob-checks"
author = "The pathorob-checks maintainers"
copyright = author  # noqa: A001 (Sphinx reads this name)
version = release = version_of_code()

extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "command_line",
    "gallery",
    "local_links",
    "package_tables",
    "pytest_options",
    "root_pages",
    "schema_tables",
    "sections",
]
exclude_patterns = ["_ext", "_templates", "auto_gallery/*.ipynb", "gallery"]
templates_path = ["_templates"]
nitpicky = True
default_role = "literal"  # what stands between backticks in docstrings is code
smartquotes = False  # they would make a dash of `--`

# Pages are Markdown that a code host shows as well: headings have the same anchors on both.
myst_enable_extensions = ["colon_fence", "html_image"]
myst_heading_anchors = 4
# Tests run the notebooks; the site shows the outputs in their files.
nb_execution_mode = "off"

sphinx_gallery_conf = {
    "examples_dirs": "../build/gallery",
    "gallery_dirs": "auto_gallery",
    "image_scrapers": ("gallery.shown",),
    "within_subsection_order": "gallery.place",
    "capture_repr": (),
    "reset_modules": (),
    "download_all_examples": False,
    "show_signature": False,
    "thumbnail_size": (480, 320),  # pixels
    "write_computation_times": False,
    "min_reported_time": 3600,  # seconds; how long a script takes is of no interest here
}

autosummary_ignore_module_all = False
autosummary_imported_members = True
autodoc_typehints = "none"  # docstrings have types, with shapes and units
numpydoc_show_class_members = False

# Where versions of the site stand beside each other, and which of them this is (.github/workflows/docs.yml).
url_of_versions = os.environ.get("PATHOROB_CHECKS_DOCS_URL")
this_version = os.environ.get("PATHOROB_CHECKS_DOCS_VERSION", "latest")

html_title = project
html_theme = "pydata_sphinx_theme"
html_favicon = "_static/logo.svg"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_sidebars = {"**": ["section"], "index": []}
html_theme_options = {
    "logo": {"image_light": "_static/logo.svg", "image_dark": "_static/logo.svg", "text": project},
    "navbar_center": ["sections"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "show_version_warning_banner": bool(url_of_versions),
}
if url_of_versions:
    html_theme_options |= {
        "navbar_end": ["version-switcher", "theme-switcher"],
        "switcher": {"json_url": f"{url_of_versions}/switcher.json", "version_match": this_version},
        "check_switcher": False,  # the list is written when all versions are there
    }
copybutton_exclude = ".linenos, .gp, .go"  # prompts and what a session printed
