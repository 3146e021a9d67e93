"""The catalogue of the console's words: each is there, its places fit, and none breaks the rules of how we speak."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from string import Formatter

import pytest
from jinja2 import nodes

from caisey.web.pages.keys import SHORTCUTS
from caisey.web.rendering import Rendering
from caisey.web.static_files import StaticFiles
from caisey.web.words import WORDS, _together

RENDERING = Rendering(StaticFiles())
NAMES = {"Esc", "Enter", "Ctrl", "Ctrl+↵", "Alt", "ms", "Caisey"}
"""What a translation leaves as it is."""
FORBIDDEN = re.compile(r"\b(please|sorry|unfortunately|oops|error occurred|successfully|invalid)\b|!", re.IGNORECASE)


def used(template: str) -> Iterator[tuple[str, set[str] | None]]:
    """The ids that a template names outright, with the places that it fills; None where it fills them later."""
    environment = RENDERING._environment
    assert environment.loader is not None
    source = environment.loader.get_source(environment, template)[0]
    tree = environment.parse(source)
    for call in tree.find_all(nodes.Call):
        if isinstance(call.node, nodes.Name) and call.node.name == "w":
            for id_ in _constants(call.args[0]):
                yield id_, {keyword.key for keyword in call.kwargs}
    for item in tree.find_all(nodes.Getitem):
        if isinstance(item.node, nodes.Name) and item.node.name == "words":
            for id_ in _constants(item.arg):
                yield id_, None


def _constants(node: nodes.Node) -> Iterator[str]:
    if isinstance(node, nodes.Const):
        yield str(node.value)
    elif isinstance(node, nodes.CondExpr):
        yield from _constants(node.expr1)
        if node.expr2 is not None:
            yield from _constants(node.expr2)


def places_of(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name}


@pytest.mark.parametrize("template", RENDERING.names())
def test_every_word_of_a_template_is_in_the_catalogue(template: str) -> None:
    for id_, filled in used(template):
        assert id_ in WORDS, (template, id_)
        if filled is not None:
            assert places_of(WORDS[id_]) <= filled, (template, id_, filled)


@pytest.mark.parametrize("template", RENDERING.names())
def test_a_template_says_nothing_of_its_own(template: str) -> None:
    """Text between tags comes from the catalogue; what is left are signs, numbers and names of things."""
    environment = RENDERING._environment
    assert environment.loader is not None
    source = environment.loader.get_source(environment, template)[0]
    # Blocks that fill an attribute, then everything that Jinja fills in, then the tags themselves.
    source = re.sub(r"{% block (main_class|body) %}.*?{% endblock %}", "", source, flags=re.DOTALL)
    source = re.sub(r"{#.*?#}|{{.*?}}|{%.*?%}", "\0", source, flags=re.DOTALL)
    source = re.sub(r"<!--.*?-->|<[^>]*>", "\0", source, flags=re.DOTALL)
    pieces = {piece.strip() for piece in source.split("\0")}
    assert {piece for piece in pieces if re.search(r"[A-Za-z]{2,}", piece)} <= NAMES, template


def test_how_we_speak() -> None:
    for id_, text in WORDS.items():
        assert text == text.strip(), id_
        assert not FORBIDDEN.search(text), (id_, text)
        assert "  " not in text or id_ == "nav.search", (id_, text)


def test_one_id_stands_in_one_group() -> None:
    with pytest.raises(ValueError, match="twice"):
        _together({"twice": "a"}, {"once": "b"}, {"twice": "c"})


def test_scripts_say_nothing_of_their_own() -> None:
    """Words of scripts come from the page; a literal of several words in a script is one that nobody translates."""
    for script in _scripts():
        source = re.sub(r"//[^\n]*|/\*.*?\*/", "", script.read_text("utf-8"), flags=re.DOTALL)
        found = re.findall(r"[\"'`]([A-Z][a-z]+(?: [a-z]+){1,}[.?]?)[\"'`]", source)
        assert found == [], (script.name, found)


def test_every_shortcut_stands_on_the_page_of_shortcuts() -> None:
    listed = {key for _, lines in SHORTCUTS for keys, _ in lines for key in keys.split(" ")}
    for script in _scripts():
        for keys in re.findall(r'shortcut\("([^"]+)"', script.read_text("utf-8")):
            names = {"Esc" if key == "Escape" else key for key in keys.split(" ")}
            assert names <= listed, (script.name, keys)
    assert all(meaning in WORDS for _, lines in SHORTCUTS for _, meaning in lines)


def _scripts() -> Iterator[Traversable]:
    waiting = [files("caisey.web").joinpath("static", "js")]
    while waiting:
        for entry in waiting.pop().iterdir():
            if entry.is_dir():
                waiting.append(entry)
            elif entry.name.endswith(".js"):
                yield entry
