"""`.. key:: SECTION NAME`: a key of the department config, as the program's table KEYS has it.

The name, the type, the default and whether the key is obligatory come from the table; the page says
what the key is for, shows an example, which is checked, and says in words what holds without it::

    .. key:: install owner
       :example: tomcat
       :default: ``root``

       Le propriétaire des fichiers.
"""

from __future__ import annotations

from typing import Any

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from certbot_tcs_lyon1.department import keyfiles, values
from certbot_tcs_lyon1.department.keys import KEYS, Key, convert
from certbot_tcs_lyon1.errors import ConfigError

#: What the reference calls each check.
TYPES = {
    values.https_url: "URL https",
    values.email: "adresses électroniques",
    values.yes_no: "yes ou no",
    values.past_time: "date ou instant, UTC",
    values.key_id: "texte sans espace",
    values.hmac_key: "base64",
    values.path: "chemin absolu",
    values.domain: "liste de domaines",
    values.endpoint: "liste de serveurs de noms",
    values.dns_name: "nom de zone",
    values.lineage: "nom d’un certificat",
    values.account: "nom ou numéro",
    values.mode: "mode octal",
    values.command: "commande",
    values.services: "services, HÔTE:PORT",
    keyfiles.check_name: "nom de clé",
    keyfiles.check_algorithm: "algorithme HMAC",
    keyfiles.check_secret: "base64 avec ses =",
    keyfiles.check_principal: "compte@DOMAINE",
}

#: Examples that stand for what only the portal or the DNS administrator gives.
PLACEHOLDERS = ("KEY_ID", "HMAC_KEY", "SECRET")


def type_of(key: Key) -> str:
    """What the reference calls a key's values."""
    if isinstance(key.check, values.Seconds):
        return f"secondes, de {key.check.lowest} à {key.check.highest}"
    return TYPES[key.check]


def default_of(key: Key, words: str) -> str:
    """What holds without the key, as reStructuredText: its default, or else the page's words."""
    if key.required:
        return "aucun ; obligatoire"
    value = ("no", "yes")[key.default] if isinstance(key.default, bool) else key.default
    return " ; ".join(filter(None, (f"``{value}``" if value else "", words))) or "aucun"


class KeyDirective(SphinxDirective):
    """The directive."""

    required_arguments = 2
    has_content = True
    option_spec = {"example": directives.unchanged_required, "default": directives.unchanged}

    def run(self) -> list[nodes.Node]:
        kind, name = self.arguments
        try:
            key, example = KEYS[kind][name], self.options["example"]
            if example not in PLACEHOLDERS:
                convert(example, key, f"{name} = {example}")
        except KeyError as error:
            raise self.error(f"no such key, or no example: {error}") from None
        except ConfigError as error:
            raise self.error(f"{name} = {example}: {error}") from None
        described(self.env).setdefault((kind, name), self.env.docname)
        default = default_of(key, self.options.get("default", ""))
        text = f"""\
``{name}``
   :Type: {type_of(key)}
   :Par défaut: {default}
   :Exemple: ``{example}``
"""
        lines = [*text.splitlines(), "", *(f"   {line}" for line in self.content)]
        return self.parse_text_to_nodes("\n".join(lines))


def described(env: BuildEnvironment) -> dict[tuple[str, str], str]:
    """The keys that have been described, each with its page."""
    if not hasattr(env, "department_keys"):
        env.department_keys = {}
    return env.department_keys


def check_all_described(app: Sphinx, env: BuildEnvironment) -> None:
    """Warn of keys without a description; what `[tcs]` has is described there alone."""
    shared = KEYS["tcs"]
    for kind, keys in KEYS.items():
        for name in keys:
            inherited = kind == "department" and name in shared
            if not inherited and (kind, name) not in described(env):
                logging.getLogger(__name__).warning("[%s] %s is not described", kind, name)


def setup(app: Sphinx) -> dict[str, Any]:
    """Sphinx calls this."""
    app.add_directive("key", KeyDirective)
    app.connect("env-check-consistency", check_all_described)
    return {"parallel_read_safe": False}
