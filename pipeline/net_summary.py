"""What a net is made of: its parts, their outputs, parameters and floating-point operations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True)
class Part:
    """A module of a net, or a module inside one of these.

    Attributes:
        name: its path, as in the names of the weights: ``down.0``.
        kind: its class.
        output: what it returns for one picture, without the batch; () for a mere list of modules,
            None if it is never called.
        parameters: all within it.
        flops: operations within it for one picture.
    """

    name: str
    kind: str
    output: tuple[int, ...] | None
    parameters: int
    flops: int


@dataclass(frozen=True)
class Summary:
    """A net and its parts, each top-level one followed by those inside it.

    Attributes:
        parameters: of the whole net; ``uncalled``: how many of them are never called.
        bytes: of its parameters and buffers.
        flops: floating-point operations of one forward pass for one picture, 2 a multiply-add, of
            convolutions, matrix products and attention.
        conditional: whether it is told labels.
    """

    parts: list[Part]
    parameters: int
    uncalled: int
    bytes: int
    flops: int
    conditional: bool

    @property
    def top(self) -> list[Part]:
        """The top-level parts: their parameters sum to the net's."""
        return [part for part in self.parts if "." not in part.name]


@torch.no_grad()
def summarise(net: nn.Module, size: int, channels: int = 3) -> Summary:
    """Look at ``net`` for pictures of side ``size``.

    Shapes are all that is needed: on the device ``meta`` nothing is computed.
    """
    device = next(net.parameters()).device
    picture = torch.zeros(1, channels, size, size, device=device)
    label = torch.zeros(1, dtype=torch.int64, device=device)
    outputs: dict[str, tuple[int, ...]] = {}
    hooks = [
        module.register_forward_hook(_note(outputs, name)) for name, module in net.named_modules()
    ]
    training = net.training
    # Plain attention is two matrix products, which every version of torch counts.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        net.eval()(picture, torch.zeros(1, device=device), label)
    net.train(training)
    for hook in hooks:
        hook.remove()
    counts = counter.get_flop_counts()
    root = type(net).__name__
    tensors = [*net.parameters(), *net.buffers()]
    return Summary(
        [_part(name, module, outputs, counts, root) for name, module in _shown(net)],
        sum(p.numel() for p in net.parameters()),
        sum(
            p.numel()
            for name, module in net.named_modules()
            if name not in outputs
            for p in module.parameters(recurse=False)
        ),
        sum(tensor.numel() * tensor.element_size() for tensor in tensors),
        counter.get_total_flops(),
        bool(getattr(net, "conditional", True)),
    )


def _shown(net: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The modules of a net and those one level down, in order."""
    for name, module in net.named_children():
        yield name, module
        for inner, child in module.named_children():
            yield f"{name}.{inner}", child


def _part(
    name: str,
    module: nn.Module,
    outputs: dict[str, tuple[int, ...]],
    counts: dict[str, dict[Any, int]],
    root: str,
) -> Part:
    output = outputs.get(name, () if isinstance(module, nn.ModuleList) else None)
    inside = f"{root}.{name}"
    flops = sum(counts.get(inside, {}).values())
    if isinstance(module, nn.ModuleList):  # it is not called itself: what is in it is
        flops = sum(sum(counts.get(f"{inside}.{k}", {}).values()) for k in range(len(module)))
    return Part(
        name, type(module).__name__, output, sum(p.numel() for p in module.parameters()), flops
    )


def _note(outputs: dict[str, tuple[int, ...]], name: str) -> Any:
    """A hook that keeps the shape of what a module returns (of the first, if it is several)."""

    def hook(_module: nn.Module, _inputs: Any, output: Tensor | tuple[Tensor, ...]) -> None:
        first = output if isinstance(output, Tensor) else output[0]
        outputs[name] = tuple(first.shape[1:])

    return hook
