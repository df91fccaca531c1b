"""FxLSTM: quantiles of future log returns from a window of past daily log returns."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class FxLSTM(nn.Module):
    """Read a window of daily log returns, give quantiles of the log return over each horizon.

    `return_std` is the spread of a daily return in the training data. It is a buffer, so it is saved with the
    weights, and the network needs no scaler: it takes and gives log returns as they are.
    """

    horizon_std: Tensor
    return_std: Tensor

    def __init__(
        self,
        horizons: Sequence[int],
        quantiles: Sequence[float],
        hidden_size: int = 16,
        return_std: float = 1.0,
    ) -> None:
        super().__init__()
        self.horizons = list(horizons)
        self.quantiles = list(quantiles)
        self.lstm = nn.LSTM(input_size=1, hidden_size=hidden_size, batch_first=True)
        self.head = nn.Linear(hidden_size, len(self.horizons) * len(self.quantiles))
        self.register_buffer("return_std", torch.tensor(return_std))
        # A random walk spreads with the square root of time: this puts all horizons on one scale.
        self.register_buffer("horizon_std", torch.tensor(self.horizons, dtype=torch.float32).sqrt())

    def forward(self, returns: Tensor) -> Tensor:
        """Map (rows, days in the window) to (rows, horizons, quantiles), the lowest quantile first."""
        _, (state, _) = self.lstm((returns / self.return_std).unsqueeze(-1))
        outputs = self.head(state[-1]).view(-1, len(self.horizons), len(self.quantiles))
        outputs = outputs.sort(dim=-1).values  # quantiles never cross
        return outputs * self.return_std * self.horizon_std.view(1, -1, 1)


def pinball_loss(predicted: Tensor, actual: Tensor, quantiles: Sequence[float]) -> Tensor:
    """The loss whose minimum is the quantile (Koenker and Bassett, Econometrica 46, 1978), averaged.

    `predicted` is (rows, horizons, quantiles), `actual` is (rows, horizons).
    """
    levels = torch.tensor(quantiles)
    error = actual.unsqueeze(-1) - predicted
    return torch.maximum(levels * error, (levels - 1) * error).mean()
