"""One thread, no account and no network for every test."""

from __future__ import annotations

import os

os.environ["WANDB_MODE"] = "disabled"
os.environ["OMP_NUM_THREADS"] = "1"

import torch

torch.set_num_threads(1)
