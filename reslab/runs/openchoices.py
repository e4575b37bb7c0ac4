"""What the paper leaves open in the training of a network, and what is chosen here. Torch-free."""

from __future__ import annotations

# The choices that the paper leaves open, by field: shown by `reslab recipe show`, recorded in every run.
OPEN_CHOICES: dict[str, str] = {
    "holdout": "the text trains the final nets 'on the training set'; whether on 50,000 or 45,000 images is not stated",
    "bn_batch": "two GPUs with 64 images each and no synchronised BN make the BN batch 64; 0 is the whole batch",
    "bn_momentum": "not stated; the weight of the newest batch in the moving BN statistics",
    "bn_statistics": "not stated: 'moving' averages, or 'precise' ones from a pass with the final weights",
    "decay_on": "not stated whether weight decay acts on BN's γ, β and on biases ('all') or not ('weights')",
    "momentum_form": "not stated; 'caffe' keeps the old rate in the velocity after a drop, 'torch' does not",
    "last_batch": "not stated: 'fill' from the next epoch, 'keep' it short, or 'drop' it",
    "scale": "the paper subtracts a mean and states no division; 'std' divides by the training split's one std",
    "warmup_window": "not stated over which window 'training error below 80 %' is measured; here iterations",
    "clean_every": "not stated when and how training error is measured; here a clean pass in evaluation mode",
}


# Also open, but not fields of the recipe: name to (the choice here, the reason).
OPEN_BEYOND: dict[str, tuple[str, str]] = {
    "head weights": (
        "N(0, 1/fan_in)",
        "not stated; the 2 of He initialisation [13] is for a ReLU, and none follows",
    ),
    "fan": ("in", "not stated; [13] allows fan-in and fan-out; 'in' keeps the forward variance; --fan"),
    "pad_at": ("end", "not stated on which side option A adds zeros; 'end' keeps each channel's index; --pad-at"),
    "ensemble": ("softmax", "not stated what an ensemble averages; the paper's release: softmax; evaluate --ensemble"),
}
