"""What this machine can do."""

from __future__ import annotations

from konvoi.console.terminal import by, plain_table, terminal
from konvoi.hardware.bench import DeviceResult, HardwareResult

_BUSY = 0.5


def print_hardware(result: HardwareResult) -> None:
    """A row for each measurement, the roofs, and the network's layers by kind; each device in turn."""
    console = terminal()
    for device in result.devices:
        console.print(f"\n{device.device}: {device.name}", style="bold")
        for precision, why in device.left_out.items():
            console.print(f"not measured: {precision} ({why})")
        _print_measurements(device)
        _print_network(device)
    cores = int(result.environment["cores"])
    if result.load > _BUSY * cores:
        console.print(
            f"\ncaution: when this began, {result.load:.1f} processes wanted the {cores} cores; the figures are those "
            "of a busy machine. Measure again when it is idle."
        )


def _print_measurements(device: DeviceResult) -> None:
    table = plain_table()
    table.add_column("operation")
    for column in ("size", "precision", "threads", "GFLOP/s", "GB/s", "FLOP/byte", "time", "spread"):
        table.add_column(column, justify="right")
    for entry in device.measurements:
        table.add_row(
            entry.operation,
            entry.size,
            entry.precision,
            "–" if entry.threads is None else str(entry.threads),
            f"{entry.gigaflops:,.1f}" if entry.flop else "–",
            f"{entry.gigabytes:,.1f}",
            f"{entry.intensity:,.2f}" if entry.flop else "–",
            f"{1e3 * entry.seconds:,.3f} ms",
            f"{entry.spread:.0%}",
        )
    console = terminal()
    console.print()
    console.print(table)
    console.print("\ntime: the median; spread: from the fastest sample to the slowest, in medians")


def _print_network(device: DeviceResult) -> None:
    roof, network = device.roofline, device.network
    console = terminal()
    console.print(f"\nroof: {roof.bandwidth / 1e9:,.1f} GB/s", style="bold")
    for precision, compute in roof.compute.items():
        console.print(
            f"{precision}: {compute / 1e9:,.0f} GFLOP/s; memory is fast enough from {roof.ridge(precision):,.1f} "
            f"FLOP/byte on; {device.precisions[precision]}"
        )
    table = plain_table()
    table.add_column("layers")
    for column in ("number", "FLOP/byte", "predicted", "share", "measured", "share", "of the roof"):
        table.add_column(column, justify="right")
    for kind, (predicted_share, measured_share) in network.shares().items():
        own = [layer for layer in network.layers if layer.kind == kind]
        predicted, measured = sum(layer.predicted for layer in own), sum(layer.seconds for layer in own)
        low, high = min(layer.intensity for layer in own), max(layer.intensity for layer in own)
        table.add_row(
            kind,
            str(len(own)),
            f"{low:,.2f}" if high - low < 0.005 else f"{low:,.2f} – {high:,.2f}",
            f"{1e3 * predicted:,.2f} ms",
            f"{predicted_share:.1%}",
            f"{1e3 * measured:,.2f} ms",
            f"{measured_share:.1%}",
            f"{predicted / measured:.0%}",
        )
    console.print(
        f"\n{network.network}: forward pass in training mode, {network.batch} images of {by(network.image_shape)}, "
        f"{network.precision}: {1e3 * network.seconds:,.1f} ms, {network.batch / network.seconds:,.0f} images/s",
        style="bold",
    )
    console.print(table)
    outside = network.seconds - sum(layer.seconds for layer in network.layers)
    console.print(
        f"outside of layers, such as the additions of residual branches: {1e3 * outside:,.2f} ms. Above 100 % of the "
        "roof: the values were still in a cache."
    )
