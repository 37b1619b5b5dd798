"""Usage: read_back.py TEXT JSON CSV — reads the three forms of the same results with Python's own parsers, checks that they say the same,
and prints how much that was."""

import csv
import json
import sys

text_file, json_file, csv_file = sys.argv[1:]

text = []
with open(text_file, encoding="utf-8") as file:
    for line in file:
        line = line.removeprefix("[ INFO ] ").rstrip("\n")
        if line.startswith("Image path: "):
            text.append((line.removeprefix("Image path: "), []))
        elif line[:1].isdigit():
            class_id, score, label = line.split(None, 2)
            text[-1][1].append((int(class_id), score, label))

lines, errors = [], []
with open(json_file, encoding="utf-8") as file:
    for line in file:
        result = json.loads(line)
        assert result["schema_version"] == 1, result
        assert isinstance(result["model"], str) and isinstance(result["engine_version"], str), result
        if "error" in result:
            assert set(result["error"]) == {"code", "message", "hint"}, result
            errors.append(result["path"])
        else:
            assert result["scores"] == "probability" and set(result["timing_ms"]) == {"prepare", "infer"}, result
            lines.append((result["path"], [(c["class_id"], f"{c['score']:.7f}", c["label"]) for c in result["top"]]))
assert lines == text, (lines, text)


def plain(cell):
    """Without the mark that keeps spreadsheets from taking a cell for a formula."""
    return cell[1:] if cell[:2] in ("'=", "'+", "'-", "'@") else cell


rows, row_errors = [], []
with open(csv_file, encoding="utf-8", newline="") as file:
    for row in csv.DictReader(file):
        assert row["schema_version"] == "1" and row["device"] == "CPU", row
        if row["error"]:
            row_errors.append(plain(row["path"]))
            continue
        if row["rank"] == "1":
            rows.append((plain(row["path"]), []))
        rows[-1][1].append((int(row["class_id"]), row["score"], plain(row["label"])))
        assert int(row["rank"]) == len(rows[-1][1]), row
assert rows == text, (rows, text)
assert row_errors == errors, (row_errors, errors)
print(f"{len(text)} images, {sum(len(top) for _, top in text)} classes, {len(errors)} error")
