"""Plain PyTorch: the two-convolution network of its MNIST example, with a DataLoader, in its idiom and settings.

    python benchmarks/peers/pytorch_example.py throughput|accuracy --data-dir FOLDER

Prints one JSON line. `throughput`: samples/s of the second epoch, with Adam as the others use. `accuracy`: seconds of
training until an epoch ends with 99.0 % on the test set, with the example's Adadelta and its schedule; evaluation is
not counted. The data set normalises sample by sample, as transforms do, but without their detour over Pillow, which
would make it slower.
"""

from __future__ import annotations

import argparse
import gzip
import json
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn, optim
from torch.optim.lr_scheduler import StepLR
from torch.utils.data import DataLoader, Dataset

MOST_EPOCHS = 14


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3, 1)
        self.conv2 = nn.Conv2d(32, 64, 3, 1)
        self.dropout1 = nn.Dropout(0.25)
        self.dropout2 = nn.Dropout(0.5)
        self.fc1 = nn.Linear(9216, 128)
        self.fc2 = nn.Linear(128, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.conv1(x))
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = torch.flatten(self.dropout1(x), 1)
        x = self.dropout2(F.relu(self.fc1(x)))
        return F.log_softmax(self.fc2(x), dim=1)


class Mnist(Dataset):
    def __init__(self, folder: Path, part: str) -> None:
        self.images = torch.from_numpy(read_idx(folder / f"{part}-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28))
        self.labels = torch.from_numpy(read_idx(folder / f"{part}-labels-idx1-ubyte.gz", 8).astype(np.int64))

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        image = self.images[index].unsqueeze(0).to(torch.float32).div(255)
        return (image - 0.1307) / 0.3081, int(self.labels[index])


def read_idx(path: Path, header: int) -> np.ndarray:
    with gzip.open(path) as file:
        return np.frombuffer(bytearray(file.read()), np.uint8, offset=header)


def train(model: nn.Module, loader: DataLoader, optimizer: optim.Optimizer) -> None:
    model.train()
    for data, target in loader:
        optimizer.zero_grad()
        loss = F.nll_loss(model(data), target)
        loss.backward()
        optimizer.step()


@torch.no_grad()
def test(model: nn.Module, loader: DataLoader) -> float:
    model.eval()
    correct = sum(int((model(data).argmax(dim=1) == target).sum()) for data, target in loader)
    return correct / len(loader.dataset)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("question", choices=["throughput", "accuracy"])
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    train_loader = DataLoader(Mnist(arguments.data_dir, "train"), batch_size=64, shuffle=True)
    test_loader = DataLoader(Mnist(arguments.data_dir, "t10k"), batch_size=1000)
    model = Net()
    throughput = arguments.question == "throughput"
    optimizer = optim.Adam(model.parameters()) if throughput else optim.Adadelta(model.parameters(), lr=1.0)
    scheduler = StepLR(optimizer, step_size=1, gamma=0.7)
    seconds, accuracies = [], []
    for _ in range(2 if throughput else MOST_EPOCHS):
        started = time.perf_counter()
        train(model, train_loader, optimizer)
        scheduler.step()
        seconds.append(time.perf_counter() - started)
        if not throughput:
            accuracies.append(test(model, test_loader))
            if accuracies[-1] >= 0.99:
                break
    print(
        json.dumps(
            {
                "peer": f"PyTorch {torch.__version__}, its MNIST example",
                "samples_per_second": len(train_loader.dataset) / seconds[-1],
                "seconds": sum(seconds),
                "epochs": len(seconds),
                "accuracy": accuracies[-1] if accuracies else None,
            }
        )
    )


if __name__ == "__main__":
    main()
