"""Measures classify against what people use today, in turns on one machine, and writes a Markdown table.
Needs a Unix system, which says how much memory a process took.

    run.py CLASSIFY SET_UP OUT [--quick] [--rounds N] [--model NAME]... [--only PART]...

CLASSIFY is the program, SET_UP the set-up folder, OUT the table. Every figure is the median of ratios of neighbouring
runs, with the smallest and the largest behind it: machines are noisy, and an absolute time means nothing elsewhere.
`--quick` only shows that it works.

Needs what the set-up installs: numpy, opencv-python-headless, openvino, onnxruntime, pillow.
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import random
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
SAMPLE = HERE.parent.parent / "tests" / "reference" / "official_sample.py"
# What the sample does to an image, so that both do the same work.
AS_THE_SAMPLE = ["--color", "bgr", "--mean", "0", "--scale", "1", "--resize", "stretch", "--interpolation", "opencv-linear"]
# What a program reads from a worker.
AS_A_SERVICE = ["--format", "json", "--top", "5"]
MODELS = {"SqueezeNet 1.1": "squeezenet1.1", "EfficientNet-Lite0": "efficientnet-lite0"}


def images(photos, folder, count, megapixels):
    """JPEGs with the content of the photos, seeded: of 500 x 375 pixels, or mosaics of such of 12 megapixels."""
    from PIL import Image

    rng = random.Random(11)
    sources = [Image.open(path).convert("RGB") for path in sorted(photos.iterdir()) if path.suffix in {".jpg", ".png"}]

    def piece():
        source = rng.choice(sources)
        share = rng.uniform(0.7, 1.0)
        width, height = int(source.width * share), int(source.height * share)
        left, top = rng.randrange(source.width - width + 1), rng.randrange(source.height - height + 1)
        image = source.crop((left, top, left + width, top + height)).resize((500, 375), Image.Resampling.LANCZOS)
        return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else image

    folder.mkdir()
    for index in range(count):
        if megapixels < 1:
            image = piece()
        else:
            image = Image.new("RGB", (4000, 3000))
            for place in range(64):
                image.paste(piece(), (place % 8 * 500, place // 8 * 375))
        image.save(folder / f"{index:04}.jpg", quality=rng.choice([80, 85, 90, 95]))


def enlarged(photos, folder):
    """The photos, four times as wide and high, with noise as a camera's: they have no finer detail."""
    import numpy as np
    from PIL import Image

    noise = np.random.default_rng(11)
    folder.mkdir()
    for path in sorted(photos.iterdir()):
        if path.suffix in {".jpg", ".png"}:
            image = Image.open(path).convert("RGB")
            image = image.resize((image.width * 4, image.height * 4), Image.Resampling.LANCZOS)
            pixels = np.asarray(image) + noise.normal(0, 6, (image.height, image.width, 1))
            image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
            image.save(folder / f"{path.stem}.jpg", quality=92)


def made(what, photos, folder, *more):
    """In a process of its own: a child's peak memory is never less than what its parent has had."""
    call = f"import run, pathlib; run.{what}(pathlib.Path({str(photos)!r}), pathlib.Path({str(folder)!r}), *{more!r})"
    subprocess.run([sys.executable, "-c", call], cwd=HERE, check=True)
    return sorted(str(path) for path in folder.iterdir())


class Bench:
    def __init__(self, classify, set_up, work, quick, rounds, models):
        self.classify, self.set_up, self.work, self.quick = classify, set_up, work, quick
        self.rounds = 1 if quick else rounds
        self.models = {title: name for title, name in MODELS.items() if not models or name in models}
        self.rows = []
        # Nothing of the caller's environment chooses an engine or its threads; reports go to nobody.
        chosen = re.compile("CLASSIFY_|OMP_|ORT_|VIRTUAL_ENV|CONDA_PREFIX|INTEL_OPENVINO_DIR|LD_|OPENCV_")
        kept = {name: value for name, value in os.environ.items() if not chosen.match(name)}
        self.environment = dict(kept, CLASSIFY_HOME=str(set_up), ORT_DISABLE_TELEMETRY="1")

    def list_of(self, name, paths):
        """A file with the paths: command lines have a limit."""
        file = self.work / f"{name}.txt"
        file.write_text("".join(f"{path}\n" for path in paths))
        return ["--input-list", str(file)]

    def ours(self, model, inputs, *more):
        return [self.classify, "-q", "-m", self.model(model, "xml"), *inputs, *more]

    def sample(self, model, paths, *more):
        return [sys.executable, str(SAMPLE), "-m", self.model(model, "xml"), "-i", *paths, *more]

    def model(self, name, ending):
        return str(self.set_up / "models" / f"{name}.{ending}")

    def once(self, command, given=os.devnull):
        """Seconds, and the most memory in KiB. `given` is the file that the command reads from stdin."""
        start = time.perf_counter()
        with open(os.devnull, "wb") as nowhere, open(given, "rb") as stdin:
            child = subprocess.Popen(command, stdin=stdin, stdout=nowhere, env=self.environment)
            _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        assert child.returncode == 0, command[:8]
        assert usage.ru_maxrss > resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, "this process takes more memory than what it measures"
        return seconds, usage.ru_maxrss

    def speed(self, command, given=os.devnull):
        """A measure for `ratios`: throughput is the inverse of time."""
        return lambda: 1 / self.once(command, given)[0]

    def ratios(self, measures, rounds=None):
        """`measures` are functions; for each after the first: the first one's figure / its own, a round each."""
        rounds = rounds or self.rounds
        for measure in measures if not self.quick else []:
            measure()
        seen = [[] for _ in measures[1:]]
        for round in range(1 if self.quick else rounds):
            # Whoever comes later finds warmer caches.
            order = list(range(len(measures)))
            if round % 2:
                order.reverse()
            figures = {place: measures[place]() for place in order}
            for place, ratios in enumerate(seen, 1):
                ratios.append(figures[0] / figures[place])
        return seen

    def row(self, what, model, ratios, bar, below=False, unit="×"):
        middle = statistics.median(ratios)
        reached = bar is not None and (middle <= bar if below else middle >= bar)
        sign = "≤" if below else "≥"
        # One round judges nothing.
        verdict = "" if bar is None or self.quick else f"{sign} {bar:.2f} {'reached' if reached else 'missed'}"
        self.rows.append(f"| {what} | {model} | **{middle:.2f}{unit}** | {min(ratios):.2f} to {max(ratios):.2f} | {verdict} |")
        print(self.rows[-1], flush=True)

    def end_to_end(self, small):
        given = self.list_of("small", small)
        for title, name in self.models.items():
            seconds = lambda command: lambda: self.once(command)[0]
            f32, auto = self.ratios([
                seconds(self.sample(name, small, "--precision", "f32")),
                seconds(self.ours(name, given, *AS_THE_SAMPLE)),
            ])[0], self.ratios([
                seconds(self.sample(name, small)),
                seconds(self.ours(name, given, *AS_THE_SAMPLE, "--precision", "auto")),
            ])[0]
            self.row(f"{len(small)} JPEGs, f32, against the sample in Python", title, f32, 1.4)
            self.row(f"{len(small)} JPEGs, `--precision auto`, against the sample at its default", title, auto, 2.2)
            program = [sys.executable, str(HERE / "pillow_onnxruntime.py"), self.model(name, "onnx"), *small]
            ours = [self.classify, "-q", "-m", self.model(name, "onnx"), "--backend", "onnx", *given]
            if name == "squeezenet1.1":
                ours += ["--color", "bgr", "--mean", "0", "--scale", "1", "--resize", "stretch", "--interpolation", "bilinear"]
            self.same_answers(program, ours)
            pillow = self.ratios([seconds(program), seconds(ours)])[0]
            self.row("the same on ONNX Runtime, f32, against Pillow and ONNX Runtime in Python", title, pillow, None)

    def same_answers(self, program, ours):
        """That both do the same work: the best classes are the same, but for close ones."""
        said = [subprocess.run(command, capture_output=True, text=True, env=self.environment, check=True).stdout
                for command in [program, [*ours, "--format", "json"]]]
        theirs = [int(line.split()[1].split(":")[0]) for line in said[0].splitlines()]
        own = [json.loads(line)["top"][0]["class_id"] for line in said[1].splitlines()]
        same = sum(one == other for one, other in zip(theirs, own))
        assert len(theirs) == len(own) and same >= 0.99 * len(own), f"{same} of {len(own)} answers are the same"

    def bench(self, *arguments):
        """The first run of `classify bench`."""
        command = [self.classify, "bench", *arguments, "-q", "--format", "json"]
        said = subprocess.run(command, capture_output=True, env=self.environment, check=True)
        return json.loads(said.stdout)["runs"][0]

    def of_limit(self, small):
        for title, name in self.models.items():
            for precision in ["f32", "auto"]:
                # Inference alone and the whole path take turns in rounds: machines change within seconds.
                shares = [self.bench(f"openvino@{precision}", "-m", self.model(name, "xml"), "-i", *small,
                                     "--duration", "2" if self.quick else "20", "--rounds", "5")["efficiency"]
                          for _ in range(self.rounds)]
                self.row(f"end to end as a share of the limit (cores ÷ CPU for decoding, resizing and inference), {precision}",
                         title, shares, 0.90, unit="")

    def inference(self):
        seconds = 2 if self.quick else 6
        for title, name in self.models.items():
            for precision in ["f32", "bf16"]:
                def ours():
                    run = self.bench(f"openvino@{precision}", "-m", self.model(name, "xml"), "--duration", str(seconds), "--rounds", "1", "--inference-only")
                    return run["inference"]["pictures_per_second"]

                def theirs():
                    program = pathlib.Path(sys.executable).parent / "benchmark_app"
                    command = [sys.executable, str(program), "-m", self.model(name, "xml"), "-d", "CPU", "-hint", "throughput",
                               "-t", str(seconds), "-infer_precision", precision, "-ip", "f32"]
                    said = subprocess.run(command, capture_output=True, text=True, env=self.environment, check=True)
                    return float(re.search(r"Throughput:\s+([0-9.]+) FPS", said.stdout)[1])

                self.row(f"inference alone against `benchmark_app`, {precision}", title, self.ratios([ours, theirs])[0], 0.97)

    def start(self, small):
        cache = self.work / "cache"
        for title, name in self.models.items():
            one = ["-i", small[0]]
            program = self.sample(name, small[:1], "--precision", "f32")
            plain = self.ours(name, one, *AS_THE_SAMPLE)
            seconds = lambda command: lambda: 1 / self.once(command)[0]
            ratios = self.ratios([seconds(program), seconds(plain), seconds([*plain, "--cache-dir", str(cache)])], 3 * self.rounds)
            self.row("one image, from the start of the process, time against the sample", title, ratios[0], 0.40, below=True)
            self.row("the same with `--cache-dir`", title, ratios[1], 0.25, below=True)

    def memory(self, small):
        few, many = small[:100], (small * 10)[:5000]
        for title, name in self.models.items():
            commands = [self.sample(name, few, "--precision", "f32"), self.sample(name, many, "--precision", "f32"),
                        self.ours(name, self.list_of("few", few), *AS_THE_SAMPLE), self.ours(name, self.list_of("many", many), *AS_THE_SAMPLE)]
            # It hardly varies, and 5,000 images take minutes.
            peaks = [[self.once(command)[1] for command in commands] for _ in range(min(self.rounds, 3))]
            rows = [(f"peak memory, {len(few)} images, against the sample", 2, 0, 0.75),
                    (f"peak memory, {len(many):,} images, against the sample", 3, 1, 0.75),
                    (f"peak memory, {len(many):,} images against {len(few)}", 3, 2, 1.05)]
            for what, ours, other, bar in rows:
                self.row(what, title, [peak[ours] / peak[other] for peak in peaks], bar, below=True)

    def large(self, paths):
        given = self.list_of("large", paths)
        for title, name in self.models.items():
            seconds = lambda command: lambda: self.once(command)[0]
            ratios = self.ratios([
                seconds(self.sample(name, paths, "--precision", "f32")),
                seconds(self.ours(name, given, *AS_THE_SAMPLE)),
                seconds(self.ours(name, given, *AS_THE_SAMPLE, "--decode", "fast")),
            ], min(self.rounds, 5))
            self.row(f"{len(paths)} JPEGs of 12 megapixels, against the sample", title, ratios[0], 1.6)
            self.row("the same with `--decode fast`", title, ratios[1], 4.0)

    def worker(self, small):
        """Throughput of `--stream` and of the Python package, against the same program with a list."""
        paths = (small * 2)[:1000]
        given = self.list_of("paths", paths)
        # As `pip install --target` puts the package and its program.
        package = self.work / "package"
        shutil.copytree(HERE.parent.parent / "python" / "classify_cli", package / "classify_cli")
        (package / "bin").mkdir()
        (package / "bin" / "classify").symlink_to(pathlib.Path(self.classify).resolve())
        for title, name in self.models.items():
            plain = self.ours(name, [], *AS_A_SERVICE)
            python = [sys.executable, str(HERE / "python_stream.py"), str(package), self.model(name, "xml"), given[1]]
            ratios = self.ratios([self.speed([*plain, *given]), self.speed([*plain, "--stream"], given[1]), self.speed(python)])
            bars = [("`--stream`", 0.95), ("the Python package's `stream`", 0.85)]
            for (what, bar), of_one in zip(bars, ratios):
                self.row(f"{len(paths):,} JPEGs with {what}, throughput against a list", title, [1 / ratio for ratio in of_one], bar)

    def isolation(self, small):
        """Throughput of isolated processes. They take longer to start, hence enough images that the rest shows."""
        paths = (small * 5)[:3000]
        given = self.list_of("many", paths)
        for title, name in self.models.items():
            plain = [*self.ours(name, given), *AS_A_SERVICE]
            ratios = self.ratios([self.speed(plain), self.speed([*plain, "--isolate"])])
            self.row(f"{len(paths):,} JPEGs with `--isolate`, throughput against without", title, [1 / ratio for ratio in ratios[0]], 0.95)

    def fast_decoding(self):
        """What `--decode fast` costs in accuracy."""
        folder = self.work / "enlarged"
        made("enlarged", self.set_up / "photos", folder)
        lines = []
        for title, model in [*((title, f"{name}.onnx") for title, name in MODELS.items()), ("MobileNetV2", "mobilenet-v2/model.onnx")]:
            answers = []
            for how in ["exact", "fast"]:
                command = [self.classify, "-q", "-m", str(self.set_up / "models" / model), "-i", str(folder), "--format", "json", "--top", "all",
                           "--decode", how]
                said = subprocess.run(command, capture_output=True, text=True, env=self.environment, check=True)
                answers.append([json.loads(line)["top"] for line in said.stdout.splitlines()])
            pairs = list(zip(*answers))
            same = sum(exact[0]["class_id"] == fast[0]["class_id"] for exact, fast in pairs)
            scores = lambda top: {entry["class_id"]: entry["score"] for entry in top}
            largest = lambda exact, fast: max(abs(exact[k] - fast[k]) for k in exact)
            deltas = sorted(largest(scores(exact), scores(fast)) for exact, fast in pairs)
            lines.append(f"| {title} | {same}/{len(pairs)} | {statistics.median(deltas):.4f} | {deltas[-1]:.4f} |")
            print(lines[-1], flush=True)
        return lines


def processor():
    try:
        text = pathlib.Path("/proc/cpuinfo").read_text()
        return re.search(r"model name\s*:\s*(.*)", text)[1]
    except (OSError, TypeError):
        return platform.processor() or platform.machine()


def table(rows, cost, quick):
    lines = [
        *(["Only to show that it works: one round of each, which judges nothing.", ""] if quick else []),
        f"{datetime.date.today()}, {processor()}, {os.cpu_count()} cores, Python {platform.python_version()}:",
        "",
        "| what | model | median | smallest to largest | bar |",
        "|---|---|---|---|---|",
        *rows,
    ]
    if cost:
        lines += ["", "What `--decode fast` changes, on the set-up's photos, enlarged four times:", "",
                  "| model | same best class | median of the largest \\|Δp\\| | largest \\|Δp\\| |", "|---|---|---|---|", *cost]
    return lines


PARTS = ["end-to-end", "limit", "inference", "start", "memory", "large", "worker", "isolation", "fast"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("classify")
    parser.add_argument("set_up", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--model", action="append", choices=MODELS.values(), help="some of the models only")
    parser.add_argument("--only", action="append", choices=PARTS, help="some of the parts only")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        bench = Bench(args.classify, args.set_up.resolve(), work, args.quick, args.rounds, args.model)
        print("making images ...", flush=True)
        photos = bench.set_up / "photos"
        small = made("images", photos, work / "small", 20 if args.quick else 600, 0.2)
        large = made("images", photos, work / "large", 2 if args.quick else 16, 12) * (1 if args.quick else 4)
        cost = []
        parts = {
            "end-to-end": lambda: bench.end_to_end(small),
            "limit": lambda: bench.of_limit(small),
            "inference": bench.inference,
            "start": lambda: bench.start(small),
            "memory": lambda: bench.memory(small),
            "large": lambda: bench.large(large),
            "worker": lambda: bench.worker(small),
            "isolation": lambda: bench.isolation(small),
            "fast": lambda: cost.extend(bench.fast_decoding()),
        }
        for name in args.only or PARTS:
            print(f"{name} ...", flush=True)
            parts[name]()
            # After each: what is measured is kept whatever comes.
            args.out.write_text("\n".join(table(bench.rows, cost, args.quick)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
