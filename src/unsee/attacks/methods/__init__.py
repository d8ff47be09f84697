"""One file per attack; :mod:`unsee.attacks.attack` says what such a file declares."""
