"""Several processes that train one network: who they are, how they meet, how they are started.

The engine is PyTorch's own (torch.distributed and its elastic agent). What a rank does with its samples is in `data`
and `training`.
"""
