"""Several processes that train one network: `torchrun --nproc-per-node 4 -m sleeplib train ...`."""

import os

import torch
from torch import Tensor, distributed, nn


def here() -> tuple[int, int]:
    """Rank of this process, and how many there are; joins them if `torchrun` started several."""
    started = all(os.environ.get(key) for key in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR"))
    if started and int(os.environ["WORLD_SIZE"]) > 1 and not distributed.is_initialized():
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    return (distributed.get_rank(), distributed.get_world_size()) if distributed.is_initialized() else (0, 1)


def leave() -> None:
    """End the company of processes, if there is one."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


def total(x: Tensor) -> Tensor:
    """Sum of the processes' tensors."""
    if distributed.is_initialized():
        distributed.all_reduce(x)
    return x


def count(n: int, device) -> int:
    """Sum of the processes' numbers."""
    return int(total(torch.tensor(n, device=device))) if distributed.is_initialized() else n


class _Total(torch.autograd.Function):
    """`total` with its gradient, which is the sum of the processes' gradients."""

    @staticmethod
    def forward(context, x: Tensor) -> Tensor:
        return total(x.clone())

    @staticmethod
    def backward(context, gradient: Tensor) -> Tensor:
        return total(gradient.clone())


class GlobalBatchNorm(nn.BatchNorm1d):
    """Batch normalisation by the rows of all processes.

    torch's SyncBatchNorm does the same, but knows GPUs only. The variance is that of differences from the common
    mean, as in a single process.
    """

    def forward(self, x: Tensor) -> Tensor:
        """`(B, F)` or `(B, F, T)`, normalised by mean and variance over all other axes and all processes."""
        if not self.training:
            return super().forward(x)
        with torch.autocast(x.device.type, enabled=False):
            # Sums over millions of rows are no numbers for bfloat16.
            return self._normalised(x.float() if x.dtype in (torch.bfloat16, torch.float16) else x).to(
                x.dtype
            )

    def _normalised(self, x: Tensor) -> Tensor:
        axes, shape = [axis for axis in range(x.dim()) if axis != 1], [1, -1] + [1] * (x.dim() - 2)
        n = total(x.new_tensor(x.numel() / x.shape[1]))
        mean = _Total.apply(x.sum(axes)) / n
        centred = x - mean.view(shape)
        variance = _Total.apply(centred.square().sum(axes)) / n
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * n / (n - 1), self.momentum)
        scale = self.weight * (variance + self.eps).rsqrt()
        return centred * scale.view(shape) + self.bias.view(shape)


def synchronise(network: nn.Module) -> nn.Module:
    """Make a network's batch normalisation one of all processes; its parameters and their names stay."""
    for layer in network.modules():
        if type(layer) is nn.BatchNorm1d:
            layer.__class__ = GlobalBatchNorm
    return network
