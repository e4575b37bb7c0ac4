"""A sentence in the languages of the report: English, and Korean as the study notes are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from reslab.errors import UserError, suggest

LANGUAGES = ("en", "ko")


@dataclass(frozen=True)
class Text:
    """The same sentence in both languages, with {names} that `filled` replaces by figures."""

    en: str
    ko: str

    def __call__(self, language: str) -> str:
        """Raises UserError for a language that there is none of."""
        if language not in LANGUAGES:
            raise UserError(f"--lang: {language!r} is none of {', '.join(LANGUAGES)}{suggest(language, LANGUAGES)}")
        return self.en if language == "en" else self.ko

    def filled(self, **figures: Any) -> Text:
        """With each {name} replaced by its figure."""
        return Text(self.en.format(**figures), self.ko.format(**figures))
