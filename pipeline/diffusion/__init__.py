"""Schedules, denoiser, losses, samplers: the mathematics, without files or devices.

One vocabulary for every process. Pictures ``x0`` lie in [-1, 1], ``eps`` is unit Gaussian noise,
and

    x_sigma = x0 + sigma * eps

is a noisy picture at noise level ``sigma``. A DDPM is the same process in other units: its
x_t = sqrt(alpha_bar) x0 + sqrt(1 - alpha_bar) eps equals x_sigma / sqrt(1 + sigma^2) for
sigma^2 = (1 - alpha_bar) / alpha_bar. Samplers therefore know sigma alone, and any of them works
with any schedule, objective and net.
"""
