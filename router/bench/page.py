"""The page around the plots: one file, its style (page.css) inside, nothing loaded from anywhere."""

from __future__ import annotations

from importlib.resources import files
from string import Template

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>$style</style>
</head>
<body>
<main>
<header><div><h1>$title</h1><p>$subtitle</p></div>
<button type="button" id="theme">light / dark</button></header>
$sections
<footer>$footer</footer>
</main>
<script>
document.getElementById("theme").onclick = () => {
  const root = document.documentElement, set = root.dataset.theme;
  const dark = set ? set === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
};
</script>
</body>
</html>
"""
COLOURS = 8


def page(title: str, subtitle: str, sections: str, footer: str) -> str:
    """Return the whole page; all arguments are HTML already."""
    colours = "\n".join(
        f"svg .c{n}, svg .a{n} {{ fill: var(--c{n}); }} svg .s{n} {{ stroke: var(--c{n}); }} "
        f"i.c{n} {{ background: var(--c{n}); }}"
        for n in range(1, COLOURS + 1)
    )
    style = files("router.bench").joinpath("page.css").read_text("utf-8") + colours
    return Template(PAGE).substitute(
        title=title, subtitle=subtitle, style=style, sections=sections, footer=footer
    )
