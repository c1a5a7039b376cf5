"""FACETpy's side of the benchmark, run by the Python it is installed for.

``python _facetpy.py '{"folder": ..., "chain": "aas", "options": {}}'`` corrects
``in_raw.fif`` of that folder, writes ``out.npy`` and prints time and memory.
"""

import json
import re
import sys
import time
from pathlib import Path

import numpy as np
from facet import (
    AASCorrection,
    Loader,
    Pipeline,
    TriggerDetector,
    create_standard_pipeline,
)

TRIGGERS = r"(.*/)?R128"


def memory(entry):
    """Memory of this process in bytes."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(re.search(entry + r":\s+(\d+)", status)[1])


def main(folder, chain, options):
    """Correct a recording, see Facetpy."""
    folder = Path(folder)
    file, context = str(folder / "in_raw.fif"), None
    if chain == "aas":
        steps = [Loader(path=file, preload=True), TriggerDetector(regex=TRIGGERS)]
        context = Pipeline(steps).run(show_progress=False).context
        pipeline = Pipeline([AASCorrection(window_size=30)])
    else:
        pipeline = create_standard_pipeline(
            file,
            str(folder / "out_raw.fif"),
            trigger_regex=TRIGGERS,
            artifact_to_trigger_offset=0.0,
        )
    before = memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    start = time.perf_counter()
    result = pipeline.run(initial_context=context, show_progress=False, **options)
    seconds = time.perf_counter() - start
    if not result.success:
        sys.exit(str(result.error))
    raw = result.context.get_raw()
    report = {"seconds": seconds, "memory": memory("VmHWM") - before}
    np.save(folder / "out.npy", raw.get_data())
    print(json.dumps({**report, "annotations": len(raw.annotations)}))


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
