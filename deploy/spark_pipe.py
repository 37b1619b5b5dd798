"""Images on Spark, through `RDD.pipe`: spark-submit spark_pipe.py CLASSIFY MODEL LIST OUTPUT

Each partition has a `classify --stream` of its own, so partitions should have thousands of images. LIST has one path a line, which
every executor can read. OUTPUT is a directory of JSON lines.
"""

import shlex
import sys

from pyspark.sql import SparkSession


def main(classify, model, images, output):
    spark = SparkSession.builder.appName("classify").getOrCreate()
    command = shlex.join([classify, "-m", model, "--stream", "--quiet"])
    # One line out for each line in, in order. A failed image is a row with `error`; a failed process fails the task.
    rows = spark.sparkContext.textFile(images).pipe(command, checkCode=True)
    rows.saveAsTextFile(output)
    spark.stop()


if __name__ == "__main__":
    main(*sys.argv[1:5])
