"""Groups hold every module once, in order; on nets they are what the paper's block says."""

import random

from torch import nn

from reslab.engines.grouping import groups
from reslab.nets.model import ADD, Block, build


def unrolled(chain):
    """The modules of the groups, in their order."""
    for group in groups(chain):
        yield from (m for m in (group.layer, group.norm, ADD if group.adds else None, group.relu) if m is not None)


def test_random_chains_are_kept_whole_and_in_order():
    draws = random.Random(5)
    for _ in range(500):
        kinds = (lambda: nn.Conv2d(1, 1, 1), lambda: nn.BatchNorm2d(1), lambda: ADD, nn.ReLU, nn.Tanh)
        chain = [draws.choice(kinds)() for _ in range(draws.randrange(9))]
        assert [*map(id, unrolled(chain))] == [*map(id, chain)]
        for one, other in zip(found := [*groups(chain)], found[1:], strict=False):
            follows = (nn.BatchNorm2d, nn.ReLU) if isinstance(one.layer, nn.Conv2d) or one.layer is None else ()
            if one.relu is None and not one.adds and one.norm is None and isinstance(one.layer, nn.Conv2d):
                assert other.layer is not None  # nothing that could have been taken along begins the next group
            if one.relu is None and follows:
                assert other.layer is not None or other.norm is not None or other.adds


def test_the_block_of_the_paper_is_two_groups():
    """F(x) = W2 σ(W1 x), y = σ(F(x) + x): both convolutions with BN and ReLU, the second added."""
    block = next(part for part in build("cifar_resnet8").modules() if isinstance(part, Block))
    first, second = groups(block.sequence())
    assert (first.adds, second.adds) == (False, True)
    for group in (first, second):
        assert isinstance(group.layer, nn.Conv2d)
        assert group.norm is not None
        assert group.relu is not None
