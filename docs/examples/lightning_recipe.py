"""Lightning: the guard is a member of the module, its penalty a term of the loss."""

from __future__ import annotations

import lightning
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import jensen


class ConvexRegression(lightning.LightningModule):
    """Fit a module, keep it convex on a domain, stop at the proof."""

    def __init__(self, module: nn.Module, domain: jensen.Domain) -> None:
        super().__init__()
        self.module = module
        self.guard = jensen.learning.ConvexityGuard(module, domain)
        self.verdict: jensen.Verdict | None = None

    def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], _: int) -> torch.Tensor:
        """Return the squared error and the penalty."""
        x, y = batch
        return (self.module(x) - y).square().mean() + 3.0 * self.guard.penalty()

    def on_train_epoch_end(self) -> None:
        """Verify every tenth epoch; what refutes the module is remembered by the guard."""
        if self.current_epoch % 10 == 9 and self.guard.search() >= 0:
            self.verdict = self.guard.verify(time_limit=60)
            self.trainer.should_stop = self.verdict.status == "convex"

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the optimizer of the module."""
        return torch.optim.Adam(self.module.parameters(), lr=3e-3)


def main(epochs: int = 200) -> ConvexRegression:
    """Fit ``|x| + |y|`` on a thousand points."""
    lightning.seed_everything(0)
    x = 2 * torch.rand(1024, 2) - 1
    loader = DataLoader(TensorDataset(x, x.abs().sum(1, keepdim=True)), 128, shuffle=True)
    module = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 1))
    model = ConvexRegression(module, jensen.Box(-1, 1))
    trainer = lightning.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, loader)
    print(model.verdict.summary if model.verdict is not None else "not verified yet")
    return model


if __name__ == "__main__":
    main()
