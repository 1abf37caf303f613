"""Small files as programs write them, each with the losses that it holds."""

from __future__ import annotations

import codecs
import json
import subprocess
import sys
from math import inf, nan
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from exptest.recorded import read_log

CURVE = [3.0, 2.0, 1.0]

LIGHTNING = """epoch,step,train_loss_epoch,train_loss_step,val_loss
0,49,,3.0,
0,99,,2.0,
0,99,,,2.5
0,99,2.5,,
1,149,,1.0,
"""
KERAS = "epoch,accuracy,loss,val_accuracy,val_loss\n0,.1,3.0,.1,9\n1,.2,2.0,.2,9\n2,.3,1.0,.3,9\n"
TENSORBOARD = (
    "Wall time,Step,Value\n1700000000.5,10,3.0\n1700000001.5,20,2.0\n1700000002.5,30,1.0\n"
)
WANDB = (
    '"Step","my - val run - train/loss","my - val run - train/loss__MIN",'
    '"my - val run - train/loss__MAX"\n'
    '"0","3","2.5","3.5"\n"10","2","2","2"\n"20","1","1","1"\n'
)
WANDB_HISTORY = """{"_step": 0, "_runtime": 1.5, "_timestamp": 1.7e9, "train/loss": 3, "lr": 0.1}
{"_step": 1, "_runtime": 2.5, "_timestamp": 1.7e9, "val/loss": 9, "table": {"_type": "table"}}
{"_step": 2, "_runtime": 3.5, "_timestamp": 1.7e9, "train/loss": 2, "lr": 0.1}
{"_step": 3, "_runtime": 4.5, "_timestamp": 1.7e9, "train/loss": 1, "lr": null}
"""
TRAINER = {
    "best_metric": None,
    "global_step": 30,
    "log_history": [
        {"epoch": 0.1, "grad_norm": 5.0, "learning_rate": 0.1, "loss": 3, "step": 10},
        {"epoch": 0.2, "grad_norm": 5.0, "learning_rate": 0.1, "loss": 2, "step": 20},
        {"epoch": 0.2, "eval_loss": 9.0, "eval_runtime": 1.0, "step": 20},
        {"epoch": 0.3, "grad_norm": 5.0, "learning_rate": 0.1, "loss": 1, "step": 30},
        {"epoch": 0.3, "step": 30, "train_loss": 2.0, "train_runtime": 60.0},
    ],
}
SAVETXT = "# step loss\n0.000e+00 3.000e+00\n1.000e+00 2.000e+00\n2.000e+00 1.000e+00\n"
POINTS = [[1.7e9, 10, 3.0], [1.7e9, 20, 2.0], [1.7e9, 30, 1.0]]
FRAME = pd.DataFrame({"value": CURVE}, index=[10, 11, 12])

# Name: the file, its column, its losses, the rows without one.
FILES: dict[str, tuple[str | bytes, str, list[float], int]] = {
    "CSV": ("step,loss\n0,3\n1,2\n2,1\n", "loss", CURVE, 0),
    "blank cell": ("step,train_loss,val_loss\n0,3,\n1,2,\n1,,2.5\n2,1,\n", "train_loss", CURVE, 1),
    "written nan and inf": ("loss\n3\nnan\nNaN\ninf\n-inf\nInfinity\n", "loss",
                            [3, nan, nan, inf, -inf, inf], 0),
    "words for nothing": ("step,loss\n0,3\n1,NA\n2,null\n3,None\n4,n/a\n5,2\n6,1\n", "loss",
                          CURVE, 4),
    "separator at the end of each row": ("step,loss\n0,3,\n1,2,\n2,1,\n", "loss", CURVE, 0),
    "and of the header": ("step,loss,\n0,3,\n1,2,\n2,1,\n", "loss", CURVE, 0),
    "short row": ("step,loss\n0,3\n1\n2,2\n3,1\n", "loss", CURVE, 1),
    "semicolons, decimal comma": ("step;loss\n0;3,0\n1;2,0\n2;1,5\n", "loss", [3, 2, 1.5], 0),
    "first decimal comma far below": ("step;loss\n" + "0;3\n" * 200 + "1;2,5\n", "loss",
                                      [3.0] * 200 + [2.5], 0),
    "semicolons, points": ("step;loss\n0;3.0\n1;2.0\n2;1.0\n", "loss", CURVE, 0),
    "a semicolon ends each row": ("loss;\n3,0;\n2,0;\n1,0;\n", "loss", CURVE, 0),
    "TSV": ("step\ttraining loss\n0\t3\n1\t2\n2\t1\n", "training loss", CURVE, 0),
    "TSV, decimal comma": ("step\tloss\n0\t3,0\n1\t2,0\n2\t1,0\n", "loss", CURVE, 0),
    "blanks": ("  step   loss\n     0   3.0\n     1   2.0\n    10   1.0\n", "loss", CURVE, 0),
    "blanks, decimal comma": ("0 3,0\n1 2,0\n2 1,0\n", "column 1", CURVE, 0),
    "blanks, quoted": ('"step" "loss"\n"0" "3,0"\n"1" "2,0"\n"2" "1,0"\n', "loss", CURVE, 0),
    "numpy.savetxt with a header": (SAVETXT, "loss", CURVE, 0),
    "and a comment above it": ("# run 7\n" + SAVETXT, "loss", CURVE, 0),
    "plain numbers": ("3\n2\n1\n", "column 0", CURVE, 0),
    "one number": ("3", "column 0", [3], 0),
    "header with a blank, one column": ("train loss\n3\n2\n1\n", "train loss", CURVE, 0),
    "blank after commas": ("step, loss\n0, 3\n1, 2\n2, 1\n", "loss", CURVE, 0),
    "comment lines": ("# run 7\n\n#seed, loss\nstep,loss\n0,3\n  # half\n1,2\n\n2,1\n#end", "loss",
                      CURVE, 0),
    "quoted": ('"step, of all","the ""loss"""\n"0","3"\n"1","2"\n"2","1"\n', 'the "loss"',
               CURVE, 0),
    "Windows' line ends": ("step,loss\r\n0,3\r\n1,2\r\n2,1\r\n", "loss", CURVE, 0),
    "old Mac's line ends": ("step,loss\r0,3\r1,2\r2,1\r", "loss", CURVE, 0),
    "BOM": (codecs.BOM_UTF8 + b"loss,step\n3,0\n2,1\n1,2\n", "loss", CURVE, 0),
    "UTF-16, little end": (codecs.BOM_UTF16_LE + "step\tloss\r\n0\t3\r\n1\t2\r\n2\t1\r\n".encode(
        "utf-16-le"), "loss", CURVE, 0),
    "UTF-16, big end": (codecs.BOM_UTF16_BE + "loss\n3\n2\n1\n".encode("utf-16-be"), "loss",
                        CURVE, 0),
    "UTF-32, little end": (codecs.BOM_UTF32_LE + "loss\n3\n2\n1\n".encode("utf-32-le"), "loss",
                           CURVE, 0),
    "latin-1": ("größe;loss\nklein;3\nklein;2\nklein;1\n".encode("latin-1"), "loss", CURVE, 0),
    "pandas, index without a name": (FRAME.to_csv(), "value", CURVE, 0),
    "pandas, a series without names": (pd.Series(CURVE).to_csv(), "0", CURVE, 0),
    "pandas, a column without a name": (pd.DataFrame(CURVE).to_csv(index=False), "0", CURVE, 0),
    "no header, one column of words": ("a,3\nb,2\nc,1\n", "column 1", CURVE, 0),
    "no header, a blank in the first row": ("a,NA,3\nb,,2\nc,,1\n", "column 2", CURVE, 0),
    "a first loss of zero": ("0\n3\n2\n1\n", "column 0", [0, *CURVE], 0),
    "pandas.to_json": (FRAME.to_json(), "value", CURVE, 0),
    "pandas, records": (FRAME.to_json(orient="records"), "value", CURVE, 0),
    "Lightning": (LIGHTNING, "train_loss_step", CURVE, 2),
    "Keras' CSVLogger": (KERAS, "loss", CURVE, 0),
    "Keras' history": (json.dumps({"loss": CURVE, "accuracy": [0, 0, 0], "val_loss": [9, 9, 9]}),
                       "loss", CURVE, 0),
    "columns of unlike lengths": ('{"loss": [3, 2, 1], "step": [0, 1]}', "loss", CURVE, 0),
    "Keras' history within": (
        json.dumps({"params": {"epochs": 3}, "history": {"loss": CURVE, "val_loss": CURVE}}),
        "loss", CURVE, 0),
    "records within": (
        json.dumps({"config": {"lr": 1}, "log": [{"step": 0, "loss": x} for x in CURVE]}),
        "loss", CURVE, 0),
    "TensorBoard's CSV": (TENSORBOARD, "Value", CURVE, 0),
    "TensorBoard's JSON": (json.dumps(POINTS), "Value", CURVE, 0),
    "W&B's CSV": (WANDB, "my - val run - train/loss", CURVE, 0),
    "W&B's history": (WANDB_HISTORY, "train/loss", CURVE, 1),
    "trainer_state.json": (json.dumps(TRAINER, indent=2), "loss", CURVE, 1),
    "trainer_state.json in one line": (json.dumps(TRAINER), "loss", CURVE, 1),
    "JSON lines": ('{"step": 0, "loss": 3}\n\n{"step": 1, "loss": "2"}\n{"step": 2, "loss": 1}',
                   "loss", CURVE, 0),
    "JSON lines with null and NaN": (
        '{"loss": 3}\n{"loss": null}\n{"loss": NaN}\n{"loss": "Infinity"}\n{"loss": 1e999}\n',
        "loss", [3, nan, inf, inf], 1),
    "JSON lines, a loss in a later one": (
        '{"val_loss": 4}\n{"loss": 3}\n{"loss": 2}\n{"loss": 1}\n', "loss", CURVE, 1),
    "JSON lines of arrays": ("[0, 3]\n[1, 2]\n[2, 1]\n", "column 1", CURVE, 0),
    "one JSON record": ('{"step": 0, "loss": 3}', "loss", [3], 0),
    "JSON numbers": ("[3,\n2,\n1]\n", "column 0", CURVE, 0),
    "an integer of many digits": ('{"loss": 3}\n{"loss": ' + "9" * 5000 + "}\n", "loss",
                                  [3, inf], 0),
}  # fmt: skip
NEEDS_NAME = {"blanks, decimal comma", "JSON lines of arrays", "quoted"}


@pytest.mark.parametrize("name", FILES)
def test_a_file_gives_its_losses(name: str) -> None:
    content, column, losses, blanks = FILES[name]
    raw = content.encode() if isinstance(content, str) else content
    log = read_log(raw, column=column if name in NEEDS_NAME else None)
    assert np.array_equal(log.losses, losses, equal_nan=True)
    assert (log.column, log.blanks) == (column, blanks)
    assert (f"{blanks} row" in log.summary()) == (blanks > 0)


def test_a_file_on_disk_is_read_as_its_bytes_are(tmp_path: Path) -> None:
    for place, (content, column, *_) in enumerate(FILES.values()):
        raw = content.encode() if isinstance(content, str) else content
        path = tmp_path / f"{place}.log"
        path.write_bytes(raw)
        there, here = read_log(path, column=column), read_log(raw, column=column)
        assert np.array_equal(there.losses, here.losses, equal_nan=True)


@pytest.mark.slow
def test_ten_million_rows_are_read_in_less_than_a_gigabyte(tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    with path.open("w") as file:
        file.write("step,loss\n")
        for start in range(0, 10**7, 10**5):
            steps = range(start, start + 10**5)
            file.writelines(f"{step},{1 / (step + 3)!r}\n" for step in steps)
    code = (
        f"from exptest.recorded import read_log; log = read_log({str(path)!r});"
        "print(len(log.losses), log.losses[-1] == 1 / (10**7 + 2), log.every);"
        "print(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    told, kilobytes = done.stdout.splitlines()
    assert told == "10000000 True 1"
    assert int(kilobytes) < 10**6
