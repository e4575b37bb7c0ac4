"""A network in the paper's terms: one frozen, torch-free `Spec`.

Every variant of He et al. 2015 and of the study notes is a field value here, never a subclass or a copied builder.
`names.spec_of` turns a name and switches into a `Spec`; `plan.plan` unrolls a `Spec` into rows.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from functools import cache
from typing import Any, Literal, get_args, get_type_hints

from reslab.errors import UserError, suggest

Family = Literal["cifar", "imagenet", "vgg", "mlp"]
Shortcut = Literal["A", "B", "C"]
StrideIn = Literal["1x1", "3x3"]
Order = Literal["post", "pre"]
Activation = Literal["relu", "tanh", "sigmoid", "identity"]
Stem = Literal["3x3", "7x7", "none"]
Downsample = Literal["stride", "pool"]
Fan = Literal["in", "out"]
PadAt = Literal["end", "both"]
Padding = Literal["zeros", "circular"]
BlockKind = Literal["single", "basic", "triple", "bottleneck"]


# Weight layers of a block (how many layers its shortcut skips) and its output width over its base width.
BLOCK_LAYERS: dict[str, int] = {"single": 1, "basic": 2, "triple": 3, "bottleneck": 3}
BLOCK_EXPANSION: dict[str, int] = {"single": 1, "basic": 1, "triple": 1, "bottleneck": 4}

# Far beyond any network that is trained. A plan of DEEPEST layers takes seconds; one of a billion would never end.
DEEPEST, WIDEST, LARGEST_SIDE = 100_000, 2**20, 2**16
LARGEST: dict[str, int] = {"depth": DEEPEST, "classes": 2**24, "in_channels": LARGEST_SIDE, "image_size": LARGEST_SIDE}


@dataclass(frozen=True)
class Spec:
    """A complete network. Sizes are in pixels, widths in channels (units for the MLP).

    blocks        per stage, the kind of each block; for VGG, one "single" for each convolution
    widths        per stage, the base width: channels of a block's 3x3 convolution
    residual      False builds the plain twin: the same layers without shortcuts (§3.3)
    shortcut      A: zero padding; B: projection if the size changes; C: every shortcut a projection (§4.1)
    stride_in     a bottleneck's stride in its first 1x1 (the paper) or in its 3x3 ("v1.5")
    order         "post": conv-BN-ReLU and a ReLU after the addition (the paper); "pre": BN-ReLU-conv, the first
                block's first of them in the stem (He et al. 2016)
    stem          "7x7": convolution of stride 2 and max-pooling (Table 1); "3x3": one convolution (§4.2); "none": VGG
    downsample    "stride" (the paper) or "pool": 2x2 max-pooling in place of each stride, in branch and shortcut
    zero_init     the last γ of every branch starts at 0 (not in the paper; only for residual nets)
    fan           He initialisation, variance 2/fan, by fan "in" or "out" (the paper leaves it open)
    pad_at        place of option A's zero channels: at the "end", or on "both" sides (the paper leaves it open)
    padding       beyond a map's edge a convolution reads "zeros" (the paper) or the opposite edge ("circular"); zeros
                  shrink the signal of small maps, which without BN looks like vanishing gradients
    dropout       probability in VGG's classifier; 0 elsewhere (the paper uses none)
    """

    family: Family
    depth: int
    blocks: tuple[tuple[str, ...], ...]
    widths: tuple[int, ...]
    residual: bool = True
    shortcut: Shortcut = "B"
    stride_in: StrideIn = "1x1"
    order: Order = "post"
    activation: Activation = "relu"
    stem: Stem = "3x3"
    downsample: Downsample = "stride"
    batch_norm: bool = True
    zero_init: bool = False
    fan: Fan = "in"
    pad_at: PadAt = "end"
    padding: Padding = "zeros"
    dropout: float = 0.0
    classes: int = 10
    in_channels: int = 3
    image_size: int = 32

    def __post_init__(self) -> None:
        hints = _hints()
        for key, hint in hints.items():
            allowed = get_args(hint)
            value = getattr(self, key)
            if allowed and allowed[0] is not Ellipsis and isinstance(allowed[0], str) and value not in allowed:
                raise UserError(
                    f"{key}: {value!r} is none of {', '.join(map(str, allowed))}{suggest(str(value), allowed)}"
                )
            if hint is bool and not isinstance(value, bool):
                raise UserError(f"{key}: {value!r} is neither true nor false")
        for key, most in LARGEST.items():
            value = getattr(self, key)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise UserError(f"{key}: {value!r} is not a whole number of at least 1")
            if value > most:  # not quoted: it may have thousands of digits
                raise UserError(f"{key} is too large; the largest value is {most:,}")
        if len(self.blocks) != len(self.widths):
            raise UserError(
                f"widths: {len(self.widths)} given, but this net has {len(self.blocks)} stages; "
                "give one width for each stage"
            )
        if any(not isinstance(w, int) or w < 1 for w in self.widths):
            raise UserError(f"widths: {self.widths} must be whole numbers of at least 1")
        if any(w > WIDEST for w in self.widths):
            raise UserError(f"widths: one is too large; the largest value is {WIDEST:,}")
        for kind in {k for stage in self.blocks for k in stage}:
            if kind not in BLOCK_LAYERS:
                raise UserError(f"block: {kind!r} is none of {', '.join(BLOCK_LAYERS)}{suggest(kind, BLOCK_LAYERS)}")
        if self.zero_init and not self.batch_norm:
            raise UserError(
                "zero_init: sets the last γ of each branch, but batch_norm is off; leave out one of the two"
            )
        if self.zero_init and self.order == "pre":
            raise UserError(
                "zero_init: a pre-activation branch ends in a convolution and has no last γ; use order post"
            )
        if self.zero_init and not self.residual:
            raise UserError(
                "zero_init: a plain net has no shortcuts, so branches that start at 0 would block every signal; "
                "leave it out"
            )
        if self.stem == "none" and self.family in ("cifar", "imagenet"):
            raise UserError("stem: 'none' is only for VGG and MLPs; give 3x3 or 7x7")
        if self.family == "mlp" and self.padding != "zeros":
            raise UserError("padding: an MLP has no convolutions to pad; leave it out")
        if not 0.0 <= self.dropout < 1.0:
            raise UserError(f"dropout: {self.dropout} is not in [0, 1)")

    def __repr__(self) -> str:
        """Return the fields that differ from the defaults; blocks as their number per stage."""
        parts = [f"{self.family!r}", f"depth={self.depth}"]
        for f in fields(self):
            value = getattr(self, f.name)
            if f.name == "blocks":
                kinds = ",".join(dict.fromkeys(k for stage in value for k in stage))
                parts.append(f"blocks={'+'.join(str(len(stage)) for stage in value)} {kinds}")
            elif f.name not in ("family", "depth") and value != f.default:
                parts.append(f"{f.name}={value!r}")
        return f"Spec({', '.join(parts)})"

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain types, for `run.json` and a checkpoint's manifest."""
        return asdict(self)

    @staticmethod
    def from_dict(values: dict[str, Any]) -> Spec:
        """Return the `Spec` of `to_dict`'s values. Raises UserError for an unknown key."""
        known = {f.name for f in fields(Spec)}
        for key in values:
            if key not in known:
                raise UserError(f"spec: unknown key {key!r}{suggest(key, known)}")
        lists = {
            "blocks": tuple(tuple(stage) for stage in values["blocks"]),
            "widths": tuple(values["widths"]),
        }
        return Spec(**{**values, **lists})


@cache
def _hints() -> dict[str, Any]:
    """Return the fields' types; cached, because resolving is slow and a page reads hundreds of specs."""
    return get_type_hints(Spec)
