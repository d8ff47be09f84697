"""The figures of the page by file name, in its order, each with its heading and what to see in it. Imports nothing heavy."""

from __future__ import annotations

FIGURES = {
    "equal_utility": (
        "Methods at equal utility",
        "A line is a method as its update grows from nothing (vanilla) to all of it (the marker). Compare heights at the dashed line, "
        "where all methods have the same utility; a dotted line ends before it and is not compared. The aim is the star, a model that "
        "never met the forgotten people. Models that keep less than half of the utility are beyond the left edge.",
    ),
    "trade_off": (
        "Forgetting against utility, with intervals",
        "The models with their whole update. Higher is more forgotten, further right is more kept; the retain-only model is the aim. On a "
        "grey line the combined score is the same.",
    ),
    "portraits": (
        "Three forgotten people",
        "What each model says about the picture: before unlearning (vanilla), without ever meeting the person (retain-only), and after "
        "unlearning.",
    ),
    "ratios": ("Every score over the forget ratios", "Image and text together; bars are 95 % intervals, by person."),
    "modalities": (
        "Does it forget in both modalities?",
        "What is left of the forgotten people. On the diagonal a model knows as much from the picture as from the name.",
    ),
    "agreement": (
        "Which metrics agree",
        "Kendall's tau of two metrics' rankings of the runs, each turned so that high is good: 1 for the same order, -1 for the opposite "
        "order.",
    ),
    "training": (
        "Training",
        "The loss of each run, smoothed, with single steps pale behind it. Losses of two methods are not comparable.",
    ),
    "costs": (
        "Costs",
        "Time and memory of training one model: means over ratios, with lines from the least to the most.",
    ),
}
#: The figures of the section on attacks, which the page has if the configuration says so.
ROBUSTNESS_FIGURES = {
    "robustness": (
        "What attacks bring back",
        "Each cell is a method's gain from an attack minus the retain-only model's gain, with its 95 % interval; 0 means that nothing was "
        "hidden. Framed cells are clear of 0 after Holm's correction; in bold ones the method recovers. Hatched methods are destroyed.",
    ),
    "relearning": (
        "Training again",
        "The score of the forgotten people's questions over steps of training. A filled marker says that the method recovers there; "
        "the dashed lines are vanilla and the retain-only model under the same training, dotted methods are destroyed, and a line ends "
        "where training diverged.",
    ),
}
