"""Scores of the raw outputs of a recording."""

import numpy as np

from recompute_report import Near

# 64 bits of mantissa where the processor has them, so that this is more exact than what it checks.
LD = np.longdouble
INFORMATIVE = 1e-4
DIGITS = 4
OF_SOFTMAX = {"softmax", "log-probability"}
OF_LOGITS = OF_SOFTMAX | {"sigmoid", "positive-logit"}
MULTI_LABEL = {"sigmoid", "independent"}
NO_PROBABILITIES = {"class-ids", "raw"}


class Answer:
    """An output, read as its model says. `x` is what classes rank by, `p` the scores."""

    def __init__(self, raw, interpretation, top):
        self.scoring = interpretation["scoring"]
        values = np.array([np.nan if value is None else value for value in raw], dtype=np.float64).astype(np.float32)
        if quantization := interpretation["quantization"]:
            scale, zero = float(np.float32(quantization["scale"])), quantization["zero_point"]
            values = (scale * (values.astype(np.float64) - zero)).astype(np.float32)
        self.not_finite = int(np.count_nonzero(~np.isfinite(values)))
        self.finite = self.not_finite == 0
        self.top, self.scores_of_top, self.of = [], [], 0
        if not self.finite:
            return
        one = np.float32(1)
        if self.scoring == "positive-logit":
            values = np.array([-values[0], values[0]], dtype=np.float32)
        elif self.scoring == "positive-probability":
            values = np.array([one - values[0], values[0]], dtype=np.float32)
        self.x = values
        exact = values.astype(LD)
        if self.scoring in ("softmax", "log-probability"):
            powers = np.exp(exact - exact.max())
            self.p = powers / powers.sum()
        elif self.scoring in ("sigmoid", "positive-logit"):
            self.p = 1 / (1 + np.exp(-exact))
        elif self.scoring == "positive-probability":
            self.p = np.array([1 - exact[1], exact[1]])
        else:
            self.p = exact
        if self.scoring == "class-ids":
            self.top = [int(value) for value in values[:top]]
            self.scores_of_top = [1.0] * len(self.top)
        else:
            # Descending, then by class id.
            self.top = [int(c) for c in np.lexsort((np.arange(len(values)), -values.astype(np.float64)))[:top]]
            self.scores_of_top = [float(np.float32(self.p[c])) for c in self.top]

    def informative(self):
        low, high = float(self.x.min()), float(self.x.max())
        return len(self.x) == 1 or high - low > INFORMATIVE * max(abs(low), abs(high))

    def printed(self):
        return [f"{score:.{DIGITS}f}" for score in self.scores_of_top]

    def best(self):
        # Shown as the 32-bit number.
        return {"class_id": self.top[0], "score": Near(self.scores_of_top[0], 0, relative=1.2e-7)}


def is_distribution(scoring):
    return scoring not in NO_PROBABILITIES and scoring not in MULTI_LABEL


def basis_of(one, other):
    if "class-ids" in (one, other):
        return "class-ids"
    if "raw" in (one, other):
        return "outputs"
    same = one == other or {one, other} <= OF_SOFTMAX
    return "logits" if same and one in OF_LOGITS else "probabilities"
