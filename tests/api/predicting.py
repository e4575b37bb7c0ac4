"""`predict` as the tests of its images call it."""

import reslab

PLAIN = {"threads": 1, "device": "cpu", "precision": "fp32"}
ALONE = {**PLAIN, "batch": 1}  # other members of a batch may change the last bits


def shares(model, images, **how):
    return [dict(one.classes) for one in reslab.predict(model, images, **{**ALONE, **how})]


def names(model, images, **how):
    return [one.file for one in reslab.predict(model, images, **{**ALONE, **how})]
