"""MkDocs' hook: files of the repository that lie outside docs/ and that pages show or link to.

A link such as `../results/reference/x.png` works on a code host as it stands. In the site these files lie in the
folder of the pages, so that the link loses one `../`.
"""

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDERS = ("results/reference/gated_vs_baseline", "results/reference/benchmarks")
PAGES = ("sweeps/README.md", "pipeline/bundled/model/README.md")
OUTSIDE = re.compile(r"\]\(((?:\.\./)*)\.\./(results|sweeps|pipeline)/")


def on_files(files: Files, config: Any) -> Files:
    paths = [path for folder in FOLDERS for path in sorted((ROOT / folder).iterdir()) if path.is_file()]
    for path in [*paths, *(ROOT / page for page in PAGES)]:
        files.append(File.generated(config, path.relative_to(ROOT).as_posix(), abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    within = page.file.src_uri.startswith(("results/", "sweeps/", "pipeline/"))
    return markdown if within else OUTSIDE.sub(r"](\1\2/", markdown)
