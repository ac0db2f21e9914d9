"""One of two processes that save, stop and part; no model, so that it is quick.

Arguments: port, number of the process, folder.
"""

import os
import sys
import time
from pathlib import Path

import jax
import numpy as np

from jaxharmo import runtime
from jaxharmo.checkpoint import Checkpoints
from jaxharmo.preemption import Preemption

port, number, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
runtime.start_distributed(
    runtime.Cluster(distributed=True, coordinator=f"127.0.0.1:{port}", processes=2, process=number)
)
mesh = runtime.make_mesh()
assert mesh.size == 2
assert runtime.agree(number + 7) == 7
values = np.arange(4096, dtype=np.float32)
shape = {"numbers": jax.ShapeDtypeStruct(values.shape, values.dtype)}
placed = runtime.place_state(mesh, shape, shard=True)
double = jax.jit(lambda tree: jax.tree.map(lambda x: x + 1, tree), out_shardings=placed)
tree = jax.jit(lambda: {"numbers": jax.numpy.arange(4096.0)}, out_shardings=placed)()
assert tree["numbers"].addressable_shards[0].data.size == 2048
with Checkpoints(folder, 2) as checkpoints, Preemption() as preemption:
    assert checkpoints.find_sound() == 0
    preemption.begin()
    step, stopped = 0, False
    while not stopped:
        tree, step = double(tree), step + 1
        (folder / f"started-{number}").write_text(str(os.getpid()))
        stopped = preemption.reached()
        time.sleep(0.05)
    checkpoints.save(step, {"tree": tree})
runtime.wait_for_all("saved")
whole = runtime.gather(mesh, tree)["numbers"]
np.testing.assert_array_equal(whole, values + step)
main_process = runtime.is_main_process()
with Checkpoints(folder) as checkpoints:
    assert checkpoints.find_sound() == step
    restored = checkpoints.restore(step, {"tree": tree})["tree"]["numbers"]
    np.testing.assert_array_equal(
        restored.addressable_shards[0].data, whole[2048 * number :][:2048]
    )
runtime.leave_cluster()
if main_process:
    time.sleep(0.5)
    # By itself now: no answer of the other is waited for.
    with Checkpoints(folder) as checkpoints:
        assert checkpoints.find_sound() == step
        alone = checkpoints.restore(step, {"tree": {"numbers": jax.numpy.zeros(4096)}})["tree"]
    np.testing.assert_array_equal(alone["numbers"], whole)
    assert float(jax.jit(lambda x: x.sum())(np.ones(8))) == 8.0
print(f"stopped at {step}")
