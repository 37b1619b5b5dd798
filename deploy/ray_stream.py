"""Images on Ray, each worker with a `classify --stream` of its own: python ray_stream.py CLASSIFY MODEL LIST OUTPUT

LIST has one path a line, which every node can read. Each row of OUTPUT is the object that `classify` answered. Ray starts the blocks
of a lost node again.
"""

import json
import subprocess
import sys
import threading

import ray


class Classifier:
    """A worker of `classify`, which loads the model once."""

    def __init__(self, classify, model):
        self.process = subprocess.Popen(
            [classify, "-m", model, "--stream", "--quiet"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def classify(self, paths):
        # The pipes are small: one thread writes while this one reads.
        feeder = threading.Thread(target=self.feed, args=(paths,))
        feeder.start()
        answers = [self.process.stdout.readline() for _ in paths]
        feeder.join()
        if not all(answers):
            raise RuntimeError(f"classify ended with exit code {self.process.wait()}; its messages are in the worker's log")
        return answers

    def feed(self, paths):
        try:
            for path in paths:
                self.process.stdin.write(json.dumps({"path": path}) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # `classify` has ended, and the reader says so.

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def main(classify, model, list_path, output, block=1000):
    ray.init()
    worker = ray.remote(max_restarts=-1, max_task_retries=-1)(Classifier)
    workers = [worker.remote(classify, model) for _ in range(int(ray.cluster_resources()["CPU"]))]
    with open(list_path) as lines:
        paths = [line.rstrip("\n") for line in lines]
    blocks = [paths[start:start + block] for start in range(0, len(paths), block)]
    with open(output, "w") as rows:
        for answers in ray.util.ActorPool(workers).map(lambda worker, paths: worker.classify.remote(paths), blocks):
            rows.writelines(answers)
    ray.get([worker.close.remote() for worker in workers])


if __name__ == "__main__":
    main(*sys.argv[1:5])
