"""Traces written by hand, and what becomes of every microsecond of them; on a processor and on a GPU."""

from itertools import pairwise
from typing import Any

import pytest

from konvoi.timeline.operators import BETWEEN, CONVERSIONS, CONVOLUTION, ELEMENTS, FORMATS, KINDS, kind_of, operator_of
from konvoi.timeline.recording import Recording
from konvoi.timeline.slices import PHASES, Slice, slices_of
from konvoi.timeline.summary import median_step, summarise_slices
from konvoi.timeline.trace import Span, stretches


def event(
    name: str, start: float, end: float, category: str = "cpu_op", thread: object = 1, **arguments: int
) -> dict[str, Any]:
    return {
        "ph": "X", "cat": category, "name": name, "ts": start, "dur": end - start, "pid": 1, "tid": thread,
        "args": arguments,
    }  # fmt: skip


def mark(name: str, start: float, end: float) -> dict[str, Any]:
    return event(name, start, end, "user_annotation")


def one_step(beginning: float = 0.0) -> list[dict[str, Any]]:
    """100 µs of data, then a step of 900: the parts of a real one, each of a length of its own."""
    autograd = "autograd::engine::evaluate_function: "
    steps = [
        mark("konvoi: data", 0, 100),
        event("aten::index_select", 20, 90),
        mark("konvoi: step", 100, 1000),
        mark("Optimizer.zero_grad#SGD.zero_grad", 110, 120),
        event("aten::conv2d", 130, 230),
        event("aten::_to_copy", 140, 160),
        event("aten::copy_", 142, 160),
        event("aten::mkldnn_convolution", 160, 230),
        event("aten::empty", 165, 170),
        event("aten::relu", 240, 300),
        mark("konvoi: loss", 310, 350),
        event("aten::cross_entropy_loss", 315, 345),
        event("aten::mul", 355, 360),
        event(autograd + "ReluBackward0", 400, 450),
        event("aten::threshold_backward", 405, 450),
        event(autograd + "ConvolutionBackward0", 460, 700),
        event("aten::convolution_backward", 465, 700),
        mark("Optimizer.step#SGD.step", 750, 900),
        event("aten::_foreach_add_", 760, 890),
        event("aten::lerp", 920, 930),
    ]
    return [entry | {"ts": entry["ts"] + beginning} for entry in steps]


def trace(*events: dict[str, Any]) -> dict[str, Any]:
    return {"traceEvents": [{"ph": "M", "name": "process_name"}, *events]}


def recording(content: dict[str, Any]) -> Recording:
    return Recording(
        trace=content, seconds=0.0008, device="cpu", precision="float32", best_precision="float32", threads=1, batch=8,
        ranks=1,
    )  # fmt: skip


def sums(slices: list[Slice], field: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for entry in slices:
        found[getattr(entry, field)] = found.get(getattr(entry, field), 0.0) + entry.duration
    return found


class TestStretches:
    def test_nested_spans_cut_time_without_gaps(self) -> None:
        cut = stretches([Span("a", 0, 10, 1), Span("b", 2, 5, 1), Span("c", 3, 4, 1), Span("d", 12, 13, 1)])
        assert [(piece.start, piece.end, piece.stack) for piece in cut] == [
            (0, 2, ("a",)), (2, 3, ("a", "b")), (3, 4, ("a", "b", "c")), (4, 5, ("a", "b")), (5, 10, ("a",)),
            (10, 12, ()), (12, 13, ("d",)),
        ]  # fmt: skip

    def test_an_end_that_was_rounded_past_the_span_around_it(self) -> None:
        cut = stretches([Span("a", 0, 10, 1), Span("b", 8, 10.001, 1), Span("c", 10.0005, 12, 1)])
        assert cut[-1].stack == ("c",)
        assert sum(piece.end - piece.start for piece in cut) == pytest.approx(12)


class TestOperators:
    @pytest.mark.parametrize(
        ("stack", "kind"),
        [
            (("konvoi: step",), BETWEEN),
            (("konvoi: step", "aten::conv2d", "aten::mkldnn_convolution", "aten::empty"), CONVOLUTION),
            (("aten::conv2d", "aten::contiguous", "aten::clone", "aten::copy_"), FORMATS),
            (("aten::conv2d", "aten::to", "aten::_to_copy", "aten::copy_"), CONVERSIONS),
            (("aten::conv2d", "aten::to", "aten::_to_copy", "aten::empty_strided"), CONVERSIONS),
            (("aten::conv2d", "aten::copy_"), FORMATS),
            (("autograd::engine::evaluate_function: AddBackward0", "aten::add_"), ELEMENTS),
            (("aten::batch_norm", "aten::native_batch_norm"), "normalisation"),
            (("aten::max_pool2d_with_indices_backward",), "pooling"),
            (("aten::addmm",), "dense products"),
        ],
    )
    def test_the_innermost_operator_that_has_a_kind_decides(self, stack: tuple[str, ...], kind: str) -> None:
        assert kind_of(stack) == kind

    def test_the_operator_of_a_table(self) -> None:
        assert operator_of(("aten::conv2d", "aten::mkldnn_convolution", "aten::empty")) == "aten::mkldnn_convolution"
        assert operator_of(("konvoi: step",)) is None


class TestProcessor:
    def test_every_microsecond_by_hand(self) -> None:
        slices = slices_of(trace(*one_step()))
        assert sums(slices, "phase") == {
            "data": 100,
            # 100–110 before zero_grad, and 900–1000 after the optimiser's step.
            "rest": 10 + 100,
            # zero_grad; the step; and what one rank does between the backward pass and the step.
            "optimiser": 10 + 150 + 50,
            "forward": 190,
            "loss": 40,
            "backward": 350,
        }
        assert sums(slices, "kind") == {
            "data": 100,
            "optimiser": 210,
            "loss": 40,
            "convolution": 10 + 70 + 240,
            "conversions of precision": 20,
            "activation": 60 + 50,
            "sums and other work value by value": 5,
            # 100–110, 120–130, 230–240, 300–310, 350–355, 360–400, 450–460, 900–1000; lerp has no kind.
            "between operators": 10 + 10 + 10 + 10 + 5 + 40 + 10 + 100,
        }

    def test_slices_have_no_gaps_and_sum_to_the_whole(self) -> None:
        slices = slices_of(trace(*one_step(), *one_step(1010)))
        assert all(one.end == two.start for one, two in pairwise(slices))
        assert sum(entry.duration for entry in slices) == 2010
        assert {entry.phase for entry in slices} <= set(PHASES)
        assert {entry.kind for entry in slices} <= set(KINDS)
        assert {entry.step for entry in slices} == {0, 1}

    def test_several_ranks_wait_between_backward_and_optimiser(self) -> None:
        averaging = mark("konvoi: average over ranks", 905, 915)
        phases = sums(slices_of(trace(*one_step(), averaging), several_ranks=True), "phase")
        assert phases["communication"] == 50 + 10
        assert phases["optimiser"] == 160

    def test_micro_batches_go_forward_again_after_backward(self) -> None:
        autograd = "autograd::engine::evaluate_function: MulBackward0"
        slices = slices_of(
            trace(
                mark("konvoi: data", 0, 10),
                mark("konvoi: step", 10, 100),
                mark("konvoi: loss", 20, 25),
                event(autograd, 30, 40),
                mark("konvoi: loss", 60, 65),
                event(autograd, 70, 80),
                mark("Optimizer.step#SGD.step", 85, 100),
            )
        )
        assert sums(slices, "phase") == {
            "data": 10, "forward": 10 + 20, "loss": 10, "backward": 5 + 10 + 5 + 10, "optimiser": 5 + 15
        }  # fmt: skip

    def test_a_trace_without_marks_is_refused(self) -> None:
        with pytest.raises(ValueError, match="konvoi: step"):
            slices_of(trace(event("aten::add", 0, 1)))


class TestGpu:
    def content(self) -> dict[str, Any]:
        """The processor is done at 100; kernels run later, and the last one until 260."""
        autograd = "autograd::engine::evaluate_function: ConvolutionBackward0"
        return trace(
            mark("konvoi: data", 0, 20),
            event("cudaMemcpyAsync", 10, 12, "cuda_runtime", correlation=1),
            mark("konvoi: step", 20, 100),
            event("aten::conv2d", 30, 40),
            event("cudaLaunchKernel", 35, 36, "cuda_runtime", correlation=2),
            mark("konvoi: loss", 45, 50),
            # The backward pass has a thread of its own.
            event(autograd, 55, 75, thread=2),
            event("aten::convolution_backward", 56, 74, thread=2),
            event("cudaLaunchKernel", 60, 61, "cuda_runtime", thread=2, correlation=3),
            event("cudaLaunchKernel", 70, 71, "cuda_runtime", thread=2, correlation=4),
            mark("Optimizer.step#SGD.step", 80, 95),
            event("aten::_foreach_add_", 82, 94),
            event("cudaLaunchKernel", 85, 86, "cuda_runtime", correlation=5),
            event("Memcpy HtoD (Pinned -> Device)", 15, 25, "gpu_memcpy", thread=7, correlation=1),
            event("implicit_gemm", 40, 100, "kernel", thread=7, correlation=2),
            event("wgrad", 100, 200, "kernel", thread=7, correlation=3),
            event("ncclDevKernel_AllReduce", 180, 230, "kernel", thread=9, correlation=4),
            event("multi_tensor_apply_kernel", 230, 260, "kernel", thread=7, correlation=5),
        )

    def test_kernels_belong_to_where_they_were_launched(self) -> None:
        slices = slices_of(self.content(), several_ranks=True)
        assert sum(entry.duration for entry in slices) == 260
        assert sums(slices, "kind") == {
            # The GPU waits for data until its copy begins, and for the processor until the first kernel.
            "data": 15,
            "host to device": 10,
            "between operators": 15,
            "convolution": 60 + 100,
            # While both run, computing counts; what is left of the exchange is waited for.
            "communication": 30,
            "optimiser": 30,
        }
        assert sums(slices, "phase") == {
            "data": 15 + 10, "forward": 15 + 60, "backward": 100, "communication": 30, "optimiser": 30
        }  # fmt: skip


class TestSummary:
    def test_sums_and_shares(self) -> None:
        content = trace(*one_step(), *one_step(1000))
        summary = summarise_slices("r", recording(content), slices_of(content))
        assert summary.recorded == pytest.approx(1e-3)
        assert summary.steps == 2
        assert summary.step_seconds == pytest.approx((1e-3, 1e-3))
        assert sum(summary.phases.values()) == pytest.approx(summary.recorded)
        assert sum(summary.kinds.values()) == pytest.approx(summary.recorded)
        assert sum(map(summary.share_of, summary.phases)) == pytest.approx(1.0)
        assert summary.share_of("convolution") == pytest.approx(0.32)
        assert summary.share_of("pooling") == 0.0
        assert summary.slow_down == pytest.approx(1.25)
        assert (summary.operators[0].operator, summary.operators[0].kind) == (
            "aten::convolution_backward", "convolution"
        )  # fmt: skip
        assert summary.operators[0].seconds == pytest.approx(235e-6)

    def test_the_median_step_is_drawn(self) -> None:
        slices = [
            Slice(0, 5, 0, "forward", "convolution"),
            Slice(5, 14, 1, "forward", "convolution"),
            Slice(14, 20, 2, "forward", "convolution"),
        ]
        assert median_step(slices) == [slices[2]]
