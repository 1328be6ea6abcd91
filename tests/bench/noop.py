"""The floor: an authenticator that does nothing, for a CA that validates everything."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Callable

from acme import challenges
from certbot import interfaces
from certbot.plugins import common


class Authenticator(common.Plugin, interfaces.Authenticator):
    """Answers every DNS-01 challenge at once, without publishing anything."""

    description = "Nothing"

    @classmethod
    def add_parser_arguments(cls, add: Callable[..., None]) -> None:
        """There are no options."""

    def more_info(self) -> str:
        """Say what it is."""
        return "The benchmark's floor."

    def prepare(self) -> None:
        """Nothing."""

    def get_chall_pref(self, domain: str) -> Iterable[type[challenges.Challenge]]:
        """DNS-01, as the other contestants."""
        return [challenges.DNS01]

    def perform(self, achalls: list[Any]) -> list[challenges.ChallengeResponse]:
        """The responses, which every contestant has to compute."""
        return [achall.response(achall.account_key) for achall in achalls]

    def cleanup(self, achalls: list[Any]) -> None:
        """Nothing."""
