"""One file per unlearning method; :mod:`unsee.unlearning.method` says what such a file declares."""
