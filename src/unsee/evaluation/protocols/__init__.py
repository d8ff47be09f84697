"""The protocols, one file each; :func:`unsee.evaluation.protocols.load.load_protocol` makes one from the configuration."""
