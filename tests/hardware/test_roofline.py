"""Operations, bytes and roofs by hand; the columns' product against the library's; layers' shares."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from konvoi.errors import RecipeError
from konvoi.hardware.bandwidth import measure_copy, measure_triad
from konvoi.hardware.convolution import STAGES, convolution_cost
from konvoi.hardware.devices import (
    arithmetic,
    array_bytes,
    parse_thread_counts,
    precisions_of,
    thread_counts,
    with_threads,
)
from konvoi.hardware.layers import layer_cost, place_layers
from konvoi.hardware.measurement import Measurement, time_repeatedly
from konvoi.hardware.products import matrix_matrix_cost, matrix_vector_cost, product_by_columns
from konvoi.hardware.roofline import Roofline, roofline_of
from konvoi.models.build import build_network
from konvoi.models.summary import summarise
from konvoi.recipe import load_recipe
from konvoi.training.precision import Precision

CPU = torch.device("cpu")


def measured(operation: str, flop: int, moved: int, seconds: float, precision: str = "float32") -> Measurement:
    return Measurement(
        operation=operation,
        size="",
        device="cpu",
        threads=1,
        precision=precision,
        flop=flop,
        bytes=moved,
        seconds=seconds,
        fastest=0.9 * seconds,
        slowest=1.2 * seconds,
        samples=5,
    )


class TestProducts:
    @settings(max_examples=30, deadline=None)
    @given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 1000))
    def test_the_sum_of_columns_is_the_librarys_product(self, rows: int, columns: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        matrix = torch.randn((rows, columns), dtype=torch.float64, generator=generator)
        vector = torch.randn(columns, dtype=torch.float64, generator=generator)
        out = torch.full((rows,), torch.nan, dtype=torch.float64)
        product = product_by_columns(list(matrix.t()), vector.tolist(), out)
        assert product is out
        assert torch.allclose(product, matrix @ vector, rtol=1e-12, atol=1e-12)

    def test_an_example_by_hand(self) -> None:
        # (1 2; 3 4)·(5, 6) = 5·(1, 3) + 6·(2, 4)
        columns = [torch.tensor([1.0, 3.0]), torch.tensor([2.0, 4.0])]
        assert product_by_columns(columns, [5.0, 6.0], torch.empty(2)).tolist() == [17.0, 39.0]

    def test_costs_by_hand(self) -> None:
        assert matrix_vector_cost(3, 5, 4) == (30, (15 + 3 + 5) * 4)
        assert matrix_matrix_cost(2, 3, 4, 2) == (48, (6 + 12 + 8) * 2)
        # n³ in float32: 2n³ / 12n² = n / 6 operations a byte.
        flop, moved = matrix_matrix_cost(600, 600, 600, 4)
        assert flop / moved == 100.0


class TestConvolution:
    def test_cost_by_hand(self) -> None:
        # 2 images, 3 → 5 channels, 3×3 on 4×4: each of 2·5·16 outputs takes 27 multiply-adds.
        assert convolution_cost(2, 3, 5, 3, 4, 4) == (2 * 160 * 27, (2 * 16 * 8 + 5 * 3 * 9) * 4)

    def test_every_stage_costs_the_same_and_is_what_torch_counts(self) -> None:
        flops = {convolution_cost(2, channels, channels, 3, side, 4)[0] for channels, side in STAGES}
        assert len(flops) == 1
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            torch.nn.functional.conv2d(torch.zeros(2, 512, 7, 7), torch.zeros(512, 512, 3, 3), padding=1)
        assert {counter.get_total_flops()} == flops


class TestBandwidth:
    def test_bytes_by_hand_and_a_speed_that_follows_from_the_median(self) -> None:
        copy, triad = measure_copy(CPU, 4000, 0.01), measure_triad(CPU, 4000, 0.01)
        assert (copy.flop, copy.bytes) == (0, 8000)
        assert (triad.flop, triad.bytes) == (2000, 12000)
        assert triad.intensity == pytest.approx(1 / 6)
        assert triad.gigabytes == pytest.approx(12e-6 / triad.seconds)
        assert triad.gigaflops == pytest.approx(2e-6 / triad.seconds)
        assert triad.fastest <= triad.seconds <= triad.slowest

    def test_arrays_are_larger_than_caches(self) -> None:
        assert array_bytes(CPU) >= 64 << 20


class TestTiming:
    def test_two_calls_warm_up_and_the_median_is_between(self) -> None:
        calls = []
        timing = time_repeatedly(lambda: calls.append(0), CPU, 0.0)
        assert timing.samples == 5
        assert timing.fastest <= timing.median <= timing.slowest
        # Two warm up, one finds out how many make a sample; then five samples of as many calls each.
        assert (len(calls) - 3) % 5 == 0
        assert len(calls) > 8


class TestDevices:
    def test_thread_counts(self) -> None:
        assert thread_counts(1) == [1]
        assert thread_counts(2) == [1, 2]
        assert thread_counts(6) == [1, 2, 4, 6]
        assert thread_counts(8) == [1, 2, 4, 8]
        assert parse_thread_counts("4,1,1", 4) == [1, 4]

    @pytest.mark.parametrize("text", ["0", "1,x", "", "3"])
    def test_thread_counts_that_cannot_be(self, text: str) -> None:
        with pytest.raises(RecipeError, match="whole numbers from 1 to 2"):
            parse_thread_counts(text, 2)

    def test_threads_and_arithmetic_are_as_before_afterwards(self) -> None:
        before = torch.get_num_threads(), torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
        with with_threads(before[0] + 1), arithmetic("tf32") as dtype:
            assert dtype == torch.float32
            assert torch.get_num_threads() == before[0] + 1
            assert torch.backends.cuda.matmul.allow_tf32
        after = torch.get_num_threads(), torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
        assert after == before

    def test_each_precision_is_measured_or_left_out_with_a_reason(self) -> None:
        units, missing = precisions_of(CPU)
        assert "float32" in units
        assert "tf32" in missing
        assert sorted([*units, *missing]) == ["bfloat16", "float16", "float32", "tf32"]


class TestRoofline:
    def test_the_roof_is_the_fastest_of_each_by_hand(self) -> None:
        roof = roofline_of(
            [
                measured("copy", 0, 20_000_000_000, 2.0),
                measured("triad", 2, 12_000_000_000, 1.0),
                measured("matrix–vector, library", 90_000, 1, 1.0),
                measured("matrix–matrix", 100_000_000_000, 1, 1.0),
                measured("convolution 3×3", 240_000_000_000, 1, 2.0),
                measured("matrix–matrix", 480_000_000_000, 1, 1.0, "bfloat16"),
            ]
        )
        assert roof.bandwidth == 12e9
        assert roof.compute == {"float32": 120e9, "bfloat16": 480e9}
        assert roof.ridge("float32") == 10.0
        assert roof.attainable(1.0, "float32") == 12e9
        assert roof.attainable(10.0, "float32") == roof.attainable(1000.0, "float32") == 120e9
        assert roof.seconds(120e9, 1.0, "float32") == 1.0
        assert roof.seconds(1.0, 24e9, "float32") == 2.0

    @given(st.floats(1e-3, 1e4), st.floats(1.0, 1e12))
    def test_time_and_speed_are_one_statement(self, intensity: float, moved: float) -> None:
        roof = Roofline(bandwidth=25e9, compute={"float32": 300e9})
        seconds = roof.seconds(intensity * moved, moved, "float32")
        assert intensity * moved / seconds == pytest.approx(roof.attainable(intensity, "float32"))


class TestLayers:
    def test_costs_of_mnist_cnn_by_hand(self) -> None:
        summary = summarise(build_network(load_recipe("mnist-cnn"), (1, 28, 28), 10), (1, 28, 28))
        convolution, pool, relu, _, logits = summary.layers
        assert [layer.input_values for layer in summary.layers] == [784, 20 * 576, 2880, 2880, 2880]
        flop, moved = layer_cost(convolution, 3, 4)
        assert flop == 2 * 3 * 24 * 24 * 20 * 25
        assert moved == 4 * (3 * 784 + 3 * 20 * 24 * 24 + 520)
        assert layer_cost(pool, 1, 2) == (20 * 24 * 24, 2 * (20 * 24 * 24 + 20 * 12 * 12))
        assert layer_cost(relu, 1, 4) == (2880, 4 * 2 * 2880)
        assert layer_cost(logits, 2, 4) == (2 * 2 * 28_800, 4 * (2 * 2880 + 2 * 10 + 28_810))

    def test_a_normalisation_reads_twice(self) -> None:
        network = torch.nn.Sequential(torch.nn.BatchNorm2d(3))
        (layer,) = summarise(network, (3, 4, 5)).layers
        assert layer_cost(layer, 2, 4) == (6 * 120, 4 * (3 * 120 + 6))

    def test_every_layer_is_timed_and_shares_sum_to_one(self) -> None:
        recipe = load_recipe("digits-cnn")
        network = build_network(recipe, (1, 8, 8), 10)
        summary = summarise(network, (1, 8, 8))
        roof = Roofline(bandwidth=20e9, compute={"float32": 100e9})
        images = torch.zeros(16, 1, 8, 8)
        before = torch.nn.modules.module._global_forward_hooks
        placed = place_layers(network, summary, images, Precision("float32", ""), roof, passes=3, name="digits-cnn")
        assert torch.nn.modules.module._global_forward_hooks is before
        assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())
        assert [layer.name for layer in placed.layers] == [
            layer.name for layer in summary.layers if "Flatten" not in layer.kind
        ]
        assert sum(layer.flop for layer in placed.layers if layer.kind in ("convolution", "dense")) == (
            2 * 16 * summary.multiply_adds
        )
        assert all(0 < layer.seconds <= placed.seconds for layer in placed.layers)
        assert sum(layer.seconds for layer in placed.layers) <= placed.seconds
        for part in (0, 1):
            assert sum(pair[part] for pair in placed.shares().values()) == pytest.approx(1.0)
        first = placed.layers[0]
        assert first.predicted == roof.seconds(first.flop, first.bytes, "float32")

    def test_a_layer_that_runs_twice_is_timed_twice(self) -> None:
        network = build_network(
            load_recipe("mnist-cnn", ["network={kind: resnet, depth: 18}"]), (1, 32, 32), 10
        )  # its ReLUs run twice in each block
        summary = summarise(network, (1, 32, 32))
        placed = place_layers(
            network,
            summary,
            torch.zeros(2, 1, 32, 32),
            Precision("float32", ""),
            Roofline(bandwidth=1e10, compute={"float32": 1e11}),
            passes=1,
        )
        assert sum(layer.kind == "activation" for layer in placed.layers) == 1 + 8 * 2
