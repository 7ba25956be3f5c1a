"""Splits of a scene's pixels: that no window leaks behind the guard, whatever the scene, method, window and seed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from konvoi.data.pixels.components import fields
from konvoi.data.pixels.division import require_pixels, split_pixels
from konvoi.data.pixels.guard import guard_width, with_guard
from konvoi.data.pixels.leakage import audit_leakage
from konvoi.data.pixels.parts import (
    GUARD,
    TEST,
    TRAIN,
    UNLABELLED,
    VALIDATION,
    class_counts,
    share_counts,
)
from konvoi.data.pixels.regions import ranked_regions
from konvoi.errors import DataError
from konvoi.recipe.split import SplitSection

METHODS = ("random", "stratified", "blocks", "regions", "growing", "fields", "map")

NAMES = {TRAIN: "train", VALIDATION: "validation", TEST: "test"}


@st.composite
def scenes(draw: st.DrawFn) -> NDArray[np.int64]:
    """Ground truths with fields, stripes, single pixels and gaps, and now and then a class without a pixel."""
    height, width = draw(st.integers(9, 34)), draw(st.integers(9, 34))
    stream = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    classes = draw(st.integers(2, 5))
    coarse = stream.integers(-1, classes, size=(height // 5 + 1, width // 5 + 1))
    ground_truth = np.kron(coarse, np.ones((5, 5), dtype=np.int64))[:height, :width]
    noisy = stream.random((height, width)) < draw(st.sampled_from([0.0, 0.05, 0.5]))
    ground_truth[noisy] = stream.integers(-1, classes, size=int(noisy.sum()))
    ground_truth[0, 0], ground_truth[-1, -1] = 0, classes - 1
    return ground_truth


def as_settings(method: str, **others: object) -> SplitSection:
    pixels: dict[str, object] = {"method": method}
    if method == "blocks":
        pixels["size"] = others.pop("size", 6)
    if method == "map":
        pixels["file"] = "parts.npy"
    if "guard" in others:
        pixels["guard"] = others.pop("guard")
    return SplitSection.model_validate({"pixels": pixels, **others})


def windows_of(values: NDArray[np.uint8], window: int) -> NDArray[np.uint8]:
    """Every pixel's window as it is really cut, `(H, W, w, w)`: completed by reflection."""
    return sliding_window_view(np.pad(values, window // 2, mode="reflect"), (window, window))


class TestWhateverTheScene:
    @settings(max_examples=100, deadline=None)
    @given(
        ground_truth=scenes(),
        method=st.sampled_from(METHODS),
        window=st.sampled_from([1, 3, 5, 7, 9]),
        guard=st.sampled_from(["half-window", "window", 6]),
        seed=st.integers(-(2**40), 2**40),
        test=st.floats(0.05, 0.9),
        validation=st.floats(0.05, 0.9),
    )
    def test_no_window_holds_a_pixel_of_an_earlier_part_and_no_pixel_is_lost(
        self,
        ground_truth: NDArray[np.int64],
        method: str,
        window: int,
        guard: str | int,
        seed: int,
        test: float,
        validation: float,
    ) -> None:
        codes = np.random.default_rng(seed % 2**32).choice([0, 1, 2, 3], size=ground_truth.shape)
        codes[0, 0], codes[-1, -1] = 1, 3
        options = as_settings(method, guard=guard, seed=seed, test=test, validation=validation)
        before = ground_truth.copy()
        parts = split_pixels(ground_truth, options, window, given=codes)

        np.testing.assert_array_equal(ground_truth, before)
        labelled = ground_truth >= 0
        assert (parts[~labelled] == UNLABELLED).all()
        assert np.isin(parts[labelled], (TRAIN, VALIDATION, TEST, GUARD)).all()

        windows = windows_of(parts, window)
        assert not (windows[parts == TEST] == TRAIN).any()
        assert not (windows[parts == VALIDATION] == TRAIN).any()
        assert not (windows[parts == TEST] == VALIDATION).any()
        assert not audit_leakage(parts, ground_truth, [str(k) for k in range(5)], window).leaks
        if guard == "window":
            # Then even the windows themselves have no pixel in common.
            seen = {part: np.zeros(parts.shape, dtype=bool) for part in (TRAIN, TEST)}
            places = np.arange(parts.size).reshape(parts.shape)
            for part, covered in seen.items():
                covered.reshape(-1)[windows_of(places, window)[parts == part]] = True
            assert not (seen[TRAIN] & seen[TEST]).any()

        np.testing.assert_array_equal(parts, split_pixels(ground_truth, options, window, given=codes))

    @settings(max_examples=60, deadline=None)
    @given(ground_truth=scenes(), method=st.sampled_from(METHODS[:-1]), seed=st.integers(0, 1000))
    def test_without_a_guard_all_labelled_pixels_are_used(
        self, ground_truth: NDArray[np.int64], method: str, seed: int
    ) -> None:
        parts = split_pixels(ground_truth, as_settings(method, guard="none", seed=seed), 5)
        assert not (parts == GUARD).any()
        counts = class_counts(parts, ground_truth, int(ground_truth.max()) + 1)
        assert counts.sum() == (ground_truth >= 0).sum()
        if method in ("stratified", "regions"):
            for row in counts[counts.sum(axis=1) > 0]:
                train, validation = share_counts(int(row.sum()), (0.64, 0.16, 0.2))
                assert (row[TRAIN], row[VALIDATION]) == (train, validation)

    @settings(max_examples=60, deadline=None)
    @given(ground_truth=scenes(), width=st.integers(0, 6), seed=st.integers(0, 2**32 - 1))
    def test_the_guard_takes_what_is_near_and_nothing_else(
        self, ground_truth: NDArray[np.int64], width: int, seed: int
    ) -> None:
        stream = np.random.default_rng(seed)
        parts = np.where(ground_truth >= 0, stream.integers(1, 4, ground_truth.shape), 0).astype(np.uint8)
        parts[stream.random(parts.shape) < 0.7] = UNLABELLED
        guarded = with_guard(parts, width)
        np.testing.assert_array_equal(guarded == TEST, parts == TEST)
        places = {part: np.argwhere(guarded == part) for part in (TRAIN, VALIDATION, TEST)}

        def distance(place: NDArray[np.int64], part: int) -> float:
            others = places[part]
            return float(np.abs(others - place).max(axis=1).min()) if len(others) else np.inf

        for place in np.argwhere(parts == VALIDATION):
            assert (guarded[tuple(place)] == GUARD) == (width > 0 and distance(place, TEST) <= width)
        for place in np.argwhere(parts == TRAIN):
            nearest = min(distance(place, TEST), distance(place, VALIDATION))
            assert (guarded[tuple(place)] == GUARD) == (width > 0 and nearest <= width)


class TestShares:
    @settings(max_examples=200, deadline=None)
    @given(pixels=st.integers(0, 500), test=st.floats(0.01, 0.99), validation=st.floats(0.01, 0.99))
    def test_rounded_and_none_without(self, pixels: int, test: float, validation: float) -> None:
        shares = ((1 - test) * (1 - validation), (1 - test) * validation, test)
        train, validates = share_counts(pixels, shares)
        rest = pixels - train - validates
        assert min(train, validates, rest) >= (1 if pixels >= 3 else 0)
        if pixels == 1:
            assert train == 1
        if pixels == 2:
            assert (train, rest) == (1, 1)
        if pixels >= 300 and min(shares) * pixels >= 2:
            assert abs(train - shares[0] * pixels) <= 1
            assert abs(validates - shares[1] * pixels) <= 1.5

    def test_a_part_that_wants_nothing_gets_nothing(self) -> None:
        for pixels in range(8):
            assert sum(share_counts(pixels, (0.5, 0.5, 0.0))) == pixels
            assert share_counts(pixels, (0.5, 0.0, 0.5))[1] == 0


class TestMethods:
    def test_guard_widths(self) -> None:
        assert [guard_width(guard, 9) for guard in ("none", "half-window", "window", 3)] == [0, 4, 8, 3]
        assert guard_width("half-window", 1) == 0

    def test_blocks_are_whole(self) -> None:
        ground_truth = np.zeros((60, 60), dtype=np.int64)
        ground_truth[30:] = 1
        parts = split_pixels(ground_truth, as_settings("blocks", size=10, guard="none"), 9)
        # Wherever the grid starts, the part can change at 6 rows and columns at most.
        for axis in (0, 1):
            changes = np.flatnonzero((np.diff(parts.astype(int), axis=axis) != 0).any(axis=1 - axis))
            assert len(np.unique(changes % 10)) == 1
        counts = class_counts(parts, ground_truth, 2)
        assert (counts[:, (TRAIN, VALIDATION, TEST)] > 0).all()

    def test_a_guard_changes_what_is_used_and_not_how_the_scene_is_divided(self) -> None:
        ground_truth = np.zeros((60, 70), dtype=np.int64)
        ground_truth[:, 30:] = 1
        for method in ("blocks", "regions", "growing"):
            free = split_pixels(ground_truth, as_settings(method, guard="none", test=0.4), 7)
            guarded = split_pixels(ground_truth, as_settings(method, test=0.4), 7)
            assert (free[guarded != GUARD] == guarded[guarded != GUARD]).all()
            assert (guarded == GUARD).any()
            np.testing.assert_array_equal(free == TEST, guarded == TEST)

    def test_the_largest_region_trains_first_and_is_cut_where_the_share_is_reached(self) -> None:
        ground_truth = np.full((40, 40), -1)
        ground_truth[2:12, 2:32] = 0  # 300 pixels, lying
        ground_truth[20:30, 5:15] = 0  # 100 pixels
        ground_truth[35:37, 30:32] = 0  # 4 pixels: too few neighbours for a core
        parts = split_pixels(ground_truth, as_settings("regions", guard="none", test=0.5, validation=0.1), 5)
        train = round(404 * 0.45)
        assert (parts == TRAIN).sum() == train
        rows, columns = np.nonzero(parts == TRAIN)
        assert rows.min() == 2
        assert rows.max() == 11
        # A compact piece at one end of the largest region: no wider than it must be, give or take the cut column.
        assert np.ptp(columns) + 1 == -(-train // 10)
        assert columns.min() == 2 or columns.max() == 31
        # The smallest and the noise are last in rank, and validate.
        assert (parts[35:37, 30:32] == VALIDATION).all()
        assert (parts == VALIDATION).sum() == round(404 * 0.5) - train

    def test_regions_by_variance(self) -> None:
        ground_truth = np.full((20, 30), -1)
        ground_truth[2:8, 2:12] = ground_truth[12:18, 2:8] = 0
        cube = np.zeros((2, 20, 30), dtype=np.int16)
        cube[:, 12:18, 2:8] = np.random.default_rng(0).integers(0, 100, (2, 6, 6))
        by_area, by_variance = (ranked_regions(ground_truth, rank, 1.5, 5, cube)[0] for rank in ("area", "variance"))
        assert [len(region) for region in by_area] == [60, 36]
        assert [len(region) for region in by_variance] == [36, 60]

    def test_a_seed_grows_to_its_share_in_every_field(self) -> None:
        ground_truth = np.full((40, 40), -1)
        ground_truth[2:22, 2:22] = 0
        ground_truth[30:38, 30:38] = 0
        ground_truth[25:35, 2:12] = 1
        parts = split_pixels(ground_truth, as_settings("growing", guard="none", test=0.5, validation=0.2), 5)
        numbers, classes = fields(ground_truth)
        assert classes.tolist() == [0, 0, 1]
        for field in range(3):
            own = numbers == field
            assert (parts[own] == TRAIN).sum() == round(0.4 * own.sum())
            _, pieces = fields(np.where(own & (parts == TRAIN), 0, -1))
            assert len(pieces) == 1

    def test_fields_are_whole_and_a_class_with_one_trains(self) -> None:
        ground_truth = np.full((30, 50), -1)
        for column in range(0, 48, 6):
            ground_truth[2:12, column : column + 4] = 0
        ground_truth[20:25, 2:40] = 1
        parts = split_pixels(ground_truth, as_settings("fields"), 3)
        numbers, classes = fields(ground_truth)
        for field in range(len(classes)):
            assert len(np.unique(parts[numbers == field])) == 1
        counts = class_counts(parts, ground_truth, 2)
        assert (counts[0, (TRAIN, VALIDATION, TEST)] > 0).all()
        assert counts[1].tolist() == [0, 190, 0, 0, 0]

    def test_fields_touch_over_corners(self) -> None:
        numbers, _ = fields(np.array([[0, -1, 0], [-1, 0, -1], [1, -1, 1]]))
        assert numbers.tolist() == [[0, -1, 0], [-1, 0, -1], [1, -1, 2]]

    def test_a_map_of_ones_own(self) -> None:
        ground_truth = np.zeros((20, 20), dtype=np.int64)
        codes = np.zeros((20, 20))
        codes[:, :8], codes[:, 12:] = 1, 3
        options = as_settings("map", guard="half-window", validation=0.25)
        parts = split_pixels(ground_truth, options, 5, given=codes)
        assert (parts[:, 8:12] == GUARD).all()
        assert (parts[:, 12:] == TEST).all()
        # The map names no validation pixels, so a contiguous quarter of its training pixels validates.
        assert (parts == VALIDATION).sum() == 40
        assert ((parts == TRAIN) | (parts == GUARD))[:, :8].sum() == 120

        with pytest.raises(DataError, match=r"has 3 × 20 pixels, and the ground truth 20 × 20"):
            split_pixels(ground_truth, options, 5, given=codes[:3])
        with pytest.raises(DataError, match=r"no labelled pixel has the value 3.* Its values are 0, 1\."):
            split_pixels(ground_truth, options, 5, given=np.minimum(codes, 1))


class TestWhatIsRefused:
    def test_random_pixels_with_a_guard_leave_nothing_to_train_on(self) -> None:
        ground_truth = np.zeros((30, 30), dtype=np.int64)
        options = as_settings("random", guard="half-window")
        parts = split_pixels(ground_truth, options, 9)
        with pytest.raises(DataError, match=r"No pixel is left for training \(random pixels, guard band of 4 pixels"):
            require_pixels(parts, ground_truth, ["oats"], options, 9)

    def test_a_class_without_training_pixels_is_named_with_its_counts(self) -> None:
        ground_truth = np.array([[0, 0, 0, 0, 1, 1, 1, 1]])
        parts = np.array([[TRAIN, TRAIN, VALIDATION, TEST, GUARD, TEST, TEST, VALIDATION]], dtype=np.uint8)
        options = as_settings("blocks")
        with pytest.raises(
            DataError,
            match=r"A class has no training pixels .*: 'oats' has 4 labelled pixels, of which 0 train, 1 validate, "
            r"2 are tested and 1 are in the guard band\..*source\.unlabelled",
        ):
            require_pixels(parts, ground_truth, ["corn", "oats"], options, 1)
        allowed = options.model_copy(update={"allow_untrained_classes": True})
        require_pixels(parts, ground_truth, ["corn", "oats"], allowed, 1)
