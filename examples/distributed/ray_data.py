"""Scores a list of images on Ray, with a pool of actors that keep one zsic each.

    python ray_data.py LIST OUTPUT --actors 16 --cpus 4 -- -l cat,dog -m openai/clip-vit-base-patch32 -k 1

LIST is a text file of inputs, one a line: paths that every node sees, URLs, or data: URIs; no folders or tars, which give
more than one record. OUTPUT is a file of JSON lines, in the order of the list. What follows `--` goes to `zsic classify`. An
actor that dies is started again by Ray, and a zsic that dies by its actor; the batch at hand is done again, so nothing is
lost.
"""

import argparse
import os
import subprocess
import sys
import threading

import ray


class Zsic:
    """One process, fed line by line. Each line in gives a line out."""

    def __init__(self, command):
        self.command = command
        self.child = None

    def __call__(self, batch):
        inputs = list(batch["text"])
        for attempt in range(3):
            try:
                return {"record": self.ask(inputs)}
            except (BrokenPipeError, EOFError):
                self.child.kill()
                status = self.child.wait()
                self.child = None
                if attempt == 2 or status == 2:  # a wrong flag stays one
                    raise RuntimeError(f"zsic ended with {status}") from None

    @staticmethod
    def feed(stdin, inputs):
        try:
            stdin.write("".join(line + "\n" for line in inputs))
            stdin.flush()
        except BrokenPipeError:
            pass  # the missing records tell

    def ask(self, inputs):
        for line in inputs:
            if line.lower().endswith(".tar") or os.path.isdir(line):
                raise ValueError(f"{line}: a folder or a tar gives more than one record; list the images in it")
        if self.child is None:
            self.child = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        # Beside the reading: a batch can be more than the pipes and zsic's window hold.
        feeder = threading.Thread(target=self.feed, args=[self.child.stdin, inputs])
        feeder.start()
        records = [self.child.stdout.readline() for _ in inputs]
        feeder.join()
        if not all(record.endswith("\n") for record in records):
            raise EOFError
        return [record.rstrip("\n") for record in records]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("list")
    parser.add_argument("output")
    parser.add_argument("--actors", type=int, default=2)
    parser.add_argument("--cpus", type=int, default=1, help="threads, and Ray's CPUs, of each actor")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--zsic", default="zsic")
    own, flags = sys.argv[1:], []
    if "--" in own:
        at = own.index("--")
        own, flags = own[:at], own[at + 1 :]
    args = parser.parse_args(own)
    if any(flag.startswith(("-o", "--output")) for flag in flags):
        parser.error("records come back to this script, which writes OUTPUT: leave -o out")
    command = [args.zsic, "classify", "--files-from", "-", "--format", "jsonl", "-j", str(args.cpus), *flags]

    ray.data.DataContext.get_current().execution_options.preserve_order = True
    with open(args.list) as lines:
        inputs = [{"text": line.rstrip("\n")} for line in lines if line.strip()]
    # The list is the driver's: a task that reads it would want a CPU, and the actors may have them all.
    records = ray.data.from_items(inputs, override_num_blocks=4 * args.actors).map_batches(
        Zsic,
        fn_constructor_args=[command],
        batch_size=args.batch,
        compute=ray.data.ActorPoolStrategy(size=args.actors),
        num_cpus=args.cpus,
    )
    with open(args.output, "w") as out:
        for row in records.iter_rows():
            out.write(row["record"] + "\n")


if __name__ == "__main__":
    main()
