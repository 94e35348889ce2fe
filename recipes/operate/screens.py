"""Drawn screens: widgets with names in five languages, in many themes and fonts, and where each of them is."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

SIDE = 224
"""Pixels of a screen's sides: what the starter assistant reads."""
NAMES = {
    "en": "Save Cancel Open Close Send Delete Edit Search Next Back Help Print Share Copy Paste Login Settings Home Profile Messages "
    "Files Photos Music Play Stop Pause Upload Download Submit Reset Yes No Add Remove More Done Undo Redo Start Finish Name City Email Date".split(),
    "de": "Speichern Abbrechen Öffnen Schließen Senden Löschen Bearbeiten Suchen Weiter Zurück Hilfe Drucken Teilen Kopieren Anmelden "
    "Einstellungen Bilder Dateien Fertig Ja Nein Mehr Hinzufügen Entfernen Beginnen Name Stadt Datum".split(),
    "fr": "Enregistrer Annuler Ouvrir Fermer Envoyer Supprimer Modifier Chercher Suivant Retour Aide Imprimer Partager Copier Photos "
    "Fichiers Musique Oui Non Plus Ajouter Retirer Terminer Nom Ville Date".split(),
    "es": "Guardar Cancelar Abrir Cerrar Enviar Eliminar Editar Buscar Siguiente Atrás Ayuda Imprimir Compartir Copiar Fotos Archivos "
    "Sí No Más Añadir Quitar Empezar Nombre Ciudad Fecha".split(),
    "it": "Salva Annulla Apri Chiudi Invia Elimina Modifica Cerca Avanti Indietro Aiuto Stampa Condividi Copia Foto File Musica Sì No "
    "Altro Aggiungi Rimuovi Inizia Nome Città Data".split(),
}  # fmt: skip
"""What widgets say."""


@dataclass(frozen=True)
class Theme:
    """Colours and shapes."""

    name: str
    ground: str
    ink: str
    face: str
    """Of buttons."""
    on_face: str
    """What is written on them."""
    line: str
    radius: int = 3


THEMES = (
    Theme("grey", "#ffffff", "#111111", "#efefef", "#111111", "#767676"),
    Theme("blue", "#ffffff", "#202124", "#1a73e8", "#ffffff", "#dadce0", 4),
    Theme("dark", "#1e1f22", "#dfe1e5", "#3574f0", "#ffffff", "#5a5d63", 4),
    Theme("green", "#f6fff6", "#14301a", "#2e7d32", "#ffffff", "#9bc49e", 12),
    Theme("old", "#c0c0c0", "#000000", "#c0c0c0", "#000000", "#404040", 0),
    Theme("warm", "#fffaf2", "#3b2f23", "#d9480f", "#ffffff", "#c9b8a3", 8),
    Theme("pale", "#f7f7fb", "#333344", "#e6e6f2", "#333344", "#b5b5cc", 6),
    Theme("night", "#000000", "#f0f0f0", "#222222", "#f0f0f0", "#888888", 2),
    Theme("pink", "#fff5f8", "#40202c", "#c2255c", "#ffffff", "#e5b8c8", 10),
    Theme("terminal", "#002b36", "#93a1a1", "#073642", "#b58900", "#586e75", 0),
)
HELD_OUT_THEMES = (
    Theme("violet", "#faf7ff", "#1f1033", "#6741d9", "#ffffff", "#c4b5e8", 14),
    Theme("slate", "#2b3440", "#e8edf2", "#9fb3c8", "#102a43", "#627d98", 5),
    Theme("paper", "#fbf8ef", "#22201a", "#fbf8ef", "#22201a", "#22201a", 0),
)


@dataclass(frozen=True)
class Widget:
    """Something on a screen."""

    kind: str
    name: str
    box: tuple[int, int, int, int]
    """Pixels, where a click reaches it."""

    @property
    def point(self) -> tuple[float, float]:
        """Its middle, in shares of the screen's sides."""
        left, top, right, bottom = self.box
        return (left + right) / 2 / SIDE, (top + bottom) / 2 / SIDE


class Screen:
    """A canvas with a theme and a font."""

    def __init__(self, theme: Theme, font: Path, size: int):
        self.theme, self.font = theme, ImageFont.truetype(str(font), size)
        self.image = Image.new("RGB", (SIDE, SIDE), theme.ground)
        self.draw = ImageDraw.Draw(self.image)
        self.height = size + 10

    def width(self, name: str) -> int:
        """Return the pixels that a name takes."""
        return int(self.font.getlength(name)) + 1

    def text(self, x: int, y: int, name: str, colour: str) -> tuple[int, int, int, int]:
        """Write a name, in the middle of a row that begins at y; return its box."""
        self.draw.text((x, y + self.height // 2), name, colour, self.font, anchor="lm")
        return x, y, x + self.width(name), y + self.height

    def button(self, x: int, y: int, name: str) -> Widget:
        """Draw a button."""
        box = (x, y, x + self.width(name) + 14, y + self.height)
        self.draw.rounded_rectangle(box, self.theme.radius, self.theme.face, self.theme.line)
        self.text(x + 7, y, name, self.theme.on_face)
        return Widget("button", name, box)

    def checkbox(self, x: int, y: int, name: str) -> Widget:
        """Draw a box to be checked, with its label."""
        side, top = self.height // 2, y + self.height // 4
        self.draw.rectangle((x, top, x + side, top + side), self.theme.ground, self.theme.line)
        self.text(x + side + 5, y, name, self.theme.ink)
        return Widget("checkbox", name, (x, y, x + side + 5 + self.width(name), y + self.height))

    def field(self, x: int, y: int, name: str) -> Widget:
        """Draw a field with its label before it."""
        _, _, right, _ = self.text(x, y, name, self.theme.ink)
        box = (right + 6, y + 1, min(SIDE - 4, right + 86), y + self.height - 1)
        self.draw.rectangle(box, "#ffffff" if self.theme.ground > "#8" else self.theme.face, self.theme.line)
        return Widget("field", name, box)

    def link(self, x: int, y: int, name: str) -> Widget:
        """Write a link."""
        box = self.text(x, y, name, "#8ab4f8" if self.theme.ground < "#8" else "#1558d6")
        self.draw.line((box[0], box[3] - 5, box[2], box[3] - 5), "#8ab4f8" if self.theme.ground < "#8" else "#1558d6")
        return Widget("link", name, box)


Maker = Callable[[Screen, int, int, str], Widget]
MAKERS: tuple[Maker, ...] = (Screen.button, Screen.button, Screen.checkbox, Screen.field, Screen.link)


def random_screen(rng: np.random.Generator, themes: tuple[Theme, ...], fonts: list[Path]) -> tuple[Image.Image, list[Widget]]:
    """Draw widgets in rows, from top to bottom, with gaps between them."""
    screen = Screen(themes[rng.integers(len(themes))], fonts[rng.integers(len(fonts))], int(rng.integers(13, 21)))
    names = list(rng.permutation(NAMES[list(NAMES)[rng.integers(len(NAMES))]]))
    widgets: list[Widget] = []
    y = int(rng.integers(4, 40))
    while y + screen.height < SIDE - 4 and names:
        x = int(rng.integers(4, 60))
        while names:
            name, make = str(names.pop()), MAKERS[rng.integers(len(MAKERS))]
            if x + screen.width(name) + (100 if make is Screen.field else 30) > SIDE:
                break
            widgets.append(make(screen, x, y, name))
            x = widgets[-1].box[2] + int(rng.integers(8, 50))
        y += screen.height + int(rng.integers(3, 40))
    return screen.image, widgets
