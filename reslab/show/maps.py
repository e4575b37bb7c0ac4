"""A class activation map over its picture: orange where the evidence is for the class, blue where it is against it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reslab.show.look import HUE

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

LEAST = 224  # pixels: smaller pictures are enlarged by a whole factor, so that their pixels stay visible
STRENGTH = 0.75  # opacity of the strongest evidence
GAP = 8  # pixels between the picture and the map over it
FOR, AGAINST = HUE["plain"], HUE["residual"]


def drawn_map(pixels: np.ndarray, evidence: np.ndarray) -> Image.Image:
    """Return the picture and, beside it, the map over the picture in grey.

    pixels    uint8 [S, S, 3] or [S, S, 1]
    evidence  float32 [h, w]; its largest magnitude is drawn at full strength
    """
    import numpy as np
    from PIL import Image

    factor = max(1, -(-LEAST // len(pixels)))
    picture = Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[:, :, 0]).convert("RGB")
    side = picture.width * factor
    picture = picture.resize((side, side), Image.Resampling.NEAREST)
    largest = float(np.abs(evidence).max())
    share = evidence / largest if largest > 0 else np.zeros_like(evidence)
    smooth = Image.fromarray(share.astype(np.float32)).resize((side, side), Image.Resampling.BILINEAR)
    strength = np.asarray(smooth)[:, :, None]
    colours = [np.array([int(hue[i : i + 2], 16) for i in (1, 3, 5)], np.float32) for hue in (FOR, AGAINST)]
    colour = np.where(strength > 0, *colours)
    grey = np.asarray(picture.convert("L").convert("RGB"), np.float32)
    opacity = STRENGTH * np.abs(strength)
    over = Image.fromarray(np.round(grey * (1 - opacity) + colour * opacity).astype(np.uint8))
    both = Image.new("RGB", (2 * side + GAP, side), "white")
    both.paste(picture, (0, 0))
    both.paste(over, (side + GAP, 0))
    return both
