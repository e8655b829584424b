"""``stbench compare``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from stbench.cli.options import DEFAULT_STORE, Format, FormatOption, StoreOption, warn_of_broken_plugins

if TYPE_CHECKING:
    from stbench.report.comparison import Choice, Comparison


def compare(
    first: Annotated[str, typer.Argument(help="A model: NAME, or NAME[param=value] for one of several variants.")],
    second: Annotated[str, typer.Argument(help="The model it is compared with.")],
    dataset: Annotated[list[str] | None, typer.Option("--dataset", "-d", help="Only this dataset; repeatable.")] = None,
    protocol: Annotated[
        list[str] | None, typer.Option("--protocol", "-p", help="Only this protocol; repeatable.")
    ] = None,
    metric: Annotated[str | None, typer.Option(help="Metric compared; by default each protocol's headline.")] = None,
    select: Annotated[
        str | None, typer.Option(help="validation: of several parameter sets, take the one best on validation.")
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    output: FormatOption = Format.TABLE,
) -> None:
    """Tell whether one model is better than another: paired test, effect size, smallest difference that would show."""
    import sys

    from stbench.cli.leaderboard import selection_metric
    from stbench.registry import discover
    from stbench.report.comparison import compare as compute
    from stbench.report.comparison import plain
    from stbench.report.console import print_json
    from stbench.report.headlines import headlines
    from stbench.report.scores import read_scores
    from stbench.report.selection import by_validation
    from stbench.store import Store

    warn_of_broken_plugins()
    registry = discover()
    if metric:
        registry.get("metric", metric)
    scores = read_scores(Store(store), registry, dataset, protocol)
    if decides := selection_metric(select, metric):
        scores = by_validation(scores, decides)
    chosen = parse_choice(first), parse_choice(second)
    found = compute(scores, *chosen, metric, headlines(registry, set(scores.cells["protocol"])))
    for note in scores.notes:
        print(f"note: {note}", file=sys.stderr)
    if output is Format.JSON:
        print_json(plain(found, *chosen))
        return
    for comparison in found:
        _print(comparison, *map(str, chosen))


def parse_choice(text: str) -> Choice:
    """Read ``NAME`` or ``NAME[param=value]``."""
    from stbench.errors import UsageError
    from stbench.matrix import ModelRequest
    from stbench.report.comparison import Choice

    request = ModelRequest.parse(text)
    several = [name for name, values in request.sweep.items() if len(values) != 1]
    if several:
        raise UsageError(f"{text}: give one value of {', '.join(several)}")
    return Choice(request.name, {name: values[0] for name, values in request.sweep.items()})


def _print(found: Comparison, first: str, second: str) -> None:
    from stbench.report.console import print_table

    tested = found.paired
    rows = [[unit, f"{a:.4f}", f"{b:.4f}", f"{a - b:+.4f}"] for unit, (a, b) in found.units.items()]
    rows.append(["mean", f"{found.first:.4f}", f"{found.second:.4f}", f"{tested.difference.mean:+.4f}"])
    columns = [found.unit, first, second, "difference"]
    print_table(columns, rows, title=f"{found.dataset} · {found.protocol} · {found.metric}", numeric=columns[1:])
    low, high = tested.difference.low, tested.difference.high
    facts = [
        f"95 % interval {low:+.4f} to {high:+.4f}" if low is not None else "no interval (1 unit)",
        f"paired t test p {tested.p_t:.3g}" if tested.p_t is not None else "",
        f"Holm over tasks p {found.p_holm:.3g}" if found.p_holm not in (None, tested.p_t) else "",
        f"Wilcoxon p {tested.p_wilcoxon:.3g}" if tested.p_wilcoxon is not None else "",
        f"effect size d_z {tested.effect_size:.2f}" if tested.effect_size is not None else "",
        f"smallest difference resolvable {tested.resolvable:.3g}" if tested.resolvable else "",
    ]
    print(" · ".join(fact for fact in facts if fact))
    print(found.sentence(first, second))
    for whose, left_out in ((first, found.only_first), (second, found.only_second)):
        if left_out:
            print(f"left out, tested with {whose} only: {', '.join(left_out)}")
