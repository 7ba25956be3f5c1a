import os
import signal
import stat
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from konvoi.errors import RunError, TrainingInterrupted
from konvoi.training.checkpoint import load_checkpoint, load_weights, save_checkpoint
from konvoi.training.interruption import SignalWatch
from konvoi.training.loop import Training

OPTIMISERS = (
    "optim={kind: sgd, lr: 0.1, momentum: 0.9, nesterov: true}",
    "optim={kind: adamw, lr: 0.01, weight_decay: 0.1}",
)


def stop_after(training: Training, steps: int) -> None:
    """Train until a SIGTERM that arrives in the given step has been obeyed."""
    inner = training._display.advance
    taken = iter(range(1, 10**6))

    def advance(samples: int) -> None:
        inner(samples)
        if next(taken) == steps:
            os.kill(os.getpid(), 15)

    training._display.advance = advance  # type: ignore[method-assign]
    with pytest.raises(TrainingInterrupted) as interruption:
        training.run()
    assert interruption.value.signal_number == 15


@pytest.mark.parametrize("optimiser", OPTIMISERS)
@pytest.mark.parametrize("steps", [1, 7, 12, 13, 30])
def test_a_stopped_training_ends_as_one_that_was_never_stopped(
    optimiser: str, steps: int, small_recipe, make_training
) -> None:
    recipe = small_recipe(
        optimiser,
        "budget.ema=0.9",
        "budget.keep=best",
        "input.augment={shift: 1, elastic: 1}",
        "schedule={kind: cosine}",
    )
    undisturbed, _ = make_training(recipe, "undisturbed")
    expected = undisturbed.run()

    stopped, _ = make_training(recipe, "stopped")
    stop_after(stopped, steps)
    resumed, _ = make_training(recipe, "stopped")
    resumed.restore()
    assert resumed.step == steps
    found = resumed.run()

    for ours, theirs in (
        (resumed.network, undisturbed.network),
        (resumed.evaluated_network, undisturbed.evaluated_network),
    ):
        state = theirs.state_dict()
        assert all(torch.equal(value, state[name]) for name, value in ours.state_dict().items())
    timeless = {"seconds", "samples_per_second"}
    assert [r.model_dump(exclude=timeless) for r in found.history] == [
        r.model_dump(exclude=timeless) for r in expected.history
    ]
    assert found.best_file == expected.best_file


def test_a_stop_at_the_last_step_of_an_epoch_still_validates_it(small_recipe, make_training) -> None:
    recipe = small_recipe("budget.epochs=1")
    stopped, _ = make_training(recipe)
    stop_after(stopped, 12)
    resumed, _ = make_training(recipe)
    resumed.restore()
    assert len(resumed.run().history) == 1


def test_the_restored_momentum_lies_in_memory_as_its_weights_do(small_recipe, make_training) -> None:
    recipe = small_recipe()
    make_training(recipe)[0].run()
    resumed, _ = make_training(recipe)
    resumed.restore()
    for parameter, state in resumed.optimiser.state.items():
        assert state["momentum_buffer"].stride() == parameter.stride()


def test_a_checkpoint_is_plain_safetensors_that_any_tool_reads(small_recipe, make_training, tmp_path: Path) -> None:
    training, _ = make_training(small_recipe("budget.epochs=1", "budget.ema=0.9"))
    training.run()
    tensors = load_file(tmp_path / "checkpoints" / "last.safetensors")
    assert torch.equal(tensors["network/conv1.weight"], training.network.state_dict()["conv1.weight"])
    assert {name.split("/")[0] for name in tensors} == {"network", "average", "optimiser"}


def test_a_damaged_or_missing_checkpoint_is_named(small_recipe, make_training, tmp_path: Path) -> None:
    training, _ = make_training(small_recipe("budget.epochs=1"))
    with pytest.raises(RunError, match=r"There is no checkpoint .*last\.safetensors"):
        training.restore()
    training.run()
    file = tmp_path / "checkpoints" / "last.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(RunError, match=r"The checkpoint .*last\.safetensors is damaged"):
        training.restore()


def test_a_checkpoint_of_something_else_is_refused(small_recipe, make_training, tmp_path: Path) -> None:
    recipe = small_recipe("budget.epochs=1")
    make_training(recipe)[0].run()
    other, _ = make_training(small_recipe("budget.epochs=2"))
    with pytest.raises(RunError, match="The recipe was changed since"):
        other.restore()
    file = tmp_path / "checkpoints" / "last.safetensors"
    save_file({"a": torch.ones(1)}, file)
    with pytest.raises(RunError, match="damaged or of another version"):
        make_training(recipe)[0].restore()


def test_weights_of_another_network_are_refused_by_name_and_shape(small_recipe, make_training) -> None:
    training, _ = make_training(small_recipe())
    weights = training.network.state_dict()
    with pytest.raises(RunError, match=r"conv1\.weight is \(3, 1, 3, 3\), expected \(8, 1, 3, 3\)"):
        load_weights(training.network, weights | {"conv1.weight": torch.ones(3, 1, 3, 3)}, Path("here"))
    weights.pop("logits.bias")
    with pytest.raises(RunError, match=r"logits\.bias is nothing, expected \(10,\)"):
        load_weights(training.network, weights, Path("here"))


def test_what_a_killed_writer_left_is_removed_on_resuming(small_recipe, make_training, tmp_path: Path) -> None:
    recipe = small_recipe("budget.epochs=1")
    make_training(recipe)[0].run()
    leftover = tmp_path / "checkpoints" / ".last.safetensors.999.part"
    leftover.write_bytes(b"half")
    make_training(recipe)[0].restore()
    assert not leftover.exists()


@pytest.fixture
def small_disk(tmp_path: Path):
    """A folder on a file system of 300 kB; only root can make one."""
    folder = tmp_path / "small"
    folder.mkdir()
    if os.geteuid() != 0 or os.system(f"mount -t tmpfs -o size=300k tmpfs {folder} 2>/dev/null") != 0:
        pytest.skip("mounting a small file system needs root and the right to mount")
    yield folder
    os.system(f"umount {folder}")


def test_a_full_disk_leaves_the_checkpoint_before(small_disk: Path, small_recipe, make_training) -> None:
    training, _ = make_training(small_recipe())
    tensors = {"network/a": torch.ones(50_000)}
    save_checkpoint(small_disk, tensors, training.progress)
    with pytest.raises(RunError, match=r"cannot be written: .*The checkpoint before it is untouched"):
        save_checkpoint(small_disk, {"network/a": torch.zeros(50_000)}, training.progress)
    assert torch.equal(load_checkpoint(small_disk)[0]["network/a"], torch.ones(50_000))
    assert len(list(small_disk.iterdir())) == 1, "no part of a file is left behind"


def test_an_unwritable_folder_is_an_error_before_the_first_step(small_recipe, make_training, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    training, _ = make_training(small_recipe())
    (tmp_path / "checkpoints").chmod(stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises(RunError, match="cannot be written"):
        training.run()
    assert training.step == 0


def test_a_second_signal_is_not_swallowed() -> None:
    # A process that was started in the background of a shell ignores this signal from the start.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with SignalWatch() as signals:
        os.kill(os.getpid(), 2)
        assert signals.received == 2
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), 2)
    signal.signal(signal.SIGINT, before)
