"""Words of sign-in, first run and the account."""

from __future__ import annotations

from typing import Final

ACCOUNT: Final[dict[str, str]] = {
    # -- sign in --
    "sign_in.title": "Sign in",
    "sign_in.email": "E-mail address",
    "sign_in.password": "Password",
    "sign_in.button": "Sign in",
    "sign_in.lost": "Password or device lost? An owner or admin makes you a new link, in Settings, Members.",
    "sign_in.first_run": "Nobody has an account here yet",
    "sign_in.first_run_how": "Open the link that the control plane printed when it started. For a new one, run this on its "
    "own machine:",
    "sign_in.first_run_command": "caisey members set-up-link --data-dir DIR",
    "sign_in.not_private": "A password typed here could be read on the way. Use https, or this very machine.",
    "sign_in.code_title": "One more step",
    "sign_in.code": "Code",
    "sign_in.code_hint": "Six digits from your authenticator app, or one of your recovery codes.",
    "sign_in.code_button": "Go on",
    "sign_in.start_over": "Start over",
    "set_up.title": "Set up Caisey",
    "set_up.lead": "You make the first account. It is an owner: it may do everything, and invites the others.",
    "set_up.name": "Your name",
    "set_up.button": "Make the account",
    "password.new": "New password",
    "password.rule": "At least 12 characters. A few words in a row are easy to remember and hard to guess.",
    "join.title": "Welcome, {name}",
    "join.lead": "Choose a password for {email}. This link works once.",
    "join.button": "Choose it and sign in",
    "reset.title": "A new password",
    "reset.lead": "For {email}. Every browser that is signed in with this account is signed out.",
    "reset.clears_totp": "Your second factor is turned off too. Set up a new one afterwards.",
}
