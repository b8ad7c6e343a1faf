"""lucidrains' Trainer and the loop of diffusers' unconditional example, as contenders.

Both are imported where they are wanted, so that the bench runs without them.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from training_parts.ours import Trained, facts, theirs
from training_parts.race import TORCH
from training_parts.seed004 import FromFiles, T, endlessly, picture_loader
from training_parts.sizes import cost

LUCIDRAINS, DIFFUSERS = "denoising_diffusion_pytorch", "diffusers"


def find(folder: Path | None) -> tuple[dict[str, Any], list[str]]:
    """The peers that are here, by name, and a line about each that is not.

    Args:
        folder: also looked into, after the machine's own packages (``pip install --target``).
    """
    if folder is not None:
        sys.path.append(str(folder.resolve()))
    found, lines = {}, []
    for name in (LUCIDRAINS, DIFFUSERS):
        try:
            found[name] = importlib.import_module(name)
        except ImportError as error:
            lines.append(f"{name} takes no part: {error}")
    return found, lines


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """What a peer prints goes nowhere; it still pays for printing it."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


# --------------------------------------------------------------------------- lucidrains


def lucidrains_unet(module: Any, width: int) -> nn.Module:
    """The net of its README at another width."""
    with quiet():
        return module.Unet(dim=width, dim_mults=(1, 2, 4, 8), flash_attn=True)


class Lucidrains:
    """Its Trainer as its README drives it: mixed precision on a GPU, its own rate and average.

    Grids, saves and FID are put off beyond the end. Its workers read on while others train.

    Args:
        accumulate: parts of ``batch`` in a step; sampling: steps of DDIM, its README's 250.
    """

    tf32 = TORCH

    def __init__(
        self,
        name: str,
        module: Any,
        data: Trained,
        batch: int,
        width: int,
        steps: int,
        accumulate: int = 1,
        sampling: int = 250,
    ) -> None:
        self.name, self.steps, self.images = name, steps, batch * accumulate
        if data.device.type == "cpu":
            os.environ["ACCELERATE_USE_CPU"] = "true"
        mixed = data.device.type == "cuda"
        torch.manual_seed(0)
        folder = data.work / "lucidrains"
        folder.mkdir(parents=True, exist_ok=True)
        with quiet():
            diffusion = module.GaussianDiffusion(
                lucidrains_unet(module, width),
                image_size=data.size,
                timesteps=T,
                sampling_timesteps=sampling,
            )
            self.trainer = module.Trainer(
                diffusion,
                str(data.folder),
                train_batch_size=batch,
                train_lr=8e-5,
                train_num_steps=0,
                gradient_accumulate_every=accumulate,
                ema_decay=0.995,
                amp=mixed,
                save_and_sample_every=10**12,
                results_folder=str(folder),
                calculate_fid=False,
            )
        counted = cost(theirs(lambda: lucidrains_unet(module, width)), data.size)
        self.facts = facts(counted, self.images, "fp16 amp" if mixed else "fp32")

    def advance(self) -> int:
        self.trainer.train_num_steps = self.trainer.step + self.steps
        with quiet():
            self.trainer.train()
        return self.steps * self.images


# --------------------------------------------------------------------------- diffusers


def diffusers_unet(module: Any, width: int, size: int) -> nn.Module:
    """The example's net at another width: six levels, attention at the fifth."""
    plain_down, plain_up = "DownBlock2D", "UpBlock2D"
    return module.UNet2DModel(
        sample_size=size,
        in_channels=3,
        out_channels=3,
        layers_per_block=2,
        block_out_channels=tuple(width * k for k in (1, 1, 2, 2, 4, 4)),
        norm_num_groups=math.gcd(32, width),
        down_block_types=(*[plain_down] * 4, "AttnDownBlock2D", plain_down),
        up_block_types=(plain_up, "AttnUpBlock2D", *[plain_up] * 4),
    )


class Diffusers(FromFiles):
    """The loop of its unconditional example: AdamW, cosine rate after a warm-up, clipped gradients,
    ``EMAModel`` and ``.item()`` at every step, pictures from files without workers.

    Args:
        mixed: bf16 autocast; its README's command trains in fp32.
    """

    def __init__(
        self,
        name: str,
        module: Any,
        data: Trained,
        batch: int,
        width: int,
        steps: int,
        mixed: bool = False,
    ) -> None:
        from diffusers.optimization import get_scheduler
        from diffusers.training_utils import EMAModel

        self.name, self.device, self.batch, self.steps = name, data.device, batch, steps
        torch.manual_seed(0)
        self.net = diffusers_unet(module, width, data.size).to(data.device).train()
        self.noise = module.DDPMScheduler(num_train_timesteps=T, beta_schedule="linear")
        self.average = EMAModel(
            self.net.parameters(),
            decay=0.9999,
            use_ema_warmup=True,
            inv_gamma=1.0,
            power=0.75,
            model_cls=module.UNet2DModel,
            model_config=self.net.config,
        )
        self.average.to(data.device)
        self.optimizer = torch.optim.AdamW(
            self.net.parameters(), lr=1e-4, betas=(0.95, 0.999), weight_decay=1e-6, eps=1e-8
        )
        self.rate = get_scheduler(
            "cosine", self.optimizer, num_warmup_steps=500, num_training_steps=10**6
        )
        self.batches = endlessly(picture_loader(data.folder, data.size, batch))
        self.autocast = torch.autocast(data.device.type, torch.bfloat16, enabled=mixed)
        counted = cost(theirs(lambda: diffusers_unet(module, width, data.size)), data.size)
        self.facts = facts(counted, batch, "bf16" if mixed else "fp32")

    def _step(self) -> float:
        x0, eps, t = self._drawn()
        with self.autocast:
            output = self.net(self.noise.add_noise(x0, eps, t), t).sample
            loss = F.mse_loss(output.float(), eps)
        loss.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.optimizer.step()
        self.rate.step()
        self.optimizer.zero_grad()
        self.average.step(self.net.parameters())
        return loss.item()
