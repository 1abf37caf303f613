"""The `exptest` command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from exptest import terminal

if TYPE_CHECKING:
    from exptest.record import Record

BENCHMARKS = {
    "overhead": "cost of ExpTest per training step",
    "statistics": "the tests: time, size and power beside the paper's procedure",
    "rules": "who cuts the rate: rules on losses that fall and on flat ones",
    "linearized": "kernels, spectra and predicted curves beside other libraries",
    "resnet": "the kernel of a ResNet-18 within stated memory, beside torch.func's recipe",
    "widgets": "TrainingLab in a browser: frames, cost, latency",
    "film": "the animation at the top of the README",
}

EPILOG = """\
start here:
  exptest demo                                  a network learns digits, no rate given
  exptest lab                                   JupyterLab, at the first notebook
  exptest replay losses.csv --max-lr 0.5        what ExpTest would have decided on your curve
  exptest reproduce mnist --data FOLDER         the paper's numbers, measured again
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code (0 done, 1 failed, 2 bad input)."""
    with terminal.forgiving():
        return _main(sys.argv[1:] if argv is None else argv)


def _main(argv: Sequence[str]) -> int:
    parser, commands = _parser()
    wanted = next((word for word in argv if not word.startswith("-")), None)
    if wanted is not None and wanted not in commands:
        parser.error(terminal.unknown("command", wanted, commands))
    arguments = parser.parse_args(argv)
    if arguments.version:
        import exptest

        print(f"exptest {exptest.__version__}")
        return 0
    if arguments.command is None:
        parser.print_help()
        return 0
    try:
        return arguments.run(arguments)
    except BrokenPipeError:
        raise
    except (ValueError, TypeError, OSError, KeyError, ImportError) as error:
        message = error.args[0] if isinstance(error, KeyError) else error
        print(f"exptest {arguments.command}: {' '.join(str(message).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"exptest {arguments.command}: interrupted", file=sys.stderr)
        return 1


def _parser() -> tuple[terminal.Parser, list[str]]:
    """Return the parser and the names of its commands."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = terminal.Parser(
        prog="exptest",
        description="Train a neural network without choosing a learning rate.",
        epilog=EPILOG,
        formatter_class=formatter,
    )
    parser.add_argument("--version", action="store_true", help="print the version and stop")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name, describe in (
        ("demo", _demo_arguments),
        ("lab", _lab_arguments),
        ("replay", _replay_arguments),
        ("reproduce", _reproduce_arguments),
        ("bench", _bench_arguments),
    ):
        describe(commands, name)
    return parser, list(commands.choices)


def _demo_arguments(commands: argparse._SubParsersAction, name: str) -> None:
    command = commands.add_parser(
        name,
        help="train a small network on digits, every decision explained",
        description="Train an MLP on scikit-learn's digits. No learning rate is given: ExpTest "
        "starts at the largest one that could be stable and tests the losses.",
    )
    command.add_argument("--epochs", type=int, default=60, help="passes over the data (default 60)")
    command.add_argument("--seed", type=int, default=0, help="of weights and batches (default 0)")
    _method_argument(command, "calibrated")
    _out_argument(command)
    command.set_defaults(run=_demo)


def _lab_arguments(commands: argparse._SubParsersAction, name: str) -> None:
    command = commands.add_parser(
        name,
        help="open JupyterLab at a notebook",
        description="Open JupyterLab at a notebook of this checkout: its number, its name or "
        "part of it (00-start-here by default).",
    )
    command.add_argument("notebook", nargs="?", default="00", help="for example 07 or playground")
    command.add_argument("--port", type=int, help="port on 127.0.0.1 (default: Jupyter's choice)")
    command.add_argument("--no-browser", action="store_true", help="only print the address")
    command.set_defaults(run=_lab)


def _replay_arguments(commands: argparse._SubParsersAction, name: str) -> None:
    command = commands.add_parser(
        name,
        help="the decisions on any recorded loss curve",
        description="Replay the losses in a log, one per training step, through the tuner: CSV or "
        "other text tables, JSON, JSON lines; of Lightning, Keras, TensorBoard, W&B, Hugging Face.",
    )
    command.add_argument("file", help="the log; one loss per step, or see --every")
    command.add_argument("--max-lr", type=float, required=True, help="where the rate starts")
    command.add_argument("--column", help="name of the loss column (needed if there are several)")
    command.add_argument(
        "--every", type=int, default=1, metavar="K", help="steps that each loss stands for (1)"
    )
    command.add_argument(
        "--alpha", type=float, default=0.05, help="share of runs with a false verdict (0.05)"
    )
    command.add_argument("--beta", type=float, default=0.33, help="factor of a rejection (0.33)")
    command.add_argument(
        "--path-ratio", type=float, help="ρ ≥ 1 that lengthens windows (mini-batch curves)"
    )
    _method_argument(command, "calibrated")
    _out_argument(command)
    command.set_defaults(run=_replay)


def _reproduce_arguments(commands: argparse._SubParsersAction, name: str) -> None:
    command = commands.add_parser(
        name,
        help="the paper's experiments beside the authors' numbers",
        description="Run an experiment of the paper and print it beside the authors' numbers.",
    )
    command.add_argument("experiment", choices=("mnist", "california"))
    command.add_argument("--trials", type=int, default=5, help="seeds 0, 1, … (default 5)")
    command.add_argument("--data", help="folder with mnist.npz or cal_housing_py3.pkz")
    command.add_argument(
        "--peers", action="store_true", help="also every optimizer of the paper over its rates"
    )
    _method_argument(command, "paper")
    _out_argument(command)
    command.set_defaults(run=_reproduce)


def _bench_arguments(commands: argparse._SubParsersAction, name: str) -> None:
    command = commands.add_parser(
        name,
        help="benchmarks: ratios measured side by side",
        description="Run a benchmark; every figure is a ratio of two things timed in one run.",
    )
    command.add_argument(
        "bench", choices=BENCHMARKS, help="; ".join(f"{k}: {v}" for k, v in BENCHMARKS.items())
    )
    command.add_argument("options", nargs=argparse.REMAINDER, help="see BENCHMARK --help")
    command.set_defaults(run=_bench)


def _method_argument(command: argparse.ArgumentParser, default: str) -> None:
    command.add_argument(
        "--method",
        choices=("calibrated", "paper"),
        default=default,
        help=f"corrected tests, or exactly the paper's (default {default})",
    )


def _out_argument(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--out", type=Path, default=Path("exptest-out"), help="folder for results (exptest-out)"
    )


# -- the commands --------------------------------------------------------------------------


def _demo(arguments: argparse.Namespace) -> int:
    from exptest.experiments import digits

    out = _ready(arguments)
    config = digits.Config(epochs=arguments.epochs, seed=arguments.seed, method=arguments.method)
    history = digits.run(config, progress=True)
    print(terminal.folded(f"\n{history.summary()}"))
    _save_run(history.record, out / "demo.png")
    return 0


def _lab(arguments: argparse.Namespace) -> int:
    from exptest import lab

    return lab.launch(arguments.notebook, port=arguments.port, browser=not arguments.no_browser)


def _replay(arguments: argparse.Namespace) -> int:
    from exptest.recorded import read_log, replay

    out = _ready(arguments)
    settings = {
        name: getattr(arguments, name)
        for name in ("max_lr", "every", "path_ratio", "alpha", "beta", "method")
    }
    replay([1.0], **settings)  # settings are judged before a long file is read
    log = read_log(arguments.file, column=arguments.column)
    print(terminal.folded(f"{log.summary(every=arguments.every)}\n"))
    record = replay(log.losses, **settings)
    print(terminal.folded(record.summary()))
    _save_run(record, out / f"{Path(arguments.file).stem}.png")
    return 0


def _reproduce(arguments: argparse.Namespace) -> int:
    import json

    from exptest import _checks
    from exptest.experiments import reproduce
    from exptest.training.history import with_unit

    out = _ready(arguments)
    experiment = getattr(reproduce, f"reproduce_{arguments.experiment}")
    metric = reproduce.METRICS[arguments.experiment]
    rows = experiment(
        trials=_checks.at_least("--trials", arguments.trials, 1, 5),
        path=arguments.data,
        peers=arguments.peers,
        mode=arguments.method,
        report=lambda label, trial: print(
            f"{label}, seed {trial.seed}: {with_unit(metric, trial.test_metric)} "
            f"(train loss {trial.train_loss:.3g}, final η {trial.history.lr:.3g})",
            flush=True,
        ),
    )
    print("\n" + reproduce.to_frame(rows).to_string(index=False))
    path = out / f"{arguments.experiment}.json"
    path.write_text(json.dumps([row.to_dict() for row in rows], indent=1))
    print(f"\nresults: {path}")
    return 0


def _bench(arguments: argparse.Namespace) -> int:
    module = import_module(f"exptest.bench.{arguments.bench}")
    parser = terminal.Parser(
        prog=f"exptest bench {arguments.bench}", description=BENCHMARKS[arguments.bench]
    )
    module.add_arguments(parser)
    return module.run(parser.parse_args(arguments.options))


def _ready(arguments: argparse.Namespace) -> Path:
    """Make the folder for results before anything is computed, and settle on one torch thread.

    The networks here are small, a second thread only waits; and the last bits of a run depend
    on the number of threads.
    """
    import torch

    torch.set_num_threads(1)
    try:
        arguments.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(
            f"--out {arguments.out} cannot be made ({error.strerror}); try a folder of your own."
        ) from error
    return arguments.out


def _save_run(record: Record, path: Path) -> None:
    from exptest.plots import plot_run

    plot_run(record).savefig(path)
    print(f"picture: {path}")


if __name__ == "__main__":
    sys.exit(main())
