"""Checks that MegaDetector's own package reads what `zsic classify --boxes --format megadetector` writes.

    python tools/check_boxes.py target/debug/zsic

Needs `pip install megadetector`. Run it in the repository.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from megadetector.postprocessing.load_api_results import load_api_results
from megadetector.postprocessing.validate_batch_results import validate_batch_results


def main(zsic):
    with tempfile.TemporaryDirectory() as folder:
        photos = Path(folder, "photos")
        (photos / "more").mkdir(parents=True)
        for name, picture in [("owl.png", "owl.png"), ("more/fox.png", "fox.png"), ("empty.png", "bear.png")]:
            shutil.copy(Path("examples/images") / picture, photos / name)
        out = Path(folder, "out.json")
        command = [zsic, "classify", str(photos), "--boxes", "tests/fixtures/boxes/megadetector.json", "-m", "demo"]
        command += ["-l", "owl,fox,bear", "--format", "megadetector", "-o", str(out)]
        assert subprocess.run(command).returncode == 1  # two of the images are missing
        found = validate_batch_results(str(out))["validation_results"]
        assert not found["errors"], found["errors"]
        table, others = load_api_results(str(out))
        names = others["classification_categories"]
        best = {}
        for _, row in table.iterrows():
            for box in row["detections"] or []:
                for label, score in box.get("classifications", [])[:1]:
                    best.setdefault(row["file"], []).append((names[label], score))
        assert best["owl.png"][0][0] == "owl" and best["more/fox.png"][0][0] == "fox", best
        print("read again:", best, "warnings:", found["warnings"])


if __name__ == "__main__":
    main(sys.argv[1])
