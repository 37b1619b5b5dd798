"""Shards as Ray tasks: python ray_shards.py CLASSIFY MODEL LIST PARTS SHARDS

All nodes see the same files. Ray starts the tasks of a lost node again, and parts that are there are not made again. After it:
`classify merge PARTS`.
"""

import subprocess
import sys

import ray


@ray.remote(num_cpus=1, max_retries=5)
def run(shard, shards, classify, model, images, parts):
    command = [classify, "-m", model, "--input-list", images, "--format", "json", "--quiet"]
    subprocess.run([*command, "--shard", f"{shard}/{shards}", "--out-dir", parts], check=True)
    return ray.get_runtime_context().get_node_id()


def main(classify, model, images, parts, shards):
    """Returns the node of each shard."""
    shards = int(shards)
    return ray.get([run.remote(shard, shards, classify, model, images, parts) for shard in range(shards)])


if __name__ == "__main__":
    ray.init()
    main(*sys.argv[1:6])
