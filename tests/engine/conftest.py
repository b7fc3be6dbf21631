"""Settings of the engine's tests."""

import torch

torch.set_num_threads(1)  # tiny tensors: a second thread only waits
