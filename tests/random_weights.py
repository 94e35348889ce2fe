"""Reference models with random weights."""

import torch


def randomised(model: torch.nn.Module) -> torch.nn.Module:
    """Every parameter moved off its initial value, so that a forgotten bias or norm shows."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model.eval()
