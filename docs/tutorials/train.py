# %% [markdown]
# # Train and judge a model
#
# A short training on a small phantom, from shards to the report. The commands are those that you
# would type; the figures below come from `metrics.json`. It takes about a minute, so the model is
# a poor one: `jaxharmo train` without options trains a good one in minutes.

# %%
import json
import shlex
import subprocess
from pathlib import Path

import matplotlib.pyplot as plt


def run(command):
    """Run a command as in a shell and show the end of what it prints."""
    print(f"$ {command}")
    done = subprocess.run(shlex.split(command), capture_output=True, text=True, check=True)
    print(done.stdout)


# %% [markdown]
# ## Data
#
# Two kernels of one scanner. Each patient is reconstructed with both, so the evaluation has the
# truth. The training does not use it.

# %%
run(
    "jaxharmo phantom SHARDS --patients 4 --slices 2 --size 128 "
    "--domains 'PHANTOM Ellipse -- B30f' 'PHANTOM Ellipse -- B70f'"
)

# %% [markdown]
# ## Training
#
# Every field of the config is an option. The training ends with an evaluation on the test split.

# %%
run(
    "jaxharmo train --config demo --data SHARDS --workdir RUN --data.crop 32 "
    "--texture.resolutions 1 --model.generator.residual-width 2 --model.generator.knots 4 "
    "--train.steps 60 --optim.cosine-steps 60 --train.log-every 10 --train.checkpoint-every 60 "
    "--train.sample-every 60 --eval.tile 32 --eval.resamples 20 --eval.permutations 19"
)

# %% [markdown]
# ## Losses

# %%
lines = [json.loads(line) for line in Path("RUN/metrics.jsonl").read_text().splitlines()]
gaps = sorted(name for name in lines[0] if name.endswith("_gap"))
figure, axis = plt.subplots(figsize=(6, 3))
for name in gaps:
    axis.plot([line["step"] for line in lines], [line[name] for line in lines], label=name)
axis.set(xlabel="step", ylabel="gap", yscale="log")
axis.legend()
print(", ".join(gaps))

# %% [markdown]
# ## Report
#
# `RUN/eval/60/report.html` shows pictures and all figures. Here are the errors against the real
# slice: before, after, and for the baselines. A filter that is fitted on pairs is close to
# perfect on the phantom, because kernels of the phantom are linear filters.

# %%
metrics = json.loads(Path("RUN/eval/60/metrics.json").read_text())
for pair in metrics["pairs"]:
    print(f"{pair['source']} -> {pair['target']}, {pair['slices']} slices")
    for method, value in pair["scores"]["rmse_hu"].items():
        if value is not None:
            print(f"  {metrics['methods'][method]:32} {value:6.1f} HU")

# %% [markdown]
# Next: [Evaluate and read the report](../how-to/evaluate.md), and [Train](../how-to/train.md) for
# longer runs.
