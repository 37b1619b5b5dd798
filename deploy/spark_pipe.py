"""Images on Spark, through `RDD.pipe`: spark-submit spark_pipe.py CLASSIFY MODEL LIST OUTPUT

Each partition has a `classify --stream` of its own, so partitions should have thousands of images. LIST has one path a line, which
every executor can read. OUTPUT is a directory of JSON lines.
"""

import os
import shlex
import sys

from pyspark.sql import SparkSession


# The variables of the driver that the command gets: the places of engines. Others may be secrets.
VARIABLES = [
    "CLASSIFY_HOME",
    "CLASSIFY_ONNXRUNTIME_LIB",
    "CLASSIFY_OPENVINO_LIB",
    "CLASSIFY_OPENVINO_PLUGINS",
    "CONDA_PREFIX",
    "HOME",
    "INTEL_OPENVINO_DIR",
    "LD_LIBRARY_PATH",
    "ORT_DYLIB_PATH",
    "PATH",
    "VIRTUAL_ENV",
]


def main(classify, model, images, output):
    spark = SparkSession.builder.appName("classify").getOrCreate()
    command = shlex.join([classify, "-m", model, "--stream", "--quiet"])
    # The command has no variables but these, not even PATH: engines may be found by them.
    environment = {name: os.environ[name] for name in VARIABLES if name in os.environ}
    # One line out for each line in, in order. A failed image is a row with `error`; a failed process fails the task.
    rows = spark.sparkContext.textFile(images).pipe(command, environment, checkCode=True)
    rows.saveAsTextFile(output)
    spark.stop()


if __name__ == "__main__":
    main(*sys.argv[1:5])
