"""Scores a list of images on Spark, with one long-lived zsic a partition.

    spark-submit spark.py LIST OUTPUT --partitions 64 -- -l cat,dog -m openai/clip-vit-base-patch32 -k 1 -j 4

LIST is a text file of inputs, one a line: paths that every worker sees, URLs, or data: URIs. OUTPUT becomes a folder of JSON
lines, in the order of the list. What follows `--` goes to `zsic classify`. A partition whose zsic dies fails and is tried
again by Spark, but for the master `local[N]`, which tries once: `local[N,4]` tries four times. One image that fails is a
record like any other.
"""

import argparse
import subprocess
import sys
import threading
from itertools import chain

from pyspark.sql import SparkSession


def classify(command, lines):
    """The records of one partition's inputs, as they come."""
    lines = (line for line in lines if line.strip())
    first = next(lines, None)
    if first is None:
        return  # no input at all is an error to zsic
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    failures = []

    def feed():
        try:
            with child.stdin:
                for line in chain([first], lines):
                    child.stdin.write(line.encode() + b"\n")
        except BrokenPipeError:
            pass  # the exit status tells why
        except Exception as failure:  # of the lines: to be told by the thread that Spark listens to
            failures.append(failure)

    feeder = threading.Thread(target=feed)
    feeder.start()
    for record in child.stdout:
        yield record.decode().rstrip("\n")
    feeder.join()
    status = child.wait()
    if failures:
        raise failures[0]
    if status not in (0, 1):  # 1: some image failed, and has its record
        raise RuntimeError(f"zsic ended with {status}; what it said is in this worker's log")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("list")
    parser.add_argument("output")
    parser.add_argument("--partitions", type=int, default=None)
    parser.add_argument("--zsic", default="zsic")
    own, flags = sys.argv[1:], []
    if "--" in own:
        at = own.index("--")
        own, flags = own[:at], own[at + 1 :]
    args = parser.parse_args(own)
    if any(flag.startswith(("-o", "--output")) for flag in flags):
        parser.error("records come back to Spark, which writes OUTPUT: leave -o out")
    command = [args.zsic, "classify", "--files-from", "-", "--format", "jsonl", *flags]

    spark = SparkSession.builder.appName("zsic").getOrCreate()
    inputs = spark.sparkContext.textFile(args.list, args.partitions)
    inputs.mapPartitions(lambda lines: classify(command, lines)).saveAsTextFile(args.output)
    spark.stop()


if __name__ == "__main__":
    main()
