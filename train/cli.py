"""From the command line to a configuration; imports nothing that computes."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import difflib
import io
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from configs import loading
from configs.base import Config, LossWeights, ModelConfig, Published, Schedule, Weight
from zoo import shipped
from zoo.console.command import fail, require_local, unframed
from zoo.errors import ZooError

DESCRIPTION = """Trains a codec.

  python -m train --model vae                          on the embedded generator of music, voices and sounds
  python -m train --model vae --data.root DIR          on your audio files
  python -m train --config my.py                       a configuration of your own (a file that sets CONFIG)
  python -m train --model vae --resume                 continues the run in runs/vae
  python -m train --model vae --init CKPT              begins with a checkpoint's weights: fine-tuning
  python -m train --init codec_24khz                   begins with a codec of the package, and has its architecture
  python -m train prepare DIR OUT                      decodes a library once: --data.root OUT is many times as fast
  python -m train check DIR                            what is damaged, silent or strange in a library
  python -m train report RUN...                        the curves of several runs on one page

--model NAME is a file in configs/: {names}. Every value below can be overridden; a loss weight is a number
or a schedule KIND:START:END:STEPS such as linear:0:0.07:500."""


def parse(arguments: Sequence[str] | None = None, *, commands: Sequence[str] = ()) -> tuple[str, Config]:
    """Name and configuration of a run; exits with a one-line error (status 2) where the arguments are wrong.

    `commands` are what else a first word could have meant.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    first.add_argument("--model")
    first.add_argument("--config")
    first.add_argument("--workdir")
    first.add_argument("--init")
    first.add_argument("--resume", action="store_true")
    try:
        chosen, rest = first.parse_known_args(arguments)
    except argparse.ArgumentError as error:
        fail(str(error))
    for name in ("workdir", "init"):
        if getattr(chosen, name) == "":
            fail(f"--{name} is empty")
    if chosen.model and chosen.config:
        fail("give --model or --config, not both")
    rest = [*rest, "--init", chosen.init] if chosen.init is not None else rest
    asks_help = bool({"-h", "--help"} & set(rest))
    alone = chosen.init is not None and not (chosen.model or chosen.config) and shipped.is_name(chosen.init)
    if not (chosen.model or chosen.config or alone) and not asks_help:
        stray = next((word for word in rest[:1] if not word.startswith("-")), None)
        meant = {**{name: f"--model {name}" for name in loading.names()}, **{name: name for name in commands}}
        if stray is not None:
            fail(f"unexpected argument {stray!r}{_suggestion(stray, meant)}")
        fail(f"which model? --model {'|'.join(loading.names())}, or --config my.py")
    try:
        if chosen.config:
            name, base = Path(chosen.config).stem, loading.from_file(chosen.config)
        elif alone:
            name, base = _like(shipped.about(chosen.init))
        else:
            name = chosen.model or "vae"
            base = loading.get(name)
        require_local(chosen.workdir or base.workdir)
        workdir = Path(chosen.workdir or base.workdir or f"runs/{name}")
        stored = workdir / "config.json"
        goes_on = chosen.resume and stored.is_file()
        if goes_on:
            # a run continues as it was begun; what the command line says comes on top
            asked, base = base, dataclasses.replace(_stored(stored), overwrite=False)
            if base.model.recipe != asked.model.recipe:
                fail(f"{workdir} holds a run of model {base.model.recipe!r}, not {asked.model.recipe!r}")
            _check_same(workdir, base.model, name, asked, rest)
    except (loading.ConfigError, ZooError, ValueError, OSError) as error:
        fail(str(error))
    config = override(base, rest)
    _check_discriminators(config, base.loss if goes_on or base.adversarial_start >= 0 else LossWeights())
    return name, dataclasses.replace(config, workdir=str(workdir), resume=chosen.resume)


def _like(codec: shipped.Shipped) -> tuple[str, Config]:
    """The configuration of a codec's family, with the codec's own architecture."""
    values = loading.to_dict(loading.get(codec.family))
    values["model"] |= codec.hyperparameters
    return codec.family, loading.from_dict(values)


def override(base: Config, arguments: Sequence[str]) -> Config:
    """`base` with `--section.field value` overrides; exits with a one-line error where they are wrong."""
    import tyro

    registry = tyro.constructors.ConstructorRegistry()

    @registry.primitive_rule
    def _weight(info: Any) -> Any:
        if info.type != Weight:
            return None
        return tyro.constructors.PrimitiveConstructorSpec(
            nargs=1,
            metavar="NUMBER|KIND:START:END:STEPS",
            instance_from_str=lambda values: parse_weight(values[0]),
            is_instance=lambda value: isinstance(value, int | float | Schedule),
            str_from_instance=lambda value: [format_weight(value)],
        )

    model_type: Any = type(base.model)
    if isinstance(base.model, Published):
        model_type = tyro.conf.Suppress[tyro.conf.Fixed[Published]]
    # `model` is declared by its base class, which has no fields: tyro gets the family's own
    kind = dataclasses.make_dataclass("Config", [("model", model_type)], bases=(Config,), frozen=True, kw_only=False)
    kind.__doc__ = Config.__doc__
    default = kind(**{f.name: getattr(base, f.name) for f in dataclasses.fields(base)})
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors), registry:
            parsed: Any = tyro.cli(
                kind,
                prog="python -m train",
                default=default,
                args=list(arguments),
                description=DESCRIPTION.format(names=", ".join(loading.names())),
                use_underscores=True,
            )
    except SystemExit as error:
        if error.code:
            fail(_one_line(unframed(errors.getvalue()), arguments, base))
        raise
    values = {f.name: getattr(parsed, f.name) for f in dataclasses.fields(Config)}
    return Config(**values)


def _check_discriminators(config: Config, may_stay: LossWeights) -> None:
    """Exits with an error for weights of the discriminators' losses where there are no discriminators.

    Those of a recipe that has some may stay: --adversarial_start -1 is how it is trained without them.
    """
    for name in ("adversarial", "feature_matching"):
        weight = getattr(config.loss, name)
        if config.adversarial_start < 0 and weight not in (0, getattr(may_stay, name)):
            fail(
                f"loss.{name} is {format_weight(weight)}, but adversarial_start is {config.adversarial_start}, so "
                "there are no discriminators: say with --adversarial_start at which step they join"
            )


def model_overrides(arguments: Sequence[str] | None = None) -> list[str]:
    """Hyper-parameters of the model that stand on the command line."""
    flags = "\n".join(sys.argv[1:] if arguments is None else arguments)
    found = re.findall(r"^--model\.(?:no[-_])?([^=\n]+)", flags, re.MULTILINE)
    return [key.replace("-", "_") for key in found]


def parse_weight(text: str) -> Weight:
    """A number, or KIND:START:END:STEPS; raises ValueError otherwise."""
    if ":" not in text:
        return float(text)
    kind, start, end, steps = text.split(":")
    if kind not in ("linear", "cosine") or int(steps) < 1:
        raise ValueError(f"{text!r} is no schedule")
    return Schedule(kind, float(start), float(end), int(steps))  # type: ignore[arg-type]


def format_weight(weight: Weight) -> str:
    """Writes a weight as `parse_weight` reads it."""
    if isinstance(weight, Schedule):
        return f"{weight.kind}:{weight.start:g}:{weight.end:g}:{weight.steps}"
    return f"{weight:g}"


def _check_same(workdir: Path, held: ModelConfig, name: str, asked: Config, arguments: Sequence[str]) -> None:
    """Exits with an error where a run's model is just that of another configuration than the one that is asked for."""
    known = [other for other in loading.names() if loading.get(other).model == held]
    if not known or name in known:
        return
    # what makes the difference may stand on the command line
    then, now = held.kwargs(), override(asked, arguments).model.kwargs()
    if apart := [f"its model.{k} is {then[k]}, not {now[k]}" for k in then if k in now and then[k] != now[k]]:
        fail(f"{workdir} holds a run of model {known[0]!r}, not {name!r}: {', '.join(apart)}")


def _stored(path: Path) -> Config:
    try:
        return loading.from_dict(json.loads(path.read_text()))
    except ValueError as error:
        raise loading.ConfigError(f"{path}: {error}") from None


def _one_line(words: str, arguments: Sequence[str], base: Config) -> str:
    """The culprit, and what could stand in its place: tyro's message only tells which kind of error it is."""
    known = loading.keys(base)
    if unrecognised := re.search(r"nrecognized \w+: ([^\s,]+)", words):
        flags = [argument.split("=")[0] for argument in arguments if argument.startswith("--")]
        keys = [flag.removeprefix("--").replace("-", "_") for flag in flags]
        unknown = [key for key in keys if key not in known and key.removeprefix("no_") not in known]
        if not unknown:
            return f"unexpected argument {unrecognised.group(1)!r}"
        meant = {spelt: f"--{key}" for key in known for spelt in (key, key.rpartition(".")[2])}
        if suggestion := _suggestion(unknown[0], meant):
            return f"unknown key --{unknown[0]}{suggestion}"
        section = unknown[0].rpartition(".")[0]
        section = section if any(key.startswith(f"{section}.") for key in known) else ""
        # of the sections at the top only their names: all keys together fill a screen
        beside = [key.removeprefix(f"{section}.") for key in known if key.startswith(f"{section}." if section else "")]
        exist = dict.fromkeys(key if "." not in key else f"{key.split('.')[0]}.…" for key in beside)
        return f"unknown key --{unknown[0]}; {section or 'there'} {'has' if section else 'are'}: {', '.join(exist)}"
    for key in re.findall(r"--([\w.]+)", words):
        if key in known:
            kind = loading.describe(known[key])
            value = _value_of(key, arguments)
            return f"--{key}: {value!r} is not {kind}" if value else f"--{key}: a value is missing ({kind})"
    return words


def _suggestion(word: str, meant: Mapping[str, str]) -> str:
    """What a mistyped word may have stood for: a key of `meant`, spelt as its value."""
    close = difflib.get_close_matches(word, meant, 1, 0.8)
    return f": did you mean {meant[close[0]]}?" if close else ""


def _value_of(key: str, arguments: Sequence[str]) -> str:
    """What follows the last `--key`, up to the next flag."""
    values: list[str] = []
    inside = False
    for argument in arguments:
        if argument.startswith("--"):
            flag, _, value = argument.partition("=")
            inside = flag.removeprefix("--").replace("-", "_") == key
            values = [value] * bool(value) if inside else values
        elif inside:
            values.append(argument)
    return " ".join(values)
