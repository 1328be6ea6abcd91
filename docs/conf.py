"""How Sphinx builds the site: `make docs`."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the manual is the package's docstring, the keys are its table
sys.path.insert(0, str(ROOT / "docs"))

project = "certbot-tcs-lyon1"
author = "Université Claude Bernard Lyon 1"
release = re.search(
    r'^__version__ = "([^"]+)"$',
    (ROOT / "certbot_tcs_lyon1" / "__init__.py").read_text(encoding="utf-8"),
    re.MULTILINE,
).group(1)
language = "fr"

extensions = ["sphinx.ext.autodoc", "department_keys"]
exclude_patterns = ["examples"]
highlight_language = "none"
# :en:`words` in French text: their quotes and a screen reader's voice are English. A whole section
# becomes English by a line `.. rst-class:: language-en` before its title.
# :others:`words` in the guide's tables are messages of certbot, of a CA or of Python.
rst_prolog = """
.. role:: en
   :class: language-en
.. role:: others(literal)
"""

html_theme = "furo"
html_title = f"certbot-tcs-lyon1 {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
templates_path = ["_templates"]
html_theme_options = {"top_of_page_buttons": []}
html_use_index = False
html_domain_indices = False
html_copy_source = False
html_show_copyright = False
html_context = {"author": author}
# The excerpts under a search's hits are fetched, which browsers refuse to pages opened as files.
html_show_search_summary = False

#: The theme's words that neither it nor Sphinx translates.
FRENCH = {
    "Back to top": "Haut de la page",
    "Home": "Accueil",
    "Next": "Suivant",
    "On this page": "Sur cette page",
    "Previous": "Précédent",
    "Skip to content": "Aller au contenu",
}

#: The space in front of a sign, or after «, must not break the line; before ; ! ? it is thin.
NO_BREAK, THIN_NO_BREAK = "\u00a0", "\u202f"


class French(SphinxTransform):
    """Make the spaces that French wants at its punctuation unbreakable, so that sources have none
    of these invisible characters; quotes, apostrophes and … are smartquotes' business (Sphinx's).
    Titles in another language say so themselves, for they are repeated in the navigation."""

    default_priority = 800  # after smartquotes (750), before titles are collected (880)

    def apply(self, **kwargs: Any) -> None:
        for text in list(self.document.findall(nodes.Text)):
            parent = text.parent
            if not isinstance(parent, (nodes.literal, nodes.FixedTextElement, nodes.raw)) and (
                self._language_of(parent) == self.config.language
            ):
                parent.replace(text, nodes.Text(_with_spaces(str(text))))
        for name in self.document.findall(nodes.field_name):  # a colon is printed after it
            if self._language_of(name) == self.config.language:
                name += nodes.Text(NO_BREAK)
        for title in self.document.findall(nodes.title):
            if self._language_of(title) != self.config.language:
                words = nodes.inline("", "", *title.children)
                words["classes"].append(f"language-{self._language_of(title)}")
                title.children = []
                title += words

    def _language_of(self, node: nodes.Element) -> str:
        return node.get_language_code(self.config.language)


def _with_spaces(text: str) -> str:
    text = re.sub(r"\s+([:»%])", NO_BREAK + r"\1", text)
    text = re.sub(r"\s+([;!?])", THIN_NO_BREAK + r"\1", text)
    return re.sub(r"«\s+", "«" + NO_BREAK, text)


def translate_theme(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: object
) -> None:
    """Let the theme's templates find French words for their own."""
    translate = app.builder.templates.environment.globals["gettext"]
    context["_"] = context["gettext"] = lambda text: FRENCH.get(text) or translate(text)


def setup(app: Sphinx) -> None:
    app.add_transform(French)
    app.connect("html-page-context", translate_theme)
