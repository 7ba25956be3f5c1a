"""Keras 3 on TensorFlow: the two-convolution MNIST convnet of its documentation, in its idiom and with its settings.

    python benchmarks/peers/keras_convnet.py throughput|accuracy --data-dir FOLDER

Prints one JSON line. `throughput`: samples/s of the second epoch. `accuracy`: seconds of training until an epoch
ends with 99.0 % on the test set; evaluation is not counted, and the documentation's validation split is left out, so
that the figure is a lower bound.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import numpy as np
from keras import layers

MOST_EPOCHS = 30


def read_idx(path: Path, header: int) -> np.ndarray:
    with gzip.open(path) as file:
        return np.frombuffer(file.read(), np.uint8, offset=header)


def load(folder: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    images = read_idx(folder / f"{part}-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28, 1)
    labels = read_idx(folder / f"{part}-labels-idx1-ubyte.gz", 8)
    return images.astype("float32") / 255, keras.utils.to_categorical(labels, 10)


def build() -> keras.Model:
    model = keras.Sequential(
        [
            keras.Input(shape=(28, 28, 1)),
            layers.Conv2D(32, kernel_size=(3, 3), activation="relu"),
            layers.MaxPooling2D(pool_size=(2, 2)),
            layers.Conv2D(64, kernel_size=(3, 3), activation="relu"),
            layers.MaxPooling2D(pool_size=(2, 2)),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(loss="categorical_crossentropy", optimizer="adam", metrics=["accuracy"])
    return model


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("question", choices=["throughput", "accuracy"])
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    keras.utils.set_random_seed(arguments.seed)
    images, labels = load(arguments.data_dir, "train")
    test_images, test_labels = load(arguments.data_dir, "t10k")
    model = build()
    seconds = []
    accuracies = []
    for _ in range(2 if arguments.question == "throughput" else MOST_EPOCHS):
        started = time.perf_counter()
        model.fit(images, labels, batch_size=128, epochs=1, verbose=0)
        seconds.append(time.perf_counter() - started)
        if arguments.question == "accuracy":
            accuracies.append(model.evaluate(test_images, test_labels, batch_size=500, verbose=0)[1])
            if accuracies[-1] >= 0.99:
                break
    print(
        json.dumps(
            {
                "peer": f"Keras {keras.__version__} on TensorFlow",
                "samples_per_second": len(images) / seconds[-1],
                "seconds": sum(seconds),
                "epochs": len(seconds),
                "accuracy": accuracies[-1] if accuracies else None,
            }
        )
    )


if __name__ == "__main__":
    main()
