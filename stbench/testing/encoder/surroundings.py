"""Checks of encoders: where weights come from, and no trace elsewhere."""

from __future__ import annotations

from contextlib import suppress

from stbench.testing.check import DoesNotApply
from stbench.testing.encoder.features import checks
from stbench.testing.encoder.subject import EncoderSubject
from stbench.testing.imports import require_cheap
from stbench.testing.watch import Seen, watching


@checks.add("planning finds missing weights by name, before hours are spent; a licence decides who may use them")
def weights_named(subject: EncoderSubject) -> None:
    """The spec names where the weights live, or their licence, unless they come with the plugin."""
    if subject.spec.weights_repo or subject.spec.licence:
        return
    with suppress(Exception), watching(seen := Seen(), [subject.cache]):
        subject.spec.load()(True)
    assert not seen.network, (
        f"pretrained weights are asked for at {', '.join(seen.network)}, and the spec names neither weights_repo nor "
        "licence"
    )
    raise DoesNotApply("its weights come from no hub")


@checks.add("runs must work, and mean the same, on a machine without network")
def no_network(subject: EncoderSubject) -> None:
    """With random weights nothing is asked of the network."""
    hosts = _after_a_try(subject).seen.network
    assert not hosts, f"asked the network for {', '.join(hosts)}, with pretrained=False too"


@checks.add("numbers must not depend on what else ran in the process", needs=("repeatable",))
def global_state(subject: EncoderSubject) -> None:
    """Random generators, torch's flags, environment and working directory are left as found."""
    settings = _after_a_try(subject).seen.settings
    with suppress(Exception):
        subject.embed(subject.twin, subject.patches, subject.seen_again)
    state = [*settings, *subject.seen_again.generators]  # imports draw random numbers too: the second is looked at
    assert not state, f"left changed: {', '.join(dict.fromkeys(state))}; restore what you set"


def _after_a_try(subject: EncoderSubject) -> EncoderSubject:
    """Make sure it was loaded and has embedded once, whatever came of it: that is `features`' to say."""
    with suppress(Exception):
        _ = subject.features
    return subject


@checks.add("every command imports the plugin module: seconds of imports are felt by all")
def cheap_to_plan(subject: EncoderSubject) -> None:
    """Importing the plugin module imports no torch."""
    if not subject.plugin_modules:
        raise DoesNotApply("a spec that no plugin registered")
    require_cheap(subject.plugin_modules, "name the encoder by an import string")
