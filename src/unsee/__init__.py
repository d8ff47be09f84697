"""unsee: what does a vision-language model still know after it was asked to forget?"""

__version__ = "0.2.0"
